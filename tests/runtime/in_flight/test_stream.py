"""Streamed responses on a lane without a socket."""

import pytest

from okibi.runtime.in_flight.broken_connection import Expected, Loss
from okibi.runtime.in_flight.delivery import DeliveryState
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
    take_event,
    write,
)

# -- sending


async def test_the_head_leaves_with_the_first_piece_and_no_get() -> None:
    lane = open_lane()

    delivery = begin_stream(lane, b"one")

    assert delivery.state is DeliveryState.STREAMING
    assert len(lane.outbox.pieces) == 1
    written = write(lane)
    assert written.startswith(b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\n")
    assert written.endswith(b"\r\n\r\n3\r\none\r\n")
    assert lane.outbox.expected is Expected.STATUS


async def test_the_attempt_id_of_a_stream_is_echoed() -> None:
    lane = open_lane()
    delivery = receive_event(lane, event(lambda_runtime_invocation_id=b"attempt-7"))
    delivery.assign(WORKER)
    delivery.begin(WORKER)

    assert lane.open_stream(delivery, WORKER, Stream(print), b"text/csv", [])

    assert b"\r\nLambda-Runtime-Invocation-Id: attempt-7\r\n" in write(lane)


@pytest.mark.parametrize("outcome", [GOOD, LATE])
async def test_the_end_of_a_stream_leaves_with_the_next_get(outcome: Outcome) -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane)

    end_stream(lane, delivery, outcome)

    assert len(lane.outbox.pieces) == 1
    error = outcome.error_type or ""
    assert write(lane) == last_chunk(error, outcome.body if error else b"") + NEXT
    assert lane.outbox.expected is Expected.STATUS_NEXT
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
    assert lane.outbox.expected is Expected.NEXT


async def test_no_get_follows_the_stream_of_a_closing_lane() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane)
    lane.stop_asking()

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
    assert not lane.outbox.pieces
    assert lane.outbox.expected is Expected.NOTHING


async def test_an_ended_stream_takes_no_more_pieces() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)

    end_stream(lane, delivery, LATE)
    write(lane)

    assert not lane.append_to_stream(delivery, chunk(b"late"))
    assert not lane.outbox.pieces


async def test_a_settled_stream_takes_no_more_pieces() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    write(lane)

    assert delivery.settle(LATE)

    assert not lane.append_to_stream(delivery, chunk(b"late"))
    assert not lane.outbox.pieces


async def test_a_late_piece_does_not_reach_the_next_response() -> None:
    lane = open_lane()
    old = begin_stream(lane)
    end_stream(lane, old)
    write(lane)
    lane.take_status()
    take_event(lane, event(lambda_runtime_aws_request_id=b"id-2"))

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
    assert lane.outbox.expected is Expected.NEXT
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

    repeat = take_event(lane, message)

    assert repeat is not None
    assert repeat.state is DeliveryState.SETTLED
