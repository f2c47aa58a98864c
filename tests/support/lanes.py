"""Lanes without a socket, and steps that bring them into a state."""

import math
import time
from contextlib import suppress

import attrs
import trio

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
WORKER = worker()
LATE = platform_error("Runtime.DeadlineExceeded", "late", "id-1")
GOOD = Outcome(b"")


@attrs.define(eq=False)
class SilentConnection:
    """A connection that neither brings nor takes bytes."""

    closed: bool = False

    def receive(self, limit: int) -> bytes:
        raise BlockingIOError

    def send(self, data: bytes | memoryview) -> int:
        raise BlockingIOError

    def pending(self) -> bool:
        return False

    async def readable(self) -> None: ...

    async def writable(self) -> None: ...

    def interrupt(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def open_lane(*, pipelined: bool = True) -> Lane:
    lane = Lane(0, HOST, pipelined)
    lane.attach(SilentConnection())
    return lane


def event(deadline: float = math.nan, **headers: bytes) -> ApiResponse:
    fields = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    fields.setdefault(b"lambda-runtime-aws-request-id", b"id-1")
    if not math.isnan(deadline):
        fields[b"lambda-runtime-deadline-ms"] = b"%d" % ((time.time() + deadline) * 1000)
    return ApiResponse(200, fields, b"{}", True)


def write(lane: Lane, size: int = 1 << 30) -> bytes:
    """Write at most `size` bytes, as a responder does."""
    written = bytearray()

    def send(data: bytes | memoryview) -> int:
        taken = bytes(data[: size - len(written)])
        if not taken:
            raise BlockingIOError
        written.extend(taken)
        return len(taken)

    with suppress(BlockingIOError):
        lane.outbox.write(send)
    return bytes(written)


def parse(lane: Lane, data: bytes) -> list[ApiResponse]:
    assert lane.connection is not None
    return lane.connection.parser.feed(data)


def request_next(lane: Lane) -> Lane:
    lane.stage()
    write(lane)
    return lane


def take_event(lane: Lane, message: ApiResponse) -> Delivery | None:
    """Take the response to a request that is out."""
    return lane.take_event(message, trio.current_time())


def receive_event(lane: Lane, message: ApiResponse | None = None) -> Delivery:
    """Request and receive an event."""
    delivery = take_event(request_next(lane), message or event())
    assert delivery is not None
    return delivery


def settle_event(lane: Lane, outcome: Outcome | None = None) -> Delivery:
    return settle(receive_event(lane), outcome)


def settle(delivery: Delivery, outcome: Outcome | None = None) -> Delivery:
    """Settle a received event, as its worker does."""
    assert delivery.assign(WORKER)
    assert delivery.begin(WORKER)
    assert delivery.settle(outcome or Outcome(b'"yes"'), WORKER)
    return delivery


def send_response(lane: Lane, outcome: Outcome | None = None) -> Delivery:
    """Settle an event and write the response, with what leaves with it."""
    delivery = settle_event(lane, outcome)
    lane.stage()
    write(lane)
    return delivery


def begin_stream(lane: Lane, *pieces: bytes) -> Delivery:
    """Receive an event and begin a streamed response."""
    delivery = receive_event(lane)
    assert delivery.assign(WORKER)
    assert delivery.begin(WORKER)
    first, *rest = pieces or (b"one",)
    assert lane.open_stream(delivery, WORKER, Stream(lambda: None), b"text/csv", chunk(first))
    for piece in rest:
        assert lane.append_to_stream(delivery, chunk(piece))
    return delivery


def end_stream(lane: Lane, delivery: Delivery, outcome: Outcome = GOOD) -> Lane:
    """Settle a stream and stage its end."""
    assert delivery.settle(outcome, WORKER)
    lane.stage()
    return lane
