"""A lane without a socket: what it sends, and what it does with responses."""

import math
import subprocess
import sys

import pytest
import trio

from okibi.runtime.in_flight import outbox as module
from okibi.runtime.in_flight import stream_trailers
from okibi.runtime.in_flight.broken_connection import Expected
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.in_flight.outbox import RESPONSE_JOIN_LIMIT
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.protocol.runtime_api import ApiResponse, WireError, last_chunk
from tests.support.doubles import add_follow_up
from tests.support.lanes import (
    HOST,
    LATE,
    NEXT,
    WORKER,
    SilentConnection,
    begin_stream,
    end_stream,
    event,
    open_lane,
    parse,
    receive_event,
    request_next,
    settle,
    settle_event,
    take_event,
    write,
)

# A process that can allocate no further block of 1 KB or more.
FULL = """
import resource, trio
from okibi.runtime.protocol.outcome import Outcome
from tests.support.lanes import open_lane, settle_event, begin_stream

async def main():
    whole, begun = open_lane(), open_lane()
    settle_event(whole, Outcome(b"x" * 200_000))
    delivery = begin_stream(begun, b"y" * 1000, *[b"z" * 5000] * 4)
    held, size, takes = [], 100_000, iter([len])
    resource.setrlimit(resource.RLIMIT_AS, (1, 1))
    while size > 1000:
        try:
            held.append(bytes(size))
        except MemoryError:
            size //= 2
    whole.stage()
    before = len(begun.outbox.pieces)
    try:
        begun.outbox.write(lambda data: next(takes)(data))
    except StopIteration:
        pass
    after = len(begun.outbox.pieces)
    held.clear()
    print(len(whole.outbox.pieces), before - after)

trio.run(main)
"""

# -- sending


async def test_the_first_request_is_get_next() -> None:
    lane = open_lane()

    lane.stage()

    assert write(lane) == NEXT
    assert lane.outbox.expected is Expected.NEXT


async def test_a_pending_get_next_is_not_repeated() -> None:
    lane = request_next(open_lane())

    lane.stage()

    assert not lane.outbox.pieces
    assert lane.outbox.expected is Expected.NEXT


@pytest.mark.parametrize(
    "state", [DeliveryState.RECEIVED, DeliveryState.ASSIGNED, DeliveryState.RUNNING]
)
async def test_nothing_is_sent_while_the_event_is_unsettled(state: DeliveryState) -> None:
    lane = open_lane()
    delivery = receive_event(lane)
    if state > DeliveryState.RECEIVED:
        delivery.assign(WORKER)
    if state > DeliveryState.ASSIGNED:
        delivery.begin(WORKER)

    lane.stage()

    assert delivery.state is state
    assert not lane.outbox.pieces
    assert lane.outbox.expected is Expected.NOTHING


