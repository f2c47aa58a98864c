"""A short soak of each kind of handler; `python -m tests.endurance.soak` is the full size."""

import json

import pytest

from okibi.local.platform.invocation import Invocation
from okibi.local.platform.outcomes import InvocationOutcome
from tests.endurance.soak import LATE, Action, Plan, Sample, fault_of, row, soak

# About three time-outs in 1,000, each of 100 ms.
SHORT = Plan(1000, first=200, every=400, errors=0.02, timeouts=0.003, short=0.7)


@pytest.mark.parametrize(
    "handler",
    [
        "soaked.Soaked",
        pytest.param("soaked.coroutine", marks=pytest.mark.slow),
        pytest.param("soaked.plain", marks=pytest.mark.slow),
        pytest.param("soaked.asynchronous", marks=pytest.mark.slow),
    ],
)
def test_a_soak_loses_no_event_and_leaves_nothing_over(handler: str) -> None:
    soaked = soak(handler, SHORT)

    served = soaked.feed.served
    assert soaked.faults() == []
    assert served[Action.ECHO] + served[Action.RAISE] + served[Action.WAIT] == 1000
    assert served[Action.RAISE] >= 10
    assert served[Action.WAIT] >= 1
    assert [each.served for each in soaked.feed.samples] == [200, 400, 800, 1000]
    assert all(each.tasks > 5 for each in soaked.feed.samples)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["Crashing", "plain", "Soaked", "coroutine", "threaded", "asynchronous"]
)
def test_an_answered_error_leaves_no_garbage(kind: str) -> None:
    # An error's traceback keeps frames, and frames keep events of up to 6 MB. The collector may let
    # dozens of them wait.
    soaked = soak(
        f"uncollected.{kind}", Plan(100, first=20, errors=0.5, timeouts=0.05, seed=1, short=0.7)
    )

    served = soaked.feed.served
    assert soaked.feed.wrong == []
    assert served[Action.RAISE] >= 40
    assert served[Action.WAIT] >= 3
    assert soaked.feed.left[-1]["garbage"] == 0


@pytest.mark.slow
def test_a_soak_finds_what_a_handler_leaves_over() -> None:
    soaked = soak("soaked.leaky", Plan(400, first=100, errors=0.1, timeouts=0.0))

    faults = soaked.faults()
    assert any(fault.startswith("descriptors: ") for fault in faults), faults
    assert any(fault.startswith("threads: ") for fault in faults), faults
    assert any(fault.startswith("objects are left over: ") for fault in faults), faults
    assert soaked.growth() > 1.02


@pytest.mark.slow
def test_a_soak_finds_a_response_of_another_event() -> None:
    soaked = soak("soaked.forgetful", Plan(220, first=50, errors=0.0, timeouts=0.0))

    assert [fault.partition(" was")[0] for fault in soaked.faults()] == [
        "event 99 (echo)",
        "event 199 (echo)",
    ]


@pytest.mark.slow
def test_a_process_that_ends_is_reported_with_its_output() -> None:
    with pytest.raises(RuntimeError, match=r"soaked\.fatal: .*no more"):
        soak("soaked.fatal", SHORT)


def answered(kind: Action, error_type: str | None, **told: object) -> str:
    invocation = Invocation(b"", 1.0, request_id="mine")
    return fault_of(kind, 7, invocation, InvocationOutcome(json.dumps(told).encode(), error_type))


def test_each_task_has_one_correct_response() -> None:
    value = {"requestId": "mine", "errorType": "ValueError", "errorMessage": "event 7"}
    late = {"requestId": "mine", "errorType": LATE, "errorMessage": "late"}

    assert answered(Action.ECHO, None, do="echo", n=7) == ""
    assert answered(Action.RAISE, "Function.ValueError", **value) == ""
    assert answered(Action.WAIT, LATE, **late) == ""


@pytest.mark.parametrize("kind", list(Action))
def test_another_events_response_is_a_fault(kind: Action) -> None:
    value = {"requestId": "other", "errorType": "ValueError", "errorMessage": "event 7"}
    late = {"requestId": "other", "errorType": LATE, "errorMessage": "late"}

    assert answered(kind, "Function.ValueError", **value)
    assert answered(kind, LATE, **late)
    if kind in (Action.ECHO, Action.RAISE, Action.WAIT):
        assert answered(kind, None, do="echo", n=8)


def test_an_error_with_another_events_message_is_a_fault() -> None:
    assert answered(Action.RAISE, "x", requestId="mine", errorType="ValueError", errorMessage="8")


def test_samples_are_compared_with_the_first() -> None:
    first = Sample(10, 1000, 900, 800, 5, 2, 14, 100)
    last = Sample(20, 1010, 910, 804, 5, 2, 14, 100)

    assert row(last, first).split()[:5] == ["20", "1010", "1.010", "804", "1.005"]
