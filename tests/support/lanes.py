"""Lanes without a socket, brought into the state that a test needs."""

import math
import time

import attrs

from okibi.runtime.errors.error_response import platform_error
from okibi.runtime.in_flight.delivery import Delivery
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.in_flight.stream import Stream
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.protocol.runtime_api import ApiResponse, chunk, next_request
from tests.support.doubles import worker

HOST = b"api:80"
NEXT = next_request(HOST)
ACCEPTED = ApiResponse(202, {}, b"", True)
ME = worker()
LATE = platform_error("Runtime.DeadlineExceeded", "late", "id-1")
GOOD = Outcome(b"")


@attrs.define(eq=False)
class Wire:
    """A connection on which nothing moves."""

    closed: bool = False

    def receive(self, limit: int) -> bytes:
        raise BlockingIOError

    def send(self, data: memoryview) -> int:
        raise BlockingIOError

    def pending(self) -> bool:
        return False

    async def readable(self) -> None: ...

    async def writable(self) -> None: ...

    def interrupt(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def lane_of(**fields: bool) -> Lane:
    lane = Lane(0, HOST, **fields)
    lane.attach(Wire())
    return lane


def event(deadline: float = math.nan, **headers: bytes) -> ApiResponse:
    told = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    told.setdefault(b"lambda-runtime-aws-request-id", b"id-1")
    if not math.isnan(deadline):
        told[b"lambda-runtime-deadline-ms"] = b"%d" % ((time.time() + deadline) * 1000)
    return ApiResponse(200, told, b"{}", True)


def write(lane: Lane, size: int = 1 << 30) -> bytes:
    """Write at most `size` bytes, as a responder does."""
    written = b""
    while lane.outbox and size > len(written):
        piece = bytes(lane.outbox[0][: size - len(written)])
        lane.mark_written(len(piece))
        written += piece
    return written


def asked(lane: Lane) -> Lane:
    lane.stage()
    write(lane)
    return lane


def given(lane: Lane, answer: ApiResponse | None = None) -> Delivery:
    """Put an event into the lane."""
    made = asked(lane).take_event(answer or event())
    assert made is not None
    return made


def settled(lane: Lane, outcome: Outcome | None = None) -> Delivery:
    made = given(lane)
    assert made.assign(ME)
    assert made.begin(ME)
    assert made.settle(outcome or Outcome(b'"yes"'), ME)
    return made


def sent(lane: Lane, outcome: Outcome | None = None) -> Delivery:
    """Send a whole response, and the request after it."""
    made = settled(lane, outcome)
    lane.stage()
    write(lane)
    return made


def streaming(lane: Lane, *pieces: bytes) -> Delivery:
    """Put an event into the lane, with a response that has begun."""
    made = given(lane)
    assert made.assign(ME)
    assert made.begin(ME)
    first, *rest = pieces or (b"one",)
    assert lane.open_stream(made, ME, Stream(lambda: None), b"text/csv", chunk(first))
    for piece in rest:
        assert lane.append_to_stream(made, chunk(piece))
    return made


def ended(lane: Lane, made: Delivery, outcome: Outcome = GOOD) -> Lane:
    """End a stream."""
    assert made.settle(outcome, ME)
    lane.stage()
    return lane