async def test_a_pipelined_response_leaves_with_the_next_get() -> None:
    lane = open_lane()
    delivery = settle_event(lane)

    lane.stage()

    assert len(lane.outbox.pieces) == 1
    written = write(lane)
    assert written.startswith(b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\n")
    assert written.endswith(b'\r\n\r\n"yes"' + NEXT)
    assert lane.outbox.expected is Expected.STATUS_NEXT
    assert delivery.state is DeliveryState.STAGED


async def test_without_pipelining_the_next_get_waits_for_the_status() -> None:
    lane = open_lane(pipelined=False)
    delivery = settle_event(lane)

    lane.stage()
    assert write(lane).endswith(b'"yes"')
    lane.stage()
    assert not lane.outbox.pieces

    assert lane.take_status() is delivery
    lane.stage()
    assert write(lane) == NEXT


async def test_a_response_is_staged_once() -> None:
    lane = open_lane()
    settle_event(lane)

    lane.stage()
    lane.stage()

    assert write(lane).count(b"POST ") == 1


async def test_an_error_is_posted_with_type_and_x_ray_cause() -> None:
    lane = open_lane()
    settle_event(lane, Outcome(b"{}", error_type="Function.Boom", cause=b'{"x":1}'))

    lane.stage()

    written = write(lane)
    assert written.startswith(b"POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\n")
    assert b"\r\nLambda-Runtime-Function-Error-Type: Function.Boom\r\n" in written
    assert b'\r\nLambda-Runtime-Function-XRay-Error-Cause: {"x":1}\r\n' in written


@pytest.mark.parametrize("kind", [None, "Function.Boom"])
async def test_the_attempt_id_is_echoed(kind: str | None) -> None:
    lane = open_lane()
    delivery = receive_event(lane, event(lambda_runtime_invocation_id=b"attempt-7"))
    assert delivery.settle(Outcome(b"1", error_type=kind))

    lane.stage()

    assert b"\r\nLambda-Runtime-Invocation-Id: attempt-7\r\n" in write(lane)


@pytest.mark.parametrize("answer", [event(), event(lambda_runtime_invocation_id=b"attempt-7")])
@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(b"[1, 2]"),
        Outcome(b"<p>", content_type=b"text/html"),
        Outcome(b"{}", error_type="Function.Boom"),
    ],
)
async def test_a_prepared_head_makes_the_same_response(
    outcome: Outcome, answer: ApiResponse
) -> None:
    written = list[bytes]()
    for begun in (False, True):
        lane = open_lane()
        delivery = receive_event(lane, answer)
        if begun:
            lane.prepare_head(delivery)
        assert delivery.settle(outcome)
        lane.stage()
        written.append(write(lane))

    assert written[0] == written[1]


async def test_a_prepared_head_belongs_to_its_own_delivery() -> None:
    lane = open_lane()
    for attempt in (b"attempt-1", b"attempt-2"):
        delivery = receive_event(lane, event(lambda_runtime_invocation_id=attempt))
        if attempt == b"attempt-1":
            # The other handler does not wait, and its head is not prepared.
            lane.prepare_head(delivery)
        assert delivery.settle(Outcome(b"1"))
        lane.stage()

        assert b"\r\nLambda-Runtime-Invocation-Id: %s\r\n" % attempt in write(lane)
        lane.take_status()
        lane.outbox.take_next()


async def test_percent_signs_in_the_host_are_kept() -> None:
    lane = Lane(0, b"[fe80::1%25eth0]:80")
    lane.attach(SilentConnection())
    settle_event(lane)

    lane.stage()

    assert b"\r\nHost: [fe80::1%25eth0]:80\r\n" in write(lane)


async def test_no_attempt_id_is_echoed_without_one() -> None:
    lane = open_lane()
    settle_event(lane)

    lane.stage()

    assert b"Invocation-Id" not in write(lane)


async def test_a_response_of_6_mb_is_not_copied() -> None:
    lane, body = open_lane(), b"x" * 6_291_556
    settle_event(lane, Outcome(body))

    lane.stage()

    assert [len(part) for part in lane.outbox.pieces][1:] == [len(body), len(NEXT)]
    assert lane.outbox.pieces[1] is body
    assert write(lane).endswith(b"\r\n\r\n" + body + NEXT)


async def test_a_response_of_100_kb_leaves_in_one_write_with_the_next_get() -> None:
    lane, body = open_lane(), b"x" * 100_000
    settle_event(lane, Outcome(body))

    lane.stage()

    assert len(lane.outbox.pieces) == 1
    assert write(lane).endswith(b"\r\n\r\n" + body + NEXT)


def _fails() -> None:
    raise MemoryError


