"""A lane without a socket: what is said when, and what is heard."""

import math
import subprocess
import sys

import pytest
import trio

from okibi.runtime.in_flight import lane as module
from okibi.runtime.in_flight import stream_trailers
from okibi.runtime.in_flight.broken_connection import Expected
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.in_flight.lane import RESPONSE_JOIN_LIMIT, Lane
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.protocol.runtime_api import ApiResponse, WireError
from tests.support.lanes import (
    HOST,
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

# Of memory the process has what it has: each block of 1 KB and more that there may be is taken.
FULL = """
import resource, trio
from okibi.runtime.protocol.outcome import Outcome
from tests.support.lanes import lane_of, settled, streaming, write

async def main():
    whole, begun = lane_of(), lane_of()
    settled(whole, Outcome(b"x" * 200_000))
    made = streaming(begun, b"y" * 1000, *[b"z" * 5000] * 4)
    held, size = [], 100_000
    resource.setrlimit(resource.RLIMIT_AS, (1, 1))
    while size > 1000:
        try:
            held.append(bytes(size))
        except MemoryError:
            size //= 2
    whole.stage()
    before = len(begun.outbox)
    begun.mark_written(len(begun.outbox[0]))
    after = len(begun.outbox)
    held.clear()
    print(len(whole.outbox), before - after)

trio.run(main)
"""

# -- what is staged when


async def test_at_first_the_next_event_is_asked_for() -> None:
    lane = lane_of()

    lane.stage()

    assert write(lane) == NEXT
    assert list(lane.expected) == [Expected.NEXT]


async def test_what_is_owed_already_is_not_asked_for_again() -> None:
    lane = asked(lane_of())

    lane.stage()

    assert not lane.outbox
    assert list(lane.expected) == [Expected.NEXT]


@pytest.mark.parametrize(
    "state", [DeliveryState.RECEIVED, DeliveryState.ASSIGNED, DeliveryState.RUNNING]
)
async def test_while_an_event_is_unsettled_nothing_is_said(state: DeliveryState) -> None:
    lane = lane_of()
    made = given(lane)
    if state > DeliveryState.RECEIVED:
        made.assign(ME)
    if state > DeliveryState.ASSIGNED:
        made.begin(ME)

    lane.stage()

    assert made.state is state
    assert not lane.outbox
    assert not lane.expected


async def test_pipelined_the_answer_and_the_next_request_leave_in_one_piece() -> None:
    lane = lane_of()
    made = settled(lane)

    lane.stage()

    assert len(lane.outbox) == 1
    said = write(lane)
    assert said.startswith(b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\n")
    assert said.endswith(b'\r\n\r\n"yes"' + NEXT)
    assert list(lane.expected) == [Expected.STATUS, Expected.NEXT]
    assert made.state is DeliveryState.STAGED


async def test_sequential_the_next_request_waits_for_the_status() -> None:
    lane = lane_of(pipelined=False)
    made = settled(lane)

    lane.stage()
    assert write(lane).endswith(b'"yes"')
    lane.stage()
    assert not lane.outbox

    assert lane.take_status() is made
    lane.stage()
    assert write(lane) == NEXT


async def test_an_answer_is_staged_once() -> None:
    lane = lane_of()
    settled(lane)

    lane.stage()
    lane.stage()

    assert write(lane).count(b"POST ") == 1


async def test_an_error_goes_to_error_with_its_type_and_cause() -> None:
    lane = lane_of()
    settled(lane, Outcome(b"{}", error_type="Function.Boom", cause=b'{"x":1}'))

    lane.stage()

    said = write(lane)
    assert said.startswith(b"POST /2018-06-01/runtime/invocation/id-1/error HTTP/1.1\r\n")
    assert b"\r\nLambda-Runtime-Function-Error-Type: Function.Boom\r\n" in said
    assert b'\r\nLambda-Runtime-Function-XRay-Error-Cause: {"x":1}\r\n' in said


@pytest.mark.parametrize("kind", [None, "Function.Boom"])
async def test_the_attempt_s_id_is_echoed_where_there_is_one(kind: str | None) -> None:
    lane = lane_of()
    made = given(lane, event(lambda_runtime_invocation_id=b"attempt-7"))
    assert made.settle(Outcome(b"1", error_type=kind))

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
async def test_an_answer_that_was_begun_before_is_the_same(
    outcome: Outcome, answer: ApiResponse
) -> None:
    said = list[bytes]()
    for begun in (False, True):
        lane = lane_of()
        made = given(lane, answer)
        if begun:
            lane.prepare_head(made)
        assert made.settle(outcome)
        lane.stage()
        said.append(write(lane))

    assert said[0] == said[1]


async def test_what_an_answer_begins_with_is_its_own_delivery_s() -> None:
    lane = lane_of()
    for attempt in (b"attempt-1", b"attempt-2"):
        made = given(lane, event(lambda_runtime_invocation_id=attempt))
        if attempt == b"attempt-1":
            # The other handler does not wait.
            lane.prepare_head(made)
        assert made.settle(Outcome(b"1"))
        lane.stage()

        assert b"\r\nLambda-Runtime-Invocation-Id: %s\r\n" % attempt in write(lane)
        lane.take_status()
        lane.expected.clear()


async def test_a_host_is_no_template() -> None:
    lane = Lane(0, b"[fe80::1%25eth0]:80")
    lane.attach(Wire())
    settled(lane)

    lane.stage()

    assert b"\r\nHost: [fe80::1%25eth0]:80\r\n" in write(lane)


async def test_without_an_attempt_s_id_there_is_none_to_echo() -> None:
    lane = lane_of()
    settled(lane)

    lane.stage()

    assert b"Invocation-Id" not in write(lane)


async def test_an_answer_of_6_mb_is_not_copied() -> None:
    lane, body = lane_of(), b"x" * 6_291_556
    settled(lane, Outcome(body))

    lane.stage()

    assert [len(part) for part in lane.outbox][1:] == [len(body), len(NEXT)]
    assert lane.outbox[1].obj is body
    assert write(lane).endswith(b"\r\n\r\n" + body + NEXT)


async def test_an_answer_of_100_kb_leaves_in_one_write_with_what_is_asked_behind_it() -> None:
    lane, body = lane_of(), b"x" * 100_000
    settled(lane, Outcome(body))

    lane.stage()

    assert len(lane.outbox) == 1
    assert write(lane).endswith(b"\r\n\r\n" + body + NEXT)


def _fails() -> None:
    raise MemoryError


async def test_an_answer_whose_making_has_failed_is_staged_by_the_next_responder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lane, body = lane_of(), b"x" * 100_000
    made = settled(lane, Outcome(body))
    with monkeypatch.context() as patched:
        patched.setattr(module, "keep_what_is_freed", _fails)
        with pytest.raises(MemoryError):
            lane.stage()
    assert (made.state, list(lane.outbox), list(lane.expected)) == (DeliveryState.SETTLED, [], [])

    lane.stage()

    assert write(lane).endswith(b"\r\n\r\n" + body + NEXT)
    assert list(lane.expected) == [Expected.STATUS, Expected.NEXT]


async def test_so_is_the_end_of_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    lane = lane_of()
    made = streaming(lane)
    with monkeypatch.context() as patched:
        patched.setattr(stream_trailers, "end_of_stream", lambda _: _fails())
        with pytest.raises(MemoryError):
            ended(lane, made)

    lane.stage()

    assert write(lane).endswith(b"0\r\n\r\n" + NEXT)


@pytest.mark.slow
def test_what_there_is_no_memory_to_join_leaves_in_parts() -> None:
    full = [sys.executable, "-c", FULL]
    done = subprocess.run(full, capture_output=True, text=True, timeout=20, check=False)

    assert done.stdout == "3 1\n", done.stderr


@pytest.mark.parametrize("size", [0, 10, RESPONSE_JOIN_LIMIT * 2])
@pytest.mark.parametrize("piece", [1, 7, 300])
async def test_written_in_pieces_it_is_the_same(size: int, piece: int) -> None:
    whole, cut = lane_of(), lane_of()
    for lane in (whole, cut):
        settled(lane, Outcome(b"x" * size))
        lane.stage()

    pieces = list[bytes]()
    while cut.outbox and (len(pieces) < 2000 or piece == 300):
        pieces.append(write(cut, piece))
    rest = write(cut)

    assert b"".join(pieces) + rest == write(whole)


# -- what is heard


async def test_an_event_is_a_delivery_with_a_serial_of_its_own() -> None:
    lane = lane_of()

    first = settled(lane)
    lane.stage()
    lane.take_status()
    second = lane.take_event(event())

    assert second is not None
    assert (first.serial, second.serial) == (1, 2)
    assert first.request_id == second.request_id == "id-1"
    assert lane.delivery is second


async def test_the_final_status_ends_a_delivery_whatever_it_is() -> None:
    lane = lane_of()
    made = settled(lane)
    lane.stage()

    assert lane.take_status() is made
    assert made.state is DeliveryState.ACKED
    assert lane.delivery is None


async def test_what_is_acknowledged_keeps_neither_answer_nor_event() -> None:
    lane = lane_of()
    made = settled(lane)
    made.body = b"an event that was not decoded"
    lane.stage()
    lane.take_status()

    assert (made.outcome, made.body) == (None, b"")


@pytest.mark.parametrize(
    "answer",
    [
        ApiResponse(403, {}, b"", True),
        ApiResponse(500, {b"lambda-runtime-aws-request-id": b"id"}, b"", True),
        ApiResponse(200, {}, b"{}", True),
        ApiResponse(200, {b"lambda-runtime-aws-request-id": b""}, b"{}", True),
    ],
)
async def test_an_answer_without_an_event_is_a_refusal_and_is_counted(answer: ApiResponse) -> None:
    lane = lane_of()

    for times in (1, 2):
        assert asked(lane).take_event(answer) is None
        assert lane.refusals == times
    assert asked(lane).take_event(event()) is not None
    assert lane.refusals == 0


async def test_half_an_answer_stays_in_the_lane() -> None:
    lane = asked(lane_of())

    assert lane.parse(b"HTTP/1.1 202 Accepted\r\nConte") == []
    assert [a.status for a in lane.parse(b"nt-Length: 0\r\n\r\n")] == [202]


async def test_noise_is_refused_and_a_new_connection_starts_afresh() -> None:
    lane = asked(lane_of())
    with pytest.raises(WireError):
        lane.parse(b"noise")

    lane.disconnect()
    lane.attach(Wire())

    assert len(lane.parse(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")) == 1


# -- deadlines


@pytest.mark.parametrize(
    ("left", "margin", "for_the_handler"),
    [(10.0, 0.1, 9.9), (0.1, 0.1, 0.05), (0.02, 0.1, 0.01), (3.0, 0.0, 3.0)],
)
async def test_okibi_answers_a_margin_before_the_platform_at_most_half_way(
    left: float, margin: float, for_the_handler: float
) -> None:
    lane = Lane(0, HOST, margin=margin)

    made = given(lane, event(left))

    now = trio.current_time()
    assert made.due - now == pytest.approx(left, abs=0.02)
    assert made.limit - now == pytest.approx(for_the_handler, abs=0.02)
    assert made.limit <= made.due


async def test_a_deadline_that_is_past_leaves_no_time() -> None:
    made = given(lane_of(), event(-5.0))

    assert made.limit == made.due
    assert made.due < trio.current_time()


@pytest.mark.parametrize("text", [b"", b"soon", b"9" * 400, b"9" * 5000])
async def test_a_deadline_that_is_no_time_is_none(text: bytes) -> None:
    made = given(lane_of(), event(lambda_runtime_deadline_ms=text))

    assert made.due == math.inf
    assert made.limit == math.inf
