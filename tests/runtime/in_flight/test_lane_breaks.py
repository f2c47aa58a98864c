"""A lane after a broken connection and after a refused response."""

import pytest

from okibi.runtime.in_flight.broken_connection import Expected, Loss
from okibi.runtime.in_flight.delivery import Delivery, DeliveryState
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.protocol.runtime_api import ApiResponse
from tests.support.lanes import (
    NEXT,
    WORKER,
    SilentConnection,
    begin_stream,
    event,
    open_lane,
    parse,
    receive_event,
    request_next,
    send_response,
    settle_event,
    take_event,
    write,
)


async def test_a_break_after_the_status_turns_pipelining_off() -> None:
    lane = open_lane()
    send_response(lane)
    lane.take_status()

    assert lane.disconnect() is Loss.MAYBE_EVENT

    assert not lane.outbox.pipelined
    lane.stage()
    assert write(lane) == NEXT


async def test_a_break_before_any_byte_does_not_count_as_a_resend() -> None:
    lane = open_lane()
    send_response(lane)
    lane.disconnect()
    for _ in range(5):
        lane.stage()
        assert lane.disconnect() is Loss.RESEND

    lane.stage()
    write(lane)
    assert lane.disconnect() is Loss.SENT_TWICE


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("expected", [Loss.CUT, Loss.SENT_TWICE])
async def test_a_lost_complete_response_is_dropped_at_once(expected: Loss, streamed: bool) -> None:
    lane = open_lane()
    delivery = begin_stream(lane) if streamed else settle_event(lane)
    if streamed:
        write(lane)
        assert delivery.settle(Outcome(b""), WORKER)
    lane.stage()
    if expected is Loss.SENT_TWICE:
        write(lane)
        lane.disconnect()
        lane.stage()
    write(lane, 1 if expected is Loss.CUT else 1 << 30)
    assert lane.disconnect() is expected

    assert lane.drop_response() is delivery

    lane.attach(SilentConnection())
    assert lane.delivery is None
    lane.stage()
    assert write(lane) == NEXT
    # The next response may be sent again.
    later = take_event(lane, event())
    assert later is not None
    assert later.settle(Outcome(b""))
    lane.stage()
    write(lane)
    assert lane.disconnect() in (Loss.RESEND, Loss.RESEND_MAYBE_EVENT)


async def test_a_break_before_the_first_event_keeps_pipelining() -> None:
    lane = request_next(open_lane())

    assert lane.disconnect() is Loss.MAYBE_EVENT
    assert lane.outbox.pipelined


async def test_a_lane_without_a_connection_has_read_nothing_and_may_fork() -> None:
    lane = open_lane()
    lane.close()

    lane.enter_child(lambda transport: transport)

    assert not lane.half_read


async def test_an_announced_close_ends_pipelining() -> None:
    lane = open_lane()
    receive_event(lane)

    assert lane.disconnect(announced=True) is Loss.NOTHING
    assert not lane.outbox.pipelined


async def test_a_connection_that_brings_no_response_counts_as_a_refusal() -> None:
    lane = request_next(open_lane())

    lane.disconnect()

    assert lane.failures.refusals == 1


async def test_http_1_0_turns_pipelining_off_even_if_kept_alive() -> None:
    lane = request_next(open_lane())

    parse(lane, b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n")
    assert lane.connection is not None
    lane.take_first_response(lane.connection)

    assert not lane.outbox.pipelined


# -- refused responses


def respond_and_refuse(lane: Lane, status: int, message: ApiResponse) -> None:
    """Respond to an event, and refuse the response."""
    delivery = receive_event(lane, message)
    assert delivery.settle(Outcome(b"1"))
    lane.stage()
    write(lane)
    lane.take_status(status)


def send_event(lane: Lane, message: ApiResponse) -> Delivery | None:
    if lane.outbox.expected is Expected.NOTHING:
        request_next(lane)
    return take_event(lane, message)


@pytest.mark.parametrize("status", [400, 403, 404, 431])
async def test_the_repeat_after_a_refused_response_is_settled_at_once(status: int) -> None:
    lane, message = open_lane(), event(10.0)
    respond_and_refuse(lane, status, message)

    repeat = send_event(lane, message)

    assert repeat is not None
    assert repeat.outcome is not None
    assert repeat.state is DeliveryState.SETTLED
    assert repeat.begun == 0
    assert repeat.outcome.error_type == "Runtime.AnswerRefused"
    lane.stage()
    write(lane)
    lane.take_status(202)
    following = send_event(lane, message)
    assert following is not None
    assert following.unsettled


async def test_later_repeats_are_dropped_until_another_event() -> None:
    lane, message = open_lane(), event(10.0)
    respond_and_refuse(lane, 404, message)
    assert send_event(lane, message) is not None
    lane.stage()
    write(lane)
    lane.take_status(404)

    for times in (1, 2, 3):
        assert send_event(lane, message) is None
        assert lane.failures.refusals == times
    other = event(10.0, lambda_runtime_aws_request_id=b"id-2")
    delivery = send_event(lane, other)
    assert delivery is not None
    assert delivery.settle(Outcome(b"2"))
    lane.stage()
    write(lane)
    lane.take_status(404)
    repeat = send_event(lane, other)
    assert repeat is not None
    assert not repeat.unsettled


@pytest.mark.parametrize("status", [200, 202, 413])
async def test_after_an_accepted_response_the_same_event_is_no_repeat(status: int) -> None:
    lane, message = open_lane(), event(10.0)
    respond_and_refuse(lane, status, message)

    delivery = send_event(lane, message)

    assert delivery is not None
    assert delivery.unsettled


@pytest.mark.parametrize(
    "retry", [event(70.0), event(10.0, lambda_runtime_invocation_id=b"attempt-2")]
)
async def test_a_retry_of_an_asynchronous_event_is_no_repeat(retry: ApiResponse) -> None:
    lane, message = open_lane(), event(10.0)
    respond_and_refuse(lane, 400, message)

    delivery = send_event(lane, retry)

    assert delivery is not None
    assert delivery.unsettled


async def test_a_403_to_a_resent_response_is_noted_until_the_next_event() -> None:
    lane = open_lane()
    send_response(lane)
    lane.disconnect()
    lane.stage()
    write(lane)

    lane.take_status(403)
    noted = lane.resend.refused

    assert send_event(lane, event(10.0, lambda_runtime_aws_request_id=b"id-2")) is not None
    assert (noted, lane.resend.refused) == (True, False)


# -- values that no header may have


@pytest.mark.parametrize(
    "wrong",
    [
        Outcome(b"1", content_type=b"text/plain\r\nX: y"),
        Outcome(b"{}", error_type="Function.A\nB"),
        Outcome(b"{}", error_type="Function.A", cause=b"{}\r\nX: y"),
    ],
)
async def test_an_outcome_that_would_inject_headers_becomes_an_error(wrong: Outcome) -> None:
    lane = open_lane()
    settle_event(lane, wrong)

    lane.stage()

    written = write(lane)
    assert written.startswith(b"POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\n")
    assert b"\r\nLambda-Runtime-Function-Error-Type: Runtime.InvalidHeader\r\n" in written
    assert b"\r\nX: y" not in written
    assert written.endswith(NEXT)


async def test_a_request_id_is_escaped_in_the_path() -> None:
    lane = open_lane()
    delivery = receive_event(lane, event(lambda_runtime_aws_request_id=b"a/b c?\xe9"))
    assert delivery.settle(Outcome(b"1"))

    lane.stage()

    assert b"/invocation/a%2Fb%20c%3F%E9/response HTTP/1.1\r\n" in write(lane)