async def test_after_a_failed_stage_the_next_one_stages_the_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lane, body = open_lane(), b"x" * 100_000
    delivery = settle_event(lane, Outcome(body))
    with monkeypatch.context() as patched:
        patched.setattr(module, "retain_freed_memory", _fails)
        with pytest.raises(MemoryError):
            lane.stage()
    left = (delivery.state, [*lane.outbox.pieces], lane.outbox.expected)
    assert left == (DeliveryState.SETTLED, [], Expected.NOTHING)

    lane.stage()

    assert write(lane).endswith(b"\r\n\r\n" + body + NEXT)
    assert lane.outbox.expected is Expected.STATUS_NEXT


async def test_after_a_failed_stage_the_next_one_ends_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    with monkeypatch.context() as patched:
        patched.setattr(stream_trailers, "end_of_stream", lambda _: _fails())
        with pytest.raises(MemoryError):
            end_stream(lane, delivery)

    lane.stage()

    assert write(lane).endswith(b"0\r\n\r\n" + NEXT)


@pytest.mark.slow
def test_without_memory_to_join_parts_are_sent_separately() -> None:
    full = [sys.executable, "-c", FULL]
    done = subprocess.run(full, capture_output=True, text=True, timeout=20, check=False)

    assert done.stdout == "3 1\n", done.stderr


@pytest.mark.parametrize("size", [0, 10, RESPONSE_JOIN_LIMIT * 2])
@pytest.mark.parametrize("piece", [1, 7, 300])
async def test_a_response_written_in_pieces_is_the_same(size: int, piece: int) -> None:
    whole, cut = open_lane(), open_lane()
    for lane in (whole, cut):
        settle_event(lane, Outcome(b"x" * size))
        lane.stage()

    pieces = list[bytes]()
    while cut.outbox.pieces and (len(pieces) < 2000 or piece == 300):
        pieces.append(write(cut, piece))
    rest = write(cut)

    assert b"".join(pieces) + rest == write(whole)


# -- receiving


async def test_each_event_is_a_delivery_of_its_own() -> None:
    lane = open_lane()

    first = settle_event(lane)
    lane.stage()
    lane.take_status()
    second = take_event(lane, event())

    assert second is not None
    assert first is not second
    assert lane.serial == 2
    assert first.request_id == second.request_id == "id-1"
    assert lane.delivery is second


async def test_the_status_ends_the_delivery() -> None:
    lane = open_lane()
    delivery = settle_event(lane)
    lane.stage()

    assert lane.take_status() is delivery
    assert delivery.state is DeliveryState.ACKED
    assert lane.delivery is None


async def test_an_acknowledged_delivery_keeps_no_outcome_and_no_event() -> None:
    lane = open_lane()
    delivery = settle_event(lane)
    delivery.body = b"an event that was not decoded"
    lane.stage()
    lane.take_status()

    assert (delivery.outcome, delivery.body) == (None, b"")


@pytest.mark.parametrize(
    "answer",
    [
        ApiResponse(403, {}, b"", True),
        ApiResponse(500, {b"lambda-runtime-aws-request-id": b"id"}, b"", True),
        ApiResponse(200, {}, b"{}", True),
        ApiResponse(200, {b"lambda-runtime-aws-request-id": b""}, b"{}", True),
    ],
)
async def test_a_response_without_an_event_counts_as_a_refusal(answer: ApiResponse) -> None:
    lane = open_lane()

    for times in (1, 2):
        assert take_event(request_next(lane), answer) is None
        assert lane.failures.refusals == times
    assert take_event(request_next(lane), event()) is not None
    assert lane.failures.refusals == 0


async def test_half_a_response_stays_in_the_lane() -> None:
    lane = request_next(open_lane())

    assert parse(lane, b"HTTP/1.1 202 Accepted\r\nConte") == []
    assert lane.half_read
    assert [a.status for a in parse(lane, b"nt-Length: 0\r\n\r\n")] == [202]
    assert not lane.half_read


