"""A streamed answer on a lane without a socket: what is said when, and who takes it."""

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
    ME,
    NEXT,
    Wire,
    asked,
    ended,
    event,
    given,
    lane_of,
    settled,
    streaming,
    write,
)
from tests.support.streaming_worker import joined

# -- what is said when


async def test_the_head_leaves_with_the_first_piece_and_no_request_behind_it() -> None:
    lane = lane_of()

    made = streaming(lane, b"one")

    assert made.state is DeliveryState.STREAMING
    assert len(lane.outbox) == 1
    said = write(lane)
    assert said.startswith(b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\n")
    assert said.endswith(b"\r\n\r\n3\r\none\r\n")
    assert list(lane.expected) == [Expected.STATUS]


async def test_the_attempt_s_id_is_echoed() -> None:
    lane = lane_of()
    made = given(lane, event(lambda_runtime_invocation_id=b"attempt-7"))
    made.assign(ME)
    made.begin(ME)

    assert lane.open_stream(made, ME, Stream(print), b"text/csv", [])

    assert b"\r\nLambda-Runtime-Invocation-Id: attempt-7\r\n" in write(lane)


async def test_a_piece_of_6_mb_is_not_copied() -> None:
    lane, piece = lane_of(), b"x" * 6_000_000
    made = streaming(lane, b"one")
    write(lane)

    assert lane.append_to_stream(made, chunk(piece))

    assert lane.outbox[1].obj is piece


async def test_behind_the_piece_that_is_written_small_ones_are_joined_up_to_the_limit() -> None:
    lane, half, large = lane_of(), JOIN_LIMIT // 2, b"x" * (JOIN_LIMIT * 2)
    made = streaming(lane, b"one")
    for data in (b"1", b"x" * half, b"2", b"x" * half, b"3", large, b"4", b"5"):
        assert lane.append_to_stream(made, chunk(data))
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


async def test_what_has_been_joined_is_not_copied_again() -> None:
    lane = lane_of()
    made = streaming(lane, b"one", b"two", b"three")
    write(lane, len(lane.outbox[0]))
    once = lane.outbox[0].obj
    assert joined(bytes(lane.outbox[0])) == b"twothree"

    for _ in range(3):
        write(lane, 1)
        assert lane.append_to_stream(made, chunk(b"four"))
        assert lane.outbox[0].obj is once


@pytest.mark.parametrize("outcome", [GOOD, LATE])
async def test_with_its_end_the_next_request_leaves_in_the_same_write(outcome: Outcome) -> None:
    lane = lane_of()
    made = streaming(lane)
    write(lane)

    ended(lane, made, outcome)

    assert len(lane.outbox) == 1
    error = outcome.error_type or ""
    assert write(lane) == last_chunk(error, outcome.body if error else b"") + NEXT
    assert list(lane.expected) == [Expected.STATUS, Expected.NEXT]
    assert lane.take_status() is made
    assert made.state is DeliveryState.ACKED


async def test_sequential_the_next_request_waits_for_the_status() -> None:
    lane = lane_of(pipelined=False)
    made = streaming(lane)
    write(lane)

    ended(lane, made)

    assert write(lane) == last_chunk()
    assert lane.take_status() is made
    assert write(asked(lane)) == b""
    assert list(lane.expected) == [Expected.NEXT]


async def test_once_the_process_is_to_end_no_request_follows() -> None:
    lane = lane_of()
    made = streaming(lane)
    write(lane)
    lane.closing = True

    assert write(ended(lane, made)) == last_chunk()


async def test_before_its_head_is_out_an_error_is_an_error_like_any_other() -> None:
    lane = lane_of()
    settled(lane, LATE)

    lane.stage()

    assert write(lane).startswith(b"POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\n")


async def test_an_error_type_that_could_pose_as_trailers_is_replaced() -> None:
    lane = lane_of()
    made = streaming(lane)
    write(lane)

    ended(lane, made, Outcome(b"{}", error_type="Function.A\r\nX: y"))

    said = write(lane)
    assert said.startswith(b"0\r\nLambda-Runtime-Function-Error-Type: Runtime.InvalidHeader\r\n")
    assert b"X: y" not in said


# -- whose it is


async def test_nobody_but_its_worker_begins_it_and_a_bad_content_type_changes_nothing() -> None:
    lane = lane_of()
    made = given(lane)
    made.assign(ME)
    made.begin(ME)
    stream = Stream(print)

    with pytest.raises(ValueError, match="one line"):
        lane.open_stream(made, ME, stream, b"a\r\nb", [])
    assert not lane.open_stream(made, worker("/other"), stream, b"a", [])

    assert made.state is DeliveryState.RUNNING
    assert not lane.outbox
    assert not lane.expected


async def test_once_it_has_ended_nothing_more_is_taken_of_it() -> None:
    lane = lane_of()
    made = streaming(lane)

    ended(lane, made, LATE)
    write(lane)

    assert not lane.append_to_stream(made, chunk(b"late"))
    assert not lane.outbox


async def test_settled_and_its_end_not_staged_yet_nothing_more_is_taken_of_it() -> None:
    lane = lane_of()
    made = streaming(lane)
    write(lane)

    assert made.settle(LATE)

    assert not lane.append_to_stream(made, chunk(b"late"))
    assert not lane.outbox


async def test_one_delivery_s_stream_does_not_get_into_another_s_answer() -> None:
    lane = lane_of()
    old = streaming(lane)
    ended(lane, old)
    write(lane)
    lane.take_status()
    lane.take_event(event(lambda_runtime_aws_request_id=b"id-2"))

    assert not lane.append_to_stream(old, chunk(b"late"))
    assert not lane.open_stream(old, ME, Stream(print), b"a", [])


# -- a final status before its end


@pytest.mark.parametrize("status", [202, 400, 403, 410, 413])
async def test_a_status_before_its_end_cuts_it_and_the_delivery_waits_for_its_worker(
    status: int,
) -> None:
    lane, cut = lane_of(), list[str]()
    made = given(lane)
    made.assign(ME)
    made.begin(ME)
    stream = Stream(lambda: cut.append("cut"))
    lane.open_stream(made, ME, stream, b"a", chunk(b"one"))
    write(lane)

    assert lane.take_status(status) is made

    assert cut == ["cut"]
    assert str(status) in stream.end_reason
    assert not lane.append_to_stream(made, chunk(b"two"))
    assert lane.delivery is made
    assert made.state is DeliveryState.STREAMING


async def test_cut_so_its_request_is_ended_before_the_next_one() -> None:
    lane = lane_of()
    made = streaming(lane)
    write(lane)
    lane.take_status(413)

    ended(lane, made, LATE)

    assert write(lane) == last_chunk() + NEXT
    assert list(lane.expected) == [Expected.NEXT]
    assert made.state is DeliveryState.ACKED
    assert lane.delivery is None


async def test_cut_so_and_the_connection_closed_only_the_next_request_is_said() -> None:
    lane = lane_of()
    made = streaming(lane)
    write(lane)
    lane.take_status(413)
    assert lane.disconnect(announced=True) is Loss.NOTHING
    lane.attach(Wire())

    ended(lane, made, LATE)

    assert write(lane) == NEXT
    assert made.state is DeliveryState.ACKED


async def test_the_event_of_a_stream_that_was_refused_comes_again_settled() -> None:
    lane, told = lane_of(), event(10.0)
    made = given(lane, told)
    made.assign(ME)
    made.begin(ME)
    lane.open_stream(made, ME, Stream(print), b"a", chunk(b"one"))
    write(lane)
    lane.take_status(403)
    write(ended(lane, made, LATE))

    repeat = lane.take_event(told)

    assert repeat is not None
    assert repeat.state is DeliveryState.SETTLED
