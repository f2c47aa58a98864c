"""Streamed responses on a lane without a socket."""

from itertools import pairwise

import pytest

from okibi.runtime.in_flight.broken_connection import Expected, Loss
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.in_flight.lane import JOIN_LIMIT
from okibi.runtime.in_flight.stream import Stream
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.protocol.runtime_api import chunk, last_chunk
from tests.support.doubles import worker
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
    receive_event,
    request_next,
    settle_event,
    write,
)
from tests.support.streaming_worker import joined

# -- sending


async def test_the_head_leaves_with_the_first_piece_and_no_get() -> None:
    lane = open_lane()

    delivery = begin_stream(lane, b"one")

    assert delivery.state is DeliveryState.STREAMING
    assert len(lane.outbox) == 1
    written = write(lane)
    assert written.startswith(b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\n")
    assert written.endswith(b"\r\n\r\n3\r\none\r\n")
    assert list(lane.expected) == [Expected.STATUS]


async def test_the_attempt_id_of_a_stream_is_echoed() -> None:
    lane = open_lane()
    delivery = receive_event(lane, event(lambda_runtime_invocation_id=b"attempt-7"))
    delivery.assign(WORKER)
    delivery.begin(WORKER)

    assert lane.open_stream(delivery, WORKER, Stream(print), b"text/csv", [])

    assert b"\r\nLambda-Runtime-Invocation-Id: attempt-7\r\n" in write(lane)


async def test_a_piece_of_6_mb_is_not_copied() -> None:
    lane, piece = open_lane(), b"x" * 6_000_000
    delivery = begin_stream(lane, b"one")
    write(lane)

    assert lane.append_to_stream(delivery, chunk(piece))

    assert lane.outbox[1].obj is piece


async def test_small_pieces_are_joined_up_to_the_limit() -> None:
    lane, half, large = open_lane(), JOIN_LIMIT // 2, b"x" * (JOIN_LIMIT * 2)
    delivery = begin_stream(lane, b"one")
    for data in (b"1", b"x" * half, b"2", b"x" * half, b"3", large, b"4", b"5"):
        assert lane.append_to_stream(delivery, chunk(data))
    before = b"".join(lane.outbox)

    pieces = list[memoryview]()
    while lane.outbox:
        pieces.append(lane.outbox[0])
        lane.mark_written(len(pieces[-1]))

    assert b"".join(pieces) == before
    behind = pieces[1:]
    assert sum(piece.obj is large for piece in behind) == 1
    assert all(len(piece) <= JOIN_LIMIT for piece in behind if piece.obj is not large)
    assert all(len(one) + len(two) > JOIN_LIMIT for one, two in pairwise(behind))


async def test_joined_pieces_are_not_copied_again() -> None:
    lane = open_lane()
    delivery = begin_stream(lane, b"one", b"two", b"three")
    write(lane, len(lane.outbox[0]))
    once = lane.outbox[0].obj
    assert joined(bytes(lane.outbox[0])) == b"twothree"

    for _ in range(3):
        write(lane, 1)
        assert lane.append_to_stream(delivery, chunk(b"four"))
        assert lane.outbox[0].obj is once


@pytest.mark.parametrize("outcome", [GOOD, LATE])
async def test_the_end_of_a_stream_leaves_with_the_next_get(outcome: Outcome) -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane)

    end_stream(lane, delivery, outcome)

    assert len(lane.outbox) == 1
    error = outcome.error_type or ""
    assert write(lane) == last_chunk(error, outcome.body if error else b"") + NEXT
    assert list(lane.expected) == [Expected.STATUS, Expected.NEXT]
    assert lane.take_status() is delivery
    assert delivery.state is DeliveryState.ACKED


async def test_without_pipelining_the_next_get_waits_for_the_status() -> None:
    lane = open_lane(pipelined=False)
    delivery = begin_stream(lane)
    write(lane)

    end_stream(lane, delivery)

    assert write(lane) == last_chunk()
    assert lane.take_status() is delivery
    assert write(request_next(lane)) == b""
    assert list(lane.expected) == [Expected.NEXT]


