"""What a lane does after a broken connection and after a refused response."""

import pytest

from okibi.runtime.in_flight.broken_connection import Expected, Loss
from okibi.runtime.in_flight.delivery import Delivery, DeliveryState
from okibi.runtime.in_flight.lane import RESPONSE_JOIN_LIMIT, Lane
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.protocol.runtime_api import ApiResponse
from tests.support.lanes import (
    NEXT,
    WORKER,
    SilentConnection,
    begin_stream,
    event,
    open_lane,
    receive_event,
    request_next,
    send_response,
    settle_event,
    write,
)


async def test_a_break_with_nothing_expected_keeps_the_delivery() -> None:
    lane = open_lane()
    delivery = receive_event(lane)
    wire = lane.transport

    assert lane.disconnect() is Loss.NOTHING

    assert isinstance(wire, SilentConnection)
    assert wire.closed
    assert lane.transport is None
    assert lane.delivery is delivery
    assert lane.pipelined


async def test_a_break_before_the_first_event_repeats_the_get() -> None:
    lane = request_next(open_lane())

    assert lane.disconnect() is Loss.MAYBE_EVENT

    assert lane.pipelined
    assert write(request_next(lane)) == b""
    assert list(lane.expected) == [Expected.NEXT]


async def test_a_break_after_the_status_turns_pipelining_off() -> None:
    lane = open_lane()
    send_response(lane)
    lane.take_status()

    assert lane.disconnect() is Loss.MAYBE_EVENT

    assert not lane.pipelined
    lane.stage()
    assert write(lane) == NEXT


async def test_an_unwritten_response_is_staged_again_with_the_next_get() -> None:
    lane = open_lane()
    delivery = settle_event(lane)
    lane.stage()

    assert lane.disconnect() is Loss.RESEND

    assert delivery.state is DeliveryState.SETTLED
    assert lane.pipelined
    assert not lane.outbox
    lane.stage()
    assert write(lane).endswith(b'"yes"' + NEXT)


@pytest.mark.parametrize("pipelined", [True, False])
async def test_a_written_response_is_resent_without_pipelining(
    pipelined: bool,
) -> None:
    lane = open_lane(pipelined=pipelined)
    delivery = settle_event(lane)
    lane.stage()
    first = write(lane)

    assert lane.disconnect() is (Loss.RESEND_MAYBE_EVENT if pipelined else Loss.RESEND)

    assert not lane.pipelined
    lane.stage()
    resent = write(lane)
    assert resent == first.removesuffix(NEXT)
    assert lane.take_status() is delivery


async def test_a_break_within_the_next_get_does_not_cut_the_response() -> None:
    lane = open_lane()
    settle_event(lane)
    lane.stage()
    write(lane, len(lane.outbox[0]) - 3)

    assert lane.disconnect() is Loss.RESEND


async def test_a_second_break_after_a_written_response_is_fatal() -> None:
    lane = open_lane()
    settle_event(lane)
    for expected in (Loss.RESEND_MAYBE_EVENT, Loss.SENT_TWICE):
        lane.stage()
        write(lane)
        assert lane.disconnect() is expected


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


async def test_each_response_may_be_resent_once() -> None:
    lane = open_lane()
    send_response(lane)
    lane.disconnect()
    lane.stage()
    write(lane)
    lane.take_status()

    send_response(lane)

    assert lane.disconnect() is Loss.RESEND
    assert not lane.pipelined


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


@pytest.mark.parametrize("size", [10, RESPONSE_JOIN_LIMIT * 2])
async def test_a_break_anywhere_within_a_response_is_fatal(size: int) -> None:
    for cut in (1, 50, -1):
        lane = open_lane(pipelined=False)
        settle_event(lane, Outcome(b"x" * size))
        lane.stage()
        whole = sum(map(len, lane.outbox))
        write(lane, cut if cut > 0 else whole + cut)

        assert lane.disconnect() is Loss.CUT


async def test_a_break_within_the_first_get_loses_nothing() -> None:
    lane = open_lane()
    lane.stage()
    write(lane, 5)

    assert lane.disconnect() is Loss.NOTHING


async def test_an_announced_close_loses_nothing_and_ends_pipelining() -> None:
    lane = open_lane()
    send_response(lane)
    lane.take_status()

    assert lane.disconnect(announced=True) is Loss.NOTHING
    assert not lane.pipelined


async def test_http_1_0_turns_pipelining_off_even_if_kept_alive() -> None:
    lane = request_next(open_lane())

    lane.parse(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n")

    assert not lane.pipelined


# -- refused responses


def respond_and_refuse(lane: Lane, status: int, message: ApiResponse) -> None:
    """Respond to an event, and refuse the response."""
    delivery = receive_event(lane, message)
    assert delivery.settle(Outcome(b"1"))
    lane.stage()
    write(lane)
    lane.take_status(status)


def send_event(lane: Lane, message: ApiResponse) -> Delivery | None:
    if not lane.expected:
        request_next(lane)
    return lane.take_event(message)


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


async def test_later_repeats_are_dropped_until_another_event() -> None:
    lane, message = open_lane(), event(10.0)
    respond_and_refuse(lane, 404, message)
    assert send_event(lane, message) is not None
    lane.stage()
    write(lane)
    lane.take_status(404)

    for times in (1, 2, 3):
        assert send_event(lane, message) is None
        assert lane.refusals == times
    other = send_event(lane, event(10.0, lambda_runtime_aws_request_id=b"id-2"))
    assert other is not None
    assert other.unsettled


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
    assert lane.resend_refused

    assert send_event(lane, event(10.0, lambda_runtime_aws_request_id=b"id-2")) is not None
    assert not lane.resend_refused


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
