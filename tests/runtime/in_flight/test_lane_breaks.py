"""What a lane makes of a broken connection, and of an answer that is refused, row by row."""

import pytest

from okibi.runtime.in_flight.broken_connection import Expected, Loss
from okibi.runtime.in_flight.delivery import Delivery, DeliveryState
from okibi.runtime.in_flight.lane import RESPONSE_JOIN_LIMIT, Lane
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.protocol.runtime_api import ApiResponse
from tests.support.lanes import (
    ME,
    NEXT,
    Wire,
    asked,
    event,
    given,
    lane_of,
    sent,
    settled,
    streaming,
    write,
)


async def test_broken_with_nothing_owed_the_delivery_goes_on() -> None:
    lane = lane_of()
    made = given(lane)
    wire = lane.transport

    assert lane.disconnect() is Loss.NOTHING

    assert isinstance(wire, Wire)
    assert wire.closed
    assert lane.transport is None
    assert lane.delivery is made
    assert lane.pipelined


async def test_broken_before_the_first_event_it_is_asked_for_again() -> None:
    lane = asked(lane_of())

    assert lane.disconnect() is Loss.MAYBE_EVENT

    assert lane.pipelined
    assert write(asked(lane)) == b""
    assert list(lane.expected) == [Expected.NEXT]


async def test_broken_after_the_status_the_lane_is_sequential_from_then_on() -> None:
    lane = lane_of()
    sent(lane)
    lane.take_status()

    assert lane.disconnect() is Loss.MAYBE_EVENT

    assert not lane.pipelined
    lane.stage()
    assert write(lane) == NEXT


async def test_broken_with_none_of_the_answer_written_it_is_staged_again_as_before() -> None:
    lane = lane_of()
    made = settled(lane)
    lane.stage()

    assert lane.disconnect() is Loss.RESEND

    assert made.state is DeliveryState.SETTLED
    assert lane.pipelined
    assert not lane.outbox
    lane.stage()
    assert write(lane).endswith(b'"yes"' + NEXT)


@pytest.mark.parametrize("pipelined", [True, False])
async def test_broken_with_the_whole_answer_written_it_is_sent_once_more_sequentially(
    pipelined: bool,
) -> None:
    lane = lane_of(pipelined=pipelined)
    made = settled(lane)
    lane.stage()
    first = write(lane)

    assert lane.disconnect() is (Loss.RESEND_MAYBE_EVENT if pipelined else Loss.RESEND)

    assert not lane.pipelined
    lane.stage()
    again = write(lane)
    assert again == first.removesuffix(NEXT)
    assert lane.take_status() is made


async def test_the_next_request_being_cut_does_not_cut_the_answer() -> None:
    lane = lane_of()
    settled(lane)
    lane.stage()
    write(lane, len(lane.outbox[0]) - 3)

    assert lane.disconnect() is Loss.RESEND


async def test_broken_a_second_time_with_the_answer_written_it_is_fatal() -> None:
    lane = lane_of()
    settled(lane)
    for expected in (Loss.RESEND_MAYBE_EVENT, Loss.SENT_TWICE):
        lane.stage()
        write(lane)
        assert lane.disconnect() is expected


async def test_a_connection_that_takes_nothing_is_no_second_time() -> None:
    lane = lane_of()
    sent(lane)
    lane.disconnect()
    for _ in range(5):
        lane.stage()
        assert lane.disconnect() is Loss.RESEND

    lane.stage()
    write(lane)
    assert lane.disconnect() is Loss.SENT_TWICE


async def test_once_acknowledged_the_next_answer_may_be_sent_twice_again() -> None:
    lane = lane_of()
    sent(lane)
    lane.disconnect()
    lane.stage()
    write(lane)
    lane.take_status()

    sent(lane)

    assert lane.disconnect() is Loss.RESEND
    assert not lane.pipelined


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("expected", [Loss.CUT, Loss.SENT_TWICE])
async def test_an_answer_that_had_been_made_is_given_up_at_once(
    expected: Loss, streamed: bool
) -> None:
    lane = lane_of()
    made = streaming(lane) if streamed else settled(lane)
    if streamed:
        write(lane)
        assert made.settle(Outcome(b""), ME)
    lane.stage()
    if expected is Loss.SENT_TWICE:
        write(lane)
        lane.disconnect()
        lane.stage()
    write(lane, 1 if expected is Loss.CUT else 1 << 30)
    assert lane.disconnect() is expected

    assert lane.drop_response() is made

    lane.attach(Wire())
    assert lane.delivery is None
    lane.stage()
    assert write(lane) == NEXT