async def test_no_get_follows_the_stream_of_a_closing_lane() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane)
    lane.closing = True

    assert write(end_stream(lane, delivery)) == last_chunk()


async def test_an_error_before_the_first_piece_is_a_plain_error() -> None:
    lane = open_lane()
    settle_event(lane, LATE)

    lane.stage()

    assert write(lane).startswith(b"POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\n")


async def test_an_error_type_that_would_inject_trailers_is_replaced() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane)

    end_stream(lane, delivery, Outcome(b"{}", error_type="Function.A\r\nX: y"))

    written = write(lane)
    assert written.startswith(b"0\r\nLambda-Runtime-Function-Error-Type: Runtime.InvalidHeader\r\n")
    assert b"X: y" not in written


# -- ownership


async def test_only_the_running_worker_opens_a_stream() -> None:
    lane = open_lane()
    delivery = receive_event(lane)
    delivery.assign(WORKER)
    delivery.begin(WORKER)
    stream = Stream(print)

    with pytest.raises(ValueError, match="one line"):
        lane.open_stream(delivery, WORKER, stream, b"a\r\nb", [])
    assert not lane.open_stream(delivery, worker("/other"), stream, b"a", [])

    assert delivery.state is DeliveryState.RUNNING
    assert not lane.outbox
    assert not lane.expected


async def test_an_ended_stream_takes_no_more_pieces() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)

    end_stream(lane, delivery, LATE)
    write(lane)

    assert not lane.append_to_stream(delivery, chunk(b"late"))
    assert not lane.outbox


async def test_a_settled_stream_takes_no_more_pieces() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane)

    assert delivery.settle(LATE)

    assert not lane.append_to_stream(delivery, chunk(b"late"))
    assert not lane.outbox


async def test_a_late_piece_does_not_reach_the_next_response() -> None:
    lane = open_lane()
    old = begin_stream(lane)
    end_stream(lane, old)
    write(lane)
    lane.take_status()
    lane.take_event(event(lambda_runtime_aws_request_id=b"id-2"))

    assert not lane.append_to_stream(old, chunk(b"late"))
    assert not lane.open_stream(old, WORKER, Stream(print), b"a", [])


# -- a status before the end of the stream


@pytest.mark.parametrize("status", [202, 400, 403, 410, 413])
async def test_a_status_before_the_end_cancels_the_handler(
    status: int,
) -> None:
    lane, cancelled = open_lane(), list[str]()
    delivery = receive_event(lane)
    delivery.assign(WORKER)
    delivery.begin(WORKER)
    stream = Stream(lambda: cancelled.append("handler"))
    lane.open_stream(delivery, WORKER, stream, b"a", chunk(b"one"))
    write(lane)

    assert lane.take_status(status) is delivery

    assert cancelled == ["handler"]
    assert str(status) in stream.end_reason
    assert not lane.append_to_stream(delivery, chunk(b"two"))
    assert lane.delivery is delivery
    assert delivery.state is DeliveryState.STREAMING


async def test_after_an_early_status_the_request_ends_before_the_next_get() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane)
    lane.take_status(413)

    end_stream(lane, delivery, LATE)

    assert write(lane) == last_chunk() + NEXT
    assert list(lane.expected) == [Expected.NEXT]
    assert delivery.state is DeliveryState.ACKED
    assert lane.delivery is None


async def test_after_an_early_status_and_a_close_only_the_next_get_is_sent() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane)
    lane.take_status(413)
    assert lane.disconnect(announced=True) is Loss.NOTHING
    lane.attach(SilentConnection())

    end_stream(lane, delivery, LATE)

    assert write(lane) == NEXT
    assert delivery.state is DeliveryState.ACKED


async def test_the_repeat_after_a_refused_stream_is_settled_at_once() -> None:
    lane, message = open_lane(), event(10.0)
    delivery = receive_event(lane, message)
    delivery.assign(WORKER)
    delivery.begin(WORKER)
    lane.open_stream(delivery, WORKER, Stream(print), b"a", chunk(b"one"))
    write(lane)
    lane.take_status(403)
    write(end_stream(lane, delivery, LATE))

    repeat = lane.take_event(message)

    assert repeat is not None
    assert repeat.state is DeliveryState.SETTLED
