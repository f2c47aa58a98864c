"""The events that a pool takes, and the choice of a sandbox."""

import math

import attrs
import pytest

from okibi.dev.dev_function import DevFunction
from okibi.dev.pool_rules import (
    NEXT_LIMIT,
    choose_sandbox,
    count_places,
    expect_next,
    may_start_sandbox,
)
from okibi.local import FunctionSettings, Invocation
from okibi.local.platform.outcomes import InvocationOutcome, timed_out

FUNCTION = DevFunction(FunctionSettings("app.handler"), concurrency=2)
MANY = DevFunction(FunctionSettings("app.handler", max_concurrency=4))


@attrs.frozen
class ListedSandbox:
    places: int = 1
    initialised: bool = True
    used_at: float = 0.0


def answered(outcome: InvocationOutcome | None, begun_at: float = 1.0) -> Invocation:
    invocation = Invocation(b"{}", 3.0)
    invocation.begun_at, invocation.answered_at, invocation.outcome = begun_at, 2.0, outcome
    return invocation


def test_the_sandbox_used_last_is_chosen() -> None:
    last = ListedSandbox(used_at=2.0)

    assert (
        choose_sandbox([ListedSandbox(used_at=1.0), last, ListedSandbox(places=0, used_at=3.0)])
        is last
    )


def test_an_idle_sandbox_comes_before_one_that_starts() -> None:
    idle = ListedSandbox()

    assert choose_sandbox([ListedSandbox(initialised=False, used_at=9.0), idle]) is idle


def test_no_sandbox_is_chosen_if_all_are_busy() -> None:
    assert choose_sandbox([ListedSandbox(places=0)]) is None


@pytest.mark.parametrize(
    ("function", "live", "broken", "allowed"),
    [
        (FUNCTION, 1, False, True),
        (FUNCTION, 2, False, False),
        (FUNCTION, 1, True, False),
        (FUNCTION, 0, True, True),
        (MANY, 0, False, True),
        (MANY, 1, False, False),
        (attrs.evolve(FUNCTION, attach=True), 0, False, False),
    ],
)
def test_a_sandbox_starts_if_the_function_allows_it(
    function: DevFunction, live: int, broken: bool, allowed: bool
) -> None:
    assert may_start_sandbox(function, live=live, broken=broken) is allowed


def test_a_managed_instance_takes_events_for_its_free_slots() -> None:
    coming = answered(None, begun_at=math.nan)

    assert count_places([], 4, initialised=False, free_slots=0) == 4
    assert count_places([coming], 4, initialised=False, free_slots=0) == 3
    assert count_places([answered(None)], 4, initialised=True, free_slots=3) == 3
    assert count_places([coming], 4, initialised=True, free_slots=3) == 2


def test_a_runtime_that_has_answered_is_waited_for() -> None:
    assert expect_next([answered(InvocationOutcome(b"1"))]) == 2.0 + NEXT_LIMIT
    assert expect_next([answered(None)]) == -math.inf
    assert expect_next([answered(timed_out("", 3.0))]) == -math.inf
    assert expect_next([]) == -math.inf
