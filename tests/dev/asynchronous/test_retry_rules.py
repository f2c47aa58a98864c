"""The rules of retries, without trio and without files."""

import json
from typing import Any

import attrs
import pytest

from okibi.dev.asynchronous.failure_record import encode_record, failure_record
from okibi.dev.asynchronous.retry_rules import (
    Condition,
    DropEvent,
    QueuedEvent,
    RetryPolicy,
    RunAgain,
    after_failure,
    after_throttle,
    before_attempt,
)
from okibi.local import Invocation, InvokeResult

EVENT = QueuedEvent("id", '{"order": 1}', accepted_at=1000.0)
ARN = "arn:aws:lambda:us-east-1:012345678912:function:visits"


def delays(policy: RetryPolicy, count: int, rule: Any = after_failure) -> list[float]:
    """The pauses after each of a number of attempts at the same time."""
    event, found = EVENT, list[float]()
    for _ in range(count):
        step = rule(event, policy, 1000.0)
        assert isinstance(step, RunAgain)
        event = step.event
        found.append(step.delay)
    return found


def test_lambda_waits_one_minute_and_then_two() -> None:
    assert delays(RetryPolicy(), 2) == [60.0, 120.0]


def test_the_retry_delay_scales_all_pauses() -> None:
    assert delays(RetryPolicy(retry_delay=0.5), 2) == [0.5, 1.0]
    assert delays(RetryPolicy(retry_delay=0.0), 2) == [0.0, 0.0]
    assert delays(RetryPolicy(retry_delay=0.6), 2, after_throttle) == pytest.approx([0.01, 0.02])


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_an_event_is_dropped_after_its_last_retry(retries: int) -> None:
    event = attrs.evolve(EVENT, attempts=retries)

    step = after_failure(event, RetryPolicy(maximum_retry_attempts=retries), 1000.0)

    assert step == DropEvent(attrs.evolve(event, attempts=retries + 1), Condition.RETRIES_EXHAUSTED)


def test_pauses_after_throttles_double_from_one_second_to_five_minutes() -> None:
    expected = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]

    assert delays(RetryPolicy(), 11, after_throttle) == pytest.approx(expected)


def test_a_throttle_uses_up_no_retry() -> None:
    event = attrs.evolve(EVENT, attempts=2, throttles=100_000)

    step = after_throttle(event, RetryPolicy(), 1000.0)

    assert isinstance(step, RunAgain)
    assert step.event.attempts == 2


def test_a_failure_begins_the_pauses_after_throttles_anew() -> None:
    step = after_failure(attrs.evolve(EVENT, throttles=5), RetryPolicy(), 1000.0)

    assert step.event.throttles == 0


def test_an_event_is_dropped_beyond_its_age() -> None:
    policy = RetryPolicy(maximum_event_age=100)

    assert before_attempt(EVENT, policy, 1100.0) is None
    assert before_attempt(EVENT, policy, 1100.1) == DropEvent(EVENT, Condition.EVENT_AGE_EXCEEDED)


@pytest.mark.parametrize("rule", [after_failure, after_throttle])
def test_an_event_is_dropped_if_its_next_attempt_comes_too_late(rule: Any) -> None:
    policy = RetryPolicy(maximum_event_age=100)

    assert isinstance(rule(EVENT, policy, 1000.0), RunAgain)
    assert rule(EVENT, policy, 1099.5).condition == Condition.EVENT_AGE_EXCEEDED


def test_a_reserved_concurrency_of_zero_drops_all() -> None:
    step = before_attempt(EVENT, RetryPolicy(reserved_concurrency=0), 1000.0)

    assert step == DropEvent(EVENT, Condition.ZERO_RESERVED_CONCURRENCY)


def test_all_attempts_have_the_fields_of_the_invocation() -> None:
    invocation = Invocation(
        b'{"n": 1}',
        3.0,
        client_context="{}",
        cognito_identity='{"id": 1}',
        tenant_id="a",
        content_type="text/json",
        function_arn=ARN + ":live",
    )

    attempt = QueuedEvent.of(invocation, 0.0).invocation(5.0)

    ours, theirs = attrs.asdict(invocation), attrs.asdict(attempt)
    assert theirs.pop("timeout") == 5.0
    for name, value in theirs.items():
        # NaN for times that have not come.
        assert ours[name] == value or value != value


def test_a_payload_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ValueError, match="payload must be JSON in UTF-8"):
        QueuedEvent.of(Invocation(b"\xff", 3.0), 0.0)


# -- the record for the on-failure file


def record(result: InvokeResult | None, **fields: Any) -> dict[str, Any]:
    drop = DropEvent(attrs.evolve(EVENT, attempts=3, **fields), Condition.RETRIES_EXHAUSTED)
    line = encode_record(failure_record(drop, ARN, result, 1_767_268_800.0625))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    value: dict[str, Any] = json.loads(line)
    return value


def test_a_record_has_the_format_of_an_on_failure_destination() -> None:
    result = InvokeResult(200, b'{"errorMessage": "no"}', "Unhandled", "ValueError", "id", 1.0)

    assert record(result) == {
        "version": "1.0",
        "timestamp": "2026-01-01T12:00:00.062Z",
        "requestContext": {
            "requestId": "id",
            "functionArn": ARN + ":$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"order": 1},
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        },
        "responsePayload": {"errorMessage": "no"},
    }


def test_a_record_names_the_arn_of_the_invoker() -> None:
    arn = record(None, function_arn=ARN + ":live")["requestContext"]["functionArn"]

    assert arn == ARN + ":live"


def test_a_record_without_a_response_has_no_response() -> None:
    assert not {"responseContext", "responsePayload"} & record(None).keys()


def test_an_event_in_many_lines_makes_one_line() -> None:
    assert record(None, payload='{\n"order":\n2}')["requestPayload"] == {"order": 2}