async def test_noise_is_refused_and_a_new_connection_has_a_new_parser() -> None:
    lane = request_next(open_lane())
    with pytest.raises(WireError):
        parse(lane, b"noise")

    lane.disconnect()
    lane.attach(SilentConnection())

    assert len(parse(lane, b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")) == 1


# -- deadlines


# Long times: a busy machine takes up to a second between two readings of the clocks.
@pytest.mark.parametrize(
    ("left", "margin", "for_the_handler"),
    [(9000.0, 100.0, 8900.0), (100.0, 100.0, 50.0), (20.0, 100.0, 10.0), (300.0, 0.0, 300.0)],
)
async def test_the_limit_is_a_margin_before_the_deadline_at_most_half(
    left: float, margin: float, for_the_handler: float
) -> None:
    lane = Lane(0, HOST, margin=margin)

    delivery = receive_event(lane, event(left))

    now = trio.current_time()
    assert delivery.due - now == pytest.approx(left, abs=2)
    assert delivery.limit - now == pytest.approx(for_the_handler, abs=2)
    assert delivery.limit <= delivery.due


async def test_a_past_deadline_leaves_no_time() -> None:
    delivery = receive_event(open_lane(), event(-5.0))

    assert delivery.limit == delivery.due
    assert delivery.due < trio.current_time()


@pytest.mark.parametrize("text", [b"", b"soon", b"9" * 400, b"9" * 5000])
async def test_an_unreadable_deadline_is_no_deadline(text: bytes) -> None:
    delivery = receive_event(open_lane(), event(lambda_runtime_deadline_ms=text))

    assert delivery.due == math.inf
    assert delivery.limit == math.inf


# -- follow-ups


async def test_a_response_with_follow_ups_leaves_alone_and_keeps_its_lane() -> None:
    lane = open_lane()
    delivery = receive_event(lane)
    follow_ups = add_follow_up(delivery)
    lane.outbox.hold_next()
    settle(delivery)
    lane.stage()

    assert not write(lane).endswith(NEXT)
    lane.take_status(202)

    assert lane.delivery is delivery
    assert lane.outbox.pipelined
    await follow_ups.wait_answered()
    lane.stage()
    assert write(lane) == b""


@pytest.mark.parametrize("begun", [False, True])
async def test_a_lane_asks_for_the_next_event_when_the_follow_ups_have_ended(begun: bool) -> None:
    lane = open_lane()
    delivery = receive_event(lane)
    add_follow_up(delivery)
    lane.outbox.hold_next()
    settle(delivery)
    request_next(lane)
    lane.take_status(202)
    if begun:
        assert delivery.begin_follow_ups(WORKER)

    assert lane.finish(delivery)
    assert not lane.finish(delivery)

    lane.stage()
    assert write(lane) == NEXT
    assert lane.delivery is None
    settle(receive_event(lane))
    lane.stage()
    assert write(lane).endswith(NEXT)


async def test_follow_ups_dropped_before_the_response_leave_with_the_next_get() -> None:
    lane = open_lane()
    delivery = receive_event(lane)
    add_follow_up(delivery)
    settle(delivery)

    delivery.drop_follow_ups("no time was left")

    lane.stage()
    assert write(lane).endswith(NEXT)


async def test_follow_ups_begin_after_a_lost_response() -> None:
    lane = open_lane()
    delivery = receive_event(lane)
    follow_ups = add_follow_up(delivery)
    settle(delivery)
    lane.stage()
    write(lane, 1)
    lane.disconnect()

    assert lane.drop_response() is delivery

    await follow_ups.wait_answered()
    assert lane.delivery is delivery
    assert delivery.begin_follow_ups(WORKER)


async def test_follow_ups_begin_after_a_stream_that_ended_early() -> None:
    lane = open_lane()
    delivery = begin_stream(lane)
    follow_ups = add_follow_up(delivery)
    write(lane)
    lane.take_status(413)

    end_stream(lane, delivery, LATE)

    assert write(lane) == last_chunk()
    await follow_ups.wait_answered()
    assert lane.finish(delivery)
    lane.stage()
    assert write(lane) == NEXT
