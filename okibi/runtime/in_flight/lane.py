"""A lane: one keep-alive connection to the Runtime API, and the state of what passes over it.

A lane outlives the actors that use it. A killed poller leaves half-read bytes in the parser and a
pending `GET /next`; a killed responder leaves the offset of its writing. No actor abandons a
pending `/next`, because that request would swallow the next event (Runtime API).

    sent last          the Runtime API still sends     may be sent now
    nothing            nothing                         GET /next
    GET /next          NEXT                            nothing, until the event is settled
    response + GET     STATUS, NEXT                    nothing
    response           STATUS                          nothing; after the status, GET /next

Pipelining: response and next GET leave in one write, and the server answers them in order. An event
then costs one round trip. A server may not support that: it closes after the first request, speaks
HTTP/1.0, or sends `Connection: close`. Any of these signs turns pipelining off for the lane's life.

`in_flight.broken_connection` has the table of what a broken connection means; `disconnect` acts
on it.

A refused response leaves the event unanswered, and the Runtime API sends the same event again at
once. No handler sees the repeat. The lane settles the first repeat with an error, which tells the
invoker. It drops later repeats, and the poller asks again after a pause. The retry of an
asynchronous event has the same request id but another deadline, and is no repeat.

A stream may end early: its status comes before its end (413 or a refusal), or the connection
breaks. The handler is cancelled and later pieces are dropped. The delivery stays in the lane until
it is settled, because a cancelled handler may run on (in a shield or a thread): its worker is not
idle, and its deadline still holds.
"""

import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

import trio

from ...actors import Actor, Address, Name, Ref
from ..errors.error_response import platform_error
from ..protocol.outcome import Outcome
from ..protocol.runtime_api import (
    DEADLINE,
    HEAD_END,
    JSON,
    ApiResponse,
    ApiResponseParser,
    attempt_key,
    echo_header,
    error_head,
    json_response_head,
    last_chunk,
    next_request,
    path_segment,
    response_head,
    seconds_until,
    stream_head,
)
from ..protocol.transport import Transport
from ..system.allocator import retain_freed_memory
from .broken_connection import Expected, Loss, classify_loss
from .delivery import Delivery, DeliveryState
from .stream import Stream

# Pieces of a stream up to this size are joined into one write. Above, a copy costs more than a
# system call, and the allocator asks the kernel for the memory.
JOIN_LIMIT = 64 * 1024
# The same for head, body and next GET: separate writes would wake the server up for each.
RESPONSE_JOIN_LIMIT = 256 * 1024
STREAM_LOST = "the connection to the Runtime API broke, and the whole stream was lost"
REFUSED = "the Runtime API refused the response to this invocation; the log has the reason"