@pytest.mark.parametrize("size", [10, RESPONSE_JOIN_LIMIT * 2])
async def test_an_answer_cut_anywhere_inside_is_fatal(size: int) -> None:
    for cut in (1, 50, -1):
        lane = lane_of(pipelined=False)
        settled(lane, Outcome(b"x" * size))
        lane.stage()
        whole = sum(map(len, lane.outbox))
        write(lane, cut if cut > 0 else whole + cut)

        assert lane.disconnect() is Loss.CUT


async def test_broken_before_the_next_request_is_out_nothing_can_be_lost() -> None:
    lane = lane_of()
    lane.stage()
    write(lane, 5)

    assert lane.disconnect() is Loss.NOTHING


async def test_a_server_that_says_it_closes_has_taken_no_second_request() -> None:
    lane = lane_of()
    sent(lane)
    lane.take_status()

    assert lane.disconnect(announced=True) is Loss.NOTHING
    assert not lane.pipelined


async def test_http_1_0_turns_the_lane_sequential_though_it_is_kept_alive() -> None:
    lane = asked(lane_of())

    lane.parse(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n")

    assert not lane.pipelined


# -- an answer that is refused


def refused(lane: Lane, status: int, told: ApiResponse) -> None:
    """Answer an event, and have the answer refused."""
    made = given(lane, told)
    assert made.settle(Outcome(b"1"))
    lane.stage()
    write(lane)
    lane.take_status(status)


def again(lane: Lane, told: ApiResponse) -> Delivery | None:
    if not lane.expected:
        asked(lane)
    return lane.take_event(told)


@pytest.mark.parametrize("status", [400, 403, 404, 431])
async def test_the_event_of_a_refused_answer_comes_again_settled(status: int) -> None:
    lane, told = lane_of(), event(10.0)
    refused(lane, status, told)

    repeat = again(lane, told)

    assert repeat is not None
    assert repeat.outcome is not None
    assert repeat.state is DeliveryState.SETTLED
    assert repeat.begun == 0
    assert repeat.outcome.error_type == "Runtime.AnswerRefused"


async def test_a_repeat_whose_error_is_refused_is_dropped_until_another_event_comes() -> None:
    lane, told = lane_of(), event(10.0)
    refused(lane, 404, told)
    assert again(lane, told) is not None
    lane.stage()
    write(lane)
    lane.take_status(404)

    for times in (1, 2, 3):
        assert again(lane, told) is None
        assert lane.refusals == times
    other = again(lane, event(10.0, lambda_runtime_aws_request_id=b"id-2"))
    assert other is not None
    assert other.unsettled


@pytest.mark.parametrize("status", [200, 202, 413])
async def test_what_was_answered_is_no_repeat_when_it_comes_again(status: int) -> None:
    lane, told = lane_of(), event(10.0)
    refused(lane, status, told)

    made = again(lane, told)

    assert made is not None
    assert made.unsettled


@pytest.mark.parametrize(
    "retry", [event(70.0), event(10.0, lambda_runtime_invocation_id=b"attempt-2")]
)
async def test_a_retry_of_an_asynchronous_event_is_no_repeat(retry: ApiResponse) -> None:
    lane, told = lane_of(), event(10.0)
    refused(lane, 400, told)

    made = again(lane, retry)

    assert made is not None
    assert made.unsettled


async def test_a_403_to_an_answer_sent_once_more_is_doubtful_until_an_event_comes() -> None:
    lane = lane_of()
    sent(lane)
    lane.disconnect()
    lane.stage()
    write(lane)

    lane.take_status(403)
    assert lane.resend_refused

    assert again(lane, event(10.0, lambda_runtime_aws_request_id=b"id-2")) is not None
    assert not lane.resend_refused


# -- values that cannot stand in a header


@pytest.mark.parametrize(
    "wrong",
    [
        Outcome(b"1", content_type=b"text/plain\r\nX: y"),
        Outcome(b"{}", error_type="Function.A\nB"),
        Outcome(b"{}", error_type="Function.A", cause=b"{}\r\nX: y"),
    ],
)
async def test_an_outcome_that_could_pose_as_headers_is_an_error(wrong: Outcome) -> None:
    lane = lane_of()
    settled(lane, wrong)

    lane.stage()

    said = write(lane)
    assert said.startswith(b"POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\n")
    assert b"\r\nLambda-Runtime-Function-Error-Type: Runtime.InvalidHeader\r\n" in said
    assert b"\r\nX: y" not in said
    assert said.endswith(NEXT)


async def test_a_request_id_cannot_end_the_path_it_stands_in() -> None:
    lane = lane_of()
    made = given(lane, event(lambda_runtime_aws_request_id=b"a/b c?\xe9"))
    assert made.settle(Outcome(b"1"))

    lane.stage()

    assert b"/invocation/a%2Fb%20c%3F%E9/response HTTP/1.1\r\n" in write(lane)
