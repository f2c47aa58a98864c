"""What a lane makes of a connection that breaks while an answer is streamed on it."""

import pytest

from okibi.runtime.in_flight.broken_connection import Expected, Loss
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.in_flight.lane import JOIN_LIMIT
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.protocol.runtime_api import chunk
from tests.support.lanes import (
    GOOD,
    LATE,
    ME,
    NEXT,
    Wire,
    asked,
    ended,
    event,
    lane_of,
    settled,
    streaming,
    write,
)


@pytest.mark.parametrize("size", [5, JOIN_LIMIT * 2])
@pytest.mark.parametrize("over", [False, True])
async def test_broken_with_none_of_it_written_it_goes_out_on_the_next(
    size: int, over: bool
) -> None:
    plain, broken = lane_of(), lane_of()
    made = {id(lane): streaming(lane, b"x" * size) for lane in (plain, broken)}
    if over:
        for lane in (plain, broken):
            ended(lane, made[id(lane)])

    assert broken.disconnect() is Loss.RESEND
    broken.attach(Wire())

    assert broken.expected == plain.expected
    if not over:
        for lane in (plain, broken):
            assert lane.append_to_stream(made[id(lane)], chunk(b"two"))
            ended(lane, made[id(lane)])
    assert write(broken) == write(plain)


@pytest.mark.parametrize("cut", [1, 100, -1])
async def test_broken_in_the_middle_of_a_piece_it_is_fatal(cut: int) -> None:
    lane = lane_of()
    streaming(lane)
    whole = sum(map(len, lane.outbox))
    write(lane, cut if cut > 0 else whole + cut)

    assert lane.disconnect() is Loss.CUT


async def test_broken_between_two_pieces_it_is_fatal_and_the_handler_is_cut() -> None:
    lane = lane_of()
    made = streaming(lane)
    write(lane)

    assert lane.disconnect() is Loss.CUT

    assert made.stream is not None
    assert made.stream.end_reason
    assert not lane.outbox
    # Nothing of it gets on to a new connection.
    lane.closing = True
    lane.attach(Wire())
    ended(lane, made, LATE)
    assert not lane.outbox


@pytest.mark.parametrize("left", [0, 1])
async def test_given_up_it_stays_until_it_is_settled_and_then_the_next_event_is_asked_for(
    left: int,
) -> None:
    lane = lane_of()
    made = streaming(lane)
    write(lane, len(lane.outbox[0]) - left)
    assert lane.disconnect() is Loss.CUT

    assert lane.drop_response() is made

    assert lane.delivery is made
    assert made.unsettled
    lane.attach(Wire())
    assert write(asked(lane)) == b""
    assert not lane.append_to_stream(made, chunk(b"two"))
    ended(lane, made, LATE)
    assert write(lane) == NEXT
    assert list(lane.expected) == [Expected.NEXT]
    assert lane.delivery is None


async def test_given_up_when_it_is_settled_the_next_event_is_asked_for() -> None:
    lane = lane_of()
    made = streaming(lane)
    write(lane)
    assert made.settle(GOOD, ME)
    assert lane.disconnect() is Loss.CUT

    assert lane.drop_response() is made

    lane.attach(Wire())
    lane.stage()
    assert write(lane) == NEXT
    assert lane.delivery is None


async def test_given_up_it_is_nothing_to_the_connections_that_break_after_it() -> None:
    lane = lane_of()
    made = streaming(lane)
    write(lane)
    lane.disconnect()
    lane.drop_response()

    for _ in range(2):
        lane.attach(Wire())
        assert lane.disconnect() is Loss.NOTHING
    assert lane.delivery is made
    lane.attach(Wire())
    ended(lane, made, LATE)
    assert write(lane) == NEXT
    other = lane.take_event(event(lambda_runtime_aws_request_id=b"id-2"))
    assert other is not None
    assert other.settle(Outcome(b"1"))
    lane.stage()
    assert lane.disconnect() is Loss.RESEND


@pytest.mark.parametrize("pipelined", [True, False])
async def test_broken_with_all_of_it_written_an_error_is_sent_in_its_place(
    pipelined: bool,
) -> None:
    lane = lane_of(pipelined=pipelined)
    made = streaming(lane)
    write(ended(lane, made))

    assert lane.disconnect() is (Loss.RESEND_MAYBE_EVENT if pipelined else Loss.RESEND)

    lane.attach(Wire())
    lane.stage()
    said = write(lane)
    assert said.startswith(b"POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\n")
    assert b"Runtime.StreamLost" in said
    assert not said.endswith(NEXT)
    lane.take_status(403)
    assert lane.resend_refused
    assert made.state is DeliveryState.ACKED


async def test_broken_with_its_end_half_written_it_is_fatal() -> None:
    lane = lane_of()
    made = streaming(lane)
    write(lane)
    ended(lane, made)
    write(lane, 2)

    assert lane.disconnect() is Loss.CUT


async def test_after_a_stream_a_plain_answer_is_what_it_was() -> None:
    lane = lane_of()
    write(ended(lane, streaming(lane)))
    lane.take_status()
    lane.expected.clear()

    settled(lane)
    lane.stage()

    assert lane.disconnect() is Loss.RESEND
    lane.stage()
    assert write(lane).endswith(b'"yes"' + NEXT)