class Lane:
    """One connection to the Runtime API, its delivery and its outbox.

    Args:
        index: number of the lane, from 0.
        host: the Runtime API's address, for the Host header.
        pipelined: whether the next GET leaves with the response.
        margin: seconds before the platform's deadline at which okibi times a handler out. A handler
            with less than twice the margin gets half of its time.
        wall_clock: returns seconds since the epoch; None for `time.time`.
    """

    __slots__ = (
        "_json_head", "_next_request", "_received_any", "_refused_delivery", "_repeats", "_resent",
        "_response_left", "_response_size", "closing", "delivery", "expected", "host", "index",
        "margin", "on_flushed", "outbox", "parser", "pipelined", "refusals", "resend_refused",
        "responder", "responder_name", "serial", "starts_without_event", "stream", "transport",
        "unavailable", "wall_clock",
    )  # fmt: skip

    def __init__(
        self,
        index: int,
        host: bytes,
        pipelined: bool = True,
        margin: float = 0.1,
        wall_clock: Callable[[], float] | None = None,
    ) -> None:
        self.index = index
        self.host = host
        self.pipelined = pipelined
        self.margin = margin
        self.wall_clock = wall_clock or time.time
        self.transport: Transport | None = None
        self.delivery: Delivery | None = None
        # Bytes to write, in order. The responder writes from the front.
        self.outbox = deque[memoryview]()
        # Responses that the Runtime API still has to send, in order.
        self.expected = deque[Expected]()
        # Set when the process is to end: an event requested after that would be lost.
        self.closing = False
        # Refused requests in a row; the poller pauses longer with each.
        self.refusals = 0
        # The lane cannot serve: no connection, or its actors keep failing.
        self.unavailable = False
        # Starts of poller and responder since the last event.
        self.starts_without_event = 0
        # The streamed response, until its end is in the outbox.
        self.stream: Stream | None = None
        self.responder_name = Name(f"lambda.responder.{index}", Actor)
        # The responder's own ref once it has started; saves a lookup by name.
        self.responder: Address[Actor] = self.responder_name
        # Called when the outbox has been written: the next event can come.
        self.on_flushed: Callable[[], None] = lambda: None
        # Made with each connection.
        self.parser: ApiResponseParser
        # Serial of the last delivery.
        self.serial = 0
        # A response was sent again, and the copy was refused: half of it may have arrived
        # (`in_flight.broken_connection`).
        self.resend_refused = False
        self._next_request = next_request(host)
        self._json_head = json_response_head(host)
        # Whether this connection has brought any response.
        self._received_any = False
        self._response_size = 0
        self._response_left = 0
        # Whether all of the response was written before, on an earlier connection.
        self._resent = False
        # The delivery whose response was refused, and how often its event has come again.
        self._refused_delivery: Delivery | None = None
        self._repeats = 0

    # -- sending

    def stage(self) -> None:
        """Put into the outbox what may be sent now: a settled response, or `GET /next`."""
        delivery = self.delivery
        if delivery is not None:
            if delivery.state is DeliveryState.SETTLED and delivery.outcome is not None:
                self._stage_response(delivery, delivery.outcome)
        elif not self.expected and not self.closing:
            self._put([self._next_request], len(self._next_request))
            self.expected.append(Expected.NEXT)

    def prepare_head(self, delivery: Delivery) -> bytes:
        """Build the head of a JSON response ahead of time, while the handler waits."""
        request_id, echo = path_segment(delivery.request_id), echo_header(delivery.headers)
        delivery.head = self._json_head % (request_id, echo)
        return delivery.head

    def mark_written(self, size: int) -> None:
        """Remove `size` written bytes from the outbox."""
        left = self._response_left - size
        self._response_left = left if left > 0 else 0
        outbox = self.outbox
        first = outbox[0]
        if size < len(first):
            outbox[0] = first[size:]
            return
        outbox.popleft()
        if len(outbox) > 1:
            self._join_small_pieces()

    def _join_small_pieces(self) -> None:
        """Join the pieces at the front of the outbox, up to JOIN_LIMIT.

        A stream on a blocked connection may have thousands of pieces waiting. They are joined when
        the piece before them is out, and no byte is copied twice.
        """
        size = count = 0
        for piece in self.outbox:
            size += len(piece)
            if size > JOIN_LIMIT:
                break
            count += 1
        if count > 1:
            try:
                joined = b"".join(islice(self.outbox, count))
            except MemoryError:
                return
            for _ in range(count):
                self.outbox.popleft()
            self.outbox.appendleft(memoryview(joined))

    def _stage_response(self, delivery: Delivery, outcome: Outcome) -> None:
        if delivery.stream is not None:
            self._stage_stream_end(delivery, delivery.stream, outcome)
            return
        try:
            head = self._head(delivery, outcome)
        except ValueError as error:
            # Raised from here, it would crash every responder in turn and end the process.
            outcome = platform_error("Runtime.InvalidHeader", str(error), delivery.request_id)
            head = self._head(delivery, outcome)
        body, following = outcome.body, self._next_request
        size = len(head) + len(body)
        if self.pipelined and not self.closing:
            self._put([head, body, following], size + len(following), RESPONSE_JOIN_LIMIT)
            self.expected.append(Expected.STATUS)
            self.expected.append(Expected.NEXT)
        else:
            self._put([head, body], size, RESPONSE_JOIN_LIMIT)
            self.expected.append(Expected.STATUS)
        # Last: after an error in here, the next responder stages the response again.
        self._response_size = self._response_left = size
        delivery.stage()

    def _head(self, delivery: Delivery, outcome: Outcome) -> bytes:
        size = len(outcome.body)
        if outcome.error_type is None and outcome.content_type == JSON:
            return (delivery.head or self.prepare_head(delivery)) + HEAD_END % size
        request_id, echo = path_segment(delivery.request_id), echo_header(delivery.headers)
        if outcome.error_type is None:
            return response_head(self.host, request_id, size, outcome.content_type, echo)
        path = b"invocation/%s/error" % request_id
        return error_head(self.host, path, size, outcome.error_type, outcome.cause, echo)

    def _put(self, parts: list[bytes], size: int, limit: int = JOIN_LIMIT) -> None:
        if size > JOIN_LIMIT:
            retain_freed_memory()
        if size > limit:
            self.outbox.extend([memoryview(part) for part in parts if part])
        elif size:
            try:
                self.outbox.append(memoryview(b"".join(parts)))
            except MemoryError:
                # Separate pieces need no further memory.
                self._put(parts, size, 0)

    # -- streamed responses

    def open_stream(
        self,
        delivery: Delivery,
        worker: Ref[Any] | None,
        stream: Stream,
        content_type: bytes,
        first: list[bytes],
    ) -> bool:
        """Begin a streamed response. True once, for the worker that runs the delivery.

        Raises:
            ValueError: the content type holds a line break.
        """
        request_id, echo = path_segment(delivery.request_id), echo_header(delivery.headers)
        head = stream_head(self.host, request_id, content_type, echo)
        if delivery is not self.delivery or not delivery.open_stream(stream, worker):
            return False
        self.stream = stream
        self.expected.append(Expected.STATUS)
        self._response_size = self._response_left = 0
        self._append([head, *first])
        return True

    def append_to_stream(self, delivery: Delivery, parts: list[bytes]) -> bool:
        """Put a piece of a streamed response into the outbox; False if the stream has ended."""
        stream = delivery.stream
        if stream is None or stream.end_reason or delivery.state is not DeliveryState.STREAMING:
            return False
        self._append(parts)
        return True

    @property
    def unwritten(self) -> int:
        """How many bytes of the response are in the outbox."""
        return self._response_left

    def _append(self, parts: list[bytes], following: bytes = b"") -> None:
        size = sum(map(len, parts))
        self._put([*parts, following], size + len(following))
        self._response_size += size
        self._response_left += size

    def _stage_stream_end(self, delivery: Delivery, stream: Stream, outcome: Outcome) -> None:
        from .stream_trailers import end_of_stream

        ended_early = stream.end_reason
        if not ended_early:
            try:
                end = end_of_stream(outcome)
            except ValueError as error:
                wrong = platform_error("Runtime.InvalidHeader", str(error), delivery.request_id)
                end = end_of_stream(wrong)
            asks = self.pipelined and not self.closing
            self._append([end], self._next_request if asks else b"")
            self.expected += [Expected.NEXT] * asks
        delivery.stage()
        self.stream = None
        stream.end("the invocation has been answered")
        if ended_early:
            self._finish_ended_stream(delivery, stream)

    def _finish_ended_stream(self, delivery: Delivery, stream: Stream) -> None:
        """Close a stream whose status has come, or never will."""
        delivery.ack()
        self.delivery = None
        if stream.connected:
            # The request must end before the next one can begin.
            end = last_chunk()
            self._put([end], len(end))
        self.stage()

    def _end_stream_early(self, stream: Stream, status: int) -> Delivery | None:
        stream.end(f"the Runtime API sent status {status} before the end of the stream")
        if not (200 <= status < 300 or status == 413):
            self._refused_delivery = self.delivery
        return self.delivery

    def _break_stream(self, delivery: Delivery, stream: Stream, loss: Loss) -> None:
        stream.connected = False
        if loss in (Loss.CUT, Loss.SENT_TWICE):
            stream.end("the connection broke within the stream")
        elif loss is not Loss.NOTHING:
            delivery.stream = None
            error = platform_error("Runtime.StreamLost", STREAM_LOST, delivery.request_id)
            delivery.outcome = error

    # -- receiving

    def attach(self, transport: Transport) -> None:
        """Use a new connection."""
        self.transport = transport
        self.unavailable = False
        self.parser = ApiResponseParser()
        self._received_any = False

    def parse(self, data: bytes) -> list[ApiResponse]:
        """Parse received bytes into the responses that they complete.

        Args:
            data: what was received; empty if the server has closed.

        Raises:
            WireError: the bytes are no HTTP.
        """
        responses = self.parser.feed(data) if data else self.parser.end()
        if responses and not self._received_any:
            self._received_any = True
            self.pipelined = self.pipelined and not self.parser.speaks_1_0
        return responses

    def take_event(self, response: ApiResponse) -> Delivery | None:
        """Take the response to `GET /next`.

        Returns:
            The delivery of the event; None for a refusal. A repeat of a refused response's event
            comes back settled the first time, as None later.
        """
        self.expected.popleft()
        request_id = response.headers.get(b"lambda-runtime-aws-request-id", b"").decode("latin-1")
        if response.status != 200 or not request_id:
            self.refusals += 1
            return None
        self.resend_refused = False
        repeated = self._refused_delivery is not None and self._is_repeat(request_id, response)
        if repeated and self._repeats > 1:
            self.refusals += 1
            return None
        self.refusals = self.starts_without_event = 0
        self.unavailable = False
        self.serial += 1
        left = seconds_until(response.headers.get(DEADLINE, b""), self.wall_clock())
        due = trio.current_time() + left
        margin = self.margin
        limit = due - (margin if left > 2 * margin else max(0.0, left / 2))
        delivery = Delivery(self.serial, request_id, response.headers, response.body, due, limit)
        self.delivery = delivery
        if repeated:
            delivery.settle(platform_error("Runtime.AnswerRefused", REFUSED, request_id))
        return delivery

    def _is_repeat(self, request_id: str, response: ApiResponse) -> bool:
        """Whether an event is the one whose response was refused."""
        last = self._refused_delivery
        if (
            last is None
            or last.request_id != request_id
            or attempt_key(last.headers) != attempt_key(response.headers)
        ):
            self._refused_delivery, self._repeats = None, 0
            return False
        self._repeats += 1
        return True

    def take_status(self, status: int = 202) -> Delivery | None:
        """Take the final status of a posted response, and return its delivery."""
        self.expected.popleft()
        if self.stream is not None:
            return self._end_stream_early(self.stream, status)
        delivery, self.delivery = self.delivery, None
        self.resend_refused = self._resent and status == 403
        self._resent = False
        # 413: the platform has answered with an error of its own, as the response exceeds 6 MB.
        if not (200 <= status < 300 or status == 413):
            self._refused_delivery = delivery
        elif self._refused_delivery is not None:
            self._refused_delivery, self._repeats = None, 0
        if delivery is not None:
            delivery.ack()
            # Up to 6 MB each, and the ledger keeps the delivery until its worker gets the next one.
            delivery.outcome = None
            delivery.body = b""
        return delivery

    def disconnect(self, announced: bool = False) -> Loss:
        """Close the broken connection, and prepare what the next one has to send.

        Args:
            announced: whether the last response announced the close.

        Returns:
            What is lost.
        """
        loss = classify_loss(
            self.expected,
            self._response_size,
            self._response_left,
            waiting=bool(self.outbox),
            streams=self.stream is not None,
            resent=self._resent,
            announced=announced,
        )
        self.close()
        if not self._received_any:
            # A server that accepts a connection only to close it refuses, too.
            self.refusals += 1
        asked = bool(self.expected) and self.expected[0] is Expected.NEXT
        if announced or (asked and self.serial):
            # The server may have closed after the first of two pipelined requests.
            self.pipelined = False
        stream = self.delivery.stream if self.delivery is not None else None
        if self.delivery is not None and stream is not None:
            if loss is not Loss.NOTHING and self._response_left == self._response_size:
                # Nothing was written: outbox and expected items stay valid.
                return loss
            self._break_stream(self.delivery, stream, loss)
        self.outbox.clear()
        self.expected.clear()
        if self.delivery is not None and loss in (Loss.RESEND, Loss.RESEND_MAYBE_EVENT):
            self._resent = self._resent or self._response_left == 0
            self.pipelined = self.pipelined and not self._resent
            self.delivery.unstage()
        return loss

    def drop_response(self) -> Delivery | None:
        """Give up a lost response, and return its delivery.

        The delivery of an open stream stays in the lane until it is settled.
        """
        delivery = self.delivery
        if self.stream is None:
            self.delivery = None
            self._resent = False
        return delivery

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.transport is not None:
            self.transport.close()
            self.transport = None
