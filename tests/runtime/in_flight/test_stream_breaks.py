"""What a lane does when the connection breaks within a streamed response."""

import pytest

from okibi.runtime.in_flight.broken_connection import Expected, Loss
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.in_flight.lane import JOIN_LIMIT
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.protocol.runtime_api import chunk
from tests.support.lanes import (
    GOOD,
    LATE,
    NEXT,
    WORKER,
    SilentConnection,
    begin_stream,
    end_stream,
    event,
    open_lane,
    request_next,
    settle_event,
    write,
)


@pytest.mark.parametrize("size", [5, JOIN_LIMIT * 2])
@pytest.mark.parametrize("complete", [False, True])
async def test_an_unwritten_stream_is_sent_on_the_next_connection(
    size: int, complete: bool
) -> None:
    plain, broken = open_lane(), open_lane()
    delivery = {id(lane): begin_stream(lane, b"x" * size) for lane in (plain, broken)}
    if complete:
        for lane in (plain, broken):
            end_stream(lane, delivery[id(lane)])

    assert broken.disconnect() is Loss.RESEND
    broken.attach(SilentConnection())

    assert broken.expected == plain.expected
    if not complete:
        for lane in (plain, broken):
            assert lane.append_to_stream(delivery[id(lane)], chunk(b"two"))
            end_stream(lane, delivery[id(lane)])
    assert write(broken) == write(plain)


@pytest.mark.parametrize("cut", [1, 100, -1])
async def test_a_break_within_a_piece_is_fatal(cut: int) -> None:
    lane = open_lane()
    begin_stream(lane)
    whole = sum(map(len, lane.outbox))
    write(lane, cut if cut > 0 else whole + cut)

    assert lane.disconnect() is Loss.CUT


async def test_a_break_between_pieces_is_fatal_and_ends_the_stream() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane)

    assert lane.disconnect() is Loss.CUT

    assert delivery.stream is not None
    assert delivery.stream.end_reason
    assert not lane.outbox
    # No byte of the stream reaches the new connection.
    lane.closing = True
    lane.attach(SilentConnection())
    end_stream(lane, delivery, LATE)
    assert not lane.outbox


@pytest.mark.parametrize("left", [0, 1])
async def test_a_dropped_open_stream_stays_until_it_is_settled(
    left: int,
) -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane, len(lane.outbox[0]) - left)
    assert lane.disconnect() is Loss.CUT

    assert lane.drop_response() is delivery

    assert lane.delivery is delivery
    assert delivery.unsettled
    lane.attach(SilentConnection())
    assert write(request_next(lane)) == b""
    assert not lane.append_to_stream(delivery, chunk(b"two"))
    end_stream(lane, delivery, LATE)
    assert write(lane) == NEXT
    assert list(lane.expected) == [Expected.NEXT]
    assert lane.delivery is None


async def test_a_dropped_settled_stream_frees_the_lane_at_once() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane)
    assert delivery.settle(GOOD, WORKER)
    assert lane.disconnect() is Loss.CUT

    assert lane.drop_response() is delivery

    lane.attach(SilentConnection())
    lane.stage()
    assert write(lane) == NEXT
    assert lane.delivery is None


async def test_a_dropped_stream_does_not_affect_later_connections() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane)
    lane.disconnect()
    lane.drop_response()

    for _ in range(2):
        lane.attach(SilentConnection())
        assert lane.disconnect() is Loss.NOTHING
    assert lane.delivery is delivery
    lane.attach(SilentConnection())
    end_stream(lane, delivery, LATE)
    assert write(lane) == NEXT
    other = lane.take_event(event(lambda_runtime_aws_request_id=b"id-2"))
    assert other is not None
    assert other.settle(Outcome(b"1"))
    lane.stage()
    assert lane.disconnect() is Loss.RESEND


@pytest.mark.parametrize("pipelined", [True, False])
async def test_after_a_written_stream_an_error_is_sent_in_its_place(
    pipelined: bool,
) -> None:
    lane = open_lane(pipelined=pipelined)
    delivery = begin_stream(lane)
    write(end_stream(lane, delivery))

    assert lane.disconnect() is (Loss.RESEND_MAYBE_EVENT if pipelined else Loss.RESEND)

    lane.attach(SilentConnection())
    lane.stage()
    written = write(lane)
    assert written.startswith(b"POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\n")
    assert b"Runtime.StreamLost" in written
    assert not written.endswith(NEXT)
    lane.take_status(403)
    assert lane.resend_refused
    assert delivery.state is DeliveryState.ACKED


async def test_a_break_within_the_end_of_a_stream_is_fatal() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane)
    end_stream(lane, delivery)
    write(lane, 2)

    assert lane.disconnect() is Loss.CUT


async def test_a_plain_response_after_a_stream_is_resent_as_usual() -> None:
    lane = open_lane()
    write(end_stream(lane, begin_stream(lane)))
    lane.take_status()
    lane.expected.clear()

    settle_event(lane)
    lane.stage()

    assert lane.disconnect() is Loss.RESEND
    lane.stage()
    assert write(lane).endswith(b'"yes"' + NEXT)
