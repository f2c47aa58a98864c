"""A lane whose connection breaks within a streamed response."""

import pytest

from okibi.runtime.in_flight.broken_connection import Expected, Loss
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.in_flight.outbox import JOIN_LIMIT
from okibi.runtime.protocol.runtime_api import chunk
from tests.support.lanes import (
    GOOD,
    LATE,
    NEXT,
    WORKER,
    SilentConnection,
    begin_stream,
    end_stream,
    open_lane,
    request_next,
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

    assert broken.outbox.expected is plain.outbox.expected
    if not complete:
        for lane in (plain, broken):
            assert lane.append_to_stream(delivery[id(lane)], chunk(b"two"))
            end_stream(lane, delivery[id(lane)])
    assert write(broken) == write(plain)


@pytest.mark.parametrize("left", [0, 1])
async def test_a_dropped_open_stream_stays_until_it_is_settled(
    left: int,
) -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane, len(lane.outbox.pieces[0]) - left)
    assert lane.disconnect() is Loss.CUT

    assert lane.drop_response() is delivery

    assert lane.delivery is delivery
    assert delivery.unsettled
    lane.attach(SilentConnection())
    assert write(request_next(lane)) == b""
    assert not lane.append_to_stream(delivery, chunk(b"two"))
    end_stream(lane, delivery, LATE)
    assert write(lane) == NEXT
    assert lane.outbox.expected is Expected.NEXT
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
    assert lane.resend.refused
    assert delivery.state is DeliveryState.ACKED
