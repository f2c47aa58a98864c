"""A lane: one keep-alive connection to the Runtime API, and what is expected on it.

It outlives the actors that use it: a poller that is killed leaves the half-read bytes in the
parser and the pending /next on the wire, a responder leaves the offset to which it had written.
An abandoned /next would swallow the next event (Runtime API), so nobody ever abandons one.

    what was said last     what the Runtime API owes      what may be said next
    nothing                nothing                        next
    next                   NEXT                           nothing, until the event is settled
    answer + next          ANSWER, NEXT                   nothing
    answer                 ANSWER                         nothing; once it has come, next

Pipelined, the answer and the next GET leave in one write and are answered in order: one
round trip an event. Any sign that a server does not answer two requests in one write (it closes
after the first, speaks HTTP/1.0, says `Connection: close`) turns the lane sequential for good.

What a connection that breaks means for all this is said by `in_flight.broken_connection`, and done
here.

An answer that was refused leaves its event unanswered, and the Runtime API repeats that at once.
The repeat is the same delivery, so no handler sees it: the first time it is answered with an
error, which tells the invoker now; after that it is dropped, and asked for again with a pause.
A retry of an asynchronous event has the same request id and another deadline: that is no repeat.

A stream whose final status comes before its end (413, or a refusal), or whose connection breaks
inside it, is over: its handler is cancelled, what it still says is dropped, and the delivery stays
in the lane until it is settled. For a cancelled handler may go on (shielded, or in a thread): its
worker is not to be taken for an idle one, and its deadline is still to be held.
"""

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
from ..system.allocator import keep_what_is_freed
from .broken_connection import Expected, Loss, classify_loss
from .delivery import Delivery, DeliveryState
from .stream import Stream

# Up to here pieces of a stream are joined into one write; above, copying costs more than another
# call into the kernel. Above, too, is what the allocator would get from the kernel anew.
JOIN_LIMIT = 64 * 1024
# Up to here header, body and the next GET: a write of its own for each would wake the server up.
ANSWER_LIMIT = 256 * 1024
STREAM_LOST = "The connection to the Runtime API broke, and with it the whole stream was lost"
REFUSED = "The Runtime API refused the answer to this invocation; the log says with which words"


class Lane:
    """One connection with its ledger.

    Args:
        index: which lane this is, from 0.
        host: the Runtime API's address, as it stands in the Host header.
        pipelined: whether the next GET leaves with the answer.
        margin: seconds before the platform's deadline at which okibi answers itself; of a very
            short time-out half is left to the handler.
    """

    __slots__ = (
        "_json_head", "_next", "_received_any", "_repeats", "_resent", "_response_left",
        "_response_size", "_unanswered", "closing", "delivery", "expected", "host", "index",
        "margin", "on_flushed", "outbox", "parser", "pipelined", "refusals",
        "resend_refused", "responder", "responder_name", "serial", "starts_without_event",
        "stream", "transport", "unavailable",
    )  # fmt: skip

    def __init__(
        self, index: int, host: bytes, pipelined: bool = True, margin: float = 0.1
    ) -> None:
        self.index = index
        self.host = host
        self.pipelined = pipelined
        self.margin = margin
        self.transport: Transport | None = None
        self.delivery: Delivery | None = None
        self.outbox = deque[memoryview]()
        self.expected = deque[Expected]()
        # Set once the process is to end: an event asked for now would be lost with it.
        self.closing = False
        self.refusals = 0
        # It cannot serve: nobody takes its connections, or its actors fail. Until it is heard from.
        self.unavailable = False
        # How often its actors have started since an event came.
        self.starts_without_event = 0
        # The answer that is streamed, until its end is in the outbox.
        self.stream: Stream | None = None
        self._received_any = False
        self.responder_name = Name(f"lambda.responder.{index}", Actor)
        # Who is to be woken for what is to be said: the responder itself, once it has started.
        self.responder: Address[Actor] = self.responder_name
        # Told whenever all is out that there was to say: by then the next event may be asked for.
        self.on_flushed: Callable[[], None] = lambda: None
        self._next = next_request(host)
        self._json_head = json_response_head(host)
        # Of the connection, made with it.
        self.parser: ApiResponseParser
        # Of the last event.
        self.serial = 0
        self._response_size = 0
        self._response_left = 0
        self._resent = False
        # The delivery whose answer was refused, and how often it has been repeated since.
        self._unanswered: Delivery | None = None
        self._repeats = 0
        # An answer that was sent once more was refused: half of it may have arrived
        # (`in_flight.broken_connection`).
        self.resend_refused = False

    # -- what is to be said

    def stage(self) -> None:
        """Put into the outbox what can be said now. Said already, or nothing to say: no change."""
        delivery = self.delivery
        if delivery is not None:
            if delivery.state is DeliveryState.SETTLED and delivery.outcome is not None:
                self._stage_answer(delivery, delivery.outcome)
        elif not self.expected and not self.closing:
            self._put([self._next], len(self._next))
            self.expected.append(Expected.NEXT)

    def prepare_head(self, delivery: Delivery) -> bytes:
        """Write what its answer begins with, if that is JSON: before there is one, if there is time
        for it.
        """
        delivery.head = self._json_head % (
            path_segment(delivery.request_id),
            echo_header(delivery.headers),
        )
        return delivery.head

    def mark_written(self, size: int) -> None:
        """Take from the outbox what has gone out."""
        left = self._response_left - size
        self._response_left = left if left > 0 else 0
        outbox = self.outbox
        first = outbox[0]
        if size < len(first):
            outbox[0] = first[size:]
            return
        outbox.popleft()
        if len(outbox) > 1:
            self._join()

    def _join(self) -> None:
        """Make one piece of the small ones whose turn it is.

        Not when they are put: a stream whose connection takes no more may have thousands waiting.
        Done only when the one before them is out, so that no byte is joined twice.
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

    def _stage_answer(self, delivery: Delivery, outcome: Outcome) -> None:
        if delivery.stream is not None:
            self._stage_end(delivery, delivery.stream, outcome)
            return
        try:
            head = self._head(delivery, outcome)
        except ValueError as error:
            # Raised here it would end the responder, and its successor, until the process ends.
            outcome = platform_error("Runtime.InvalidHeader", str(error), delivery.request_id)
            head = self._head(delivery, outcome)
        body, following = outcome.body, self._next
        size = len(head) + len(body)
        if self.pipelined and not self.closing:
            self._put([head, body, following], size + len(following), ANSWER_LIMIT)
            self.expected.append(Expected.STATUS)
            self.expected.append(Expected.NEXT)
        else:
            self._put([head, body], size, ANSWER_LIMIT)
            self.expected.append(Expected.STATUS)
        # Last: an answer whose making has failed is to be made by the next responder.
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
            keep_what_is_freed()
        if size > limit:
            self.outbox.extend([memoryview(part) for part in parts if part])
        elif size:
            try:
                self.outbox.append(memoryview(b"".join(parts)))
            except MemoryError:
                # Apart they take no more than there is.
                self._put(parts, size, 0)

    # -- an answer that is streamed

    def open_stream(
        self,
        delivery: Delivery,
        worker: Ref[Any] | None,
        stream: Stream,
        content_type: bytes,
        first: list[bytes],
    ) -> bool:
        """Begin to answer in pieces. True once, for the worker that runs the delivery.

        Raises:
            ValueError: the content type is more than one line.
        """
        request_id, echo = path_segment(delivery.request_id), echo_header(delivery.headers)
        head = stream_head(self.host, request_id, content_type, echo)
        if delivery is not self.delivery or not delivery.open_stream(stream, worker):
            return False
        self.stream = stream
        self.expected.append(Expected.STATUS)
        self._response_size = self._response_left = 0
        self._say([head, *first])
        return True

    def append_to_stream(self, delivery: Delivery, parts: list[bytes]) -> bool:
        """Put more of a streamed answer into the outbox; False where nobody takes it any more."""
        stream = delivery.stream
        if stream is None or stream.end_reason or delivery.state is not DeliveryState.STREAMING:
            return False
        self._say(parts)
        return True

    @property
    def unwritten(self) -> int:
        """How many bytes of the answer lie in the outbox."""
        return self._response_left

    def _say(self, parts: list[bytes], behind: bytes = b"") -> None:
        size = sum(map(len, parts))
        self._put([*parts, behind], size + len(behind))
        self._response_size += size
        self._response_left += size

    def _stage_end(self, delivery: Delivery, stream: Stream, outcome: Outcome) -> None:
        from .stream_trailers import end_of_stream

        over = stream.end_reason
        if not over:
            try:
                end = end_of_stream(outcome)
            except ValueError as error:
                wrong = platform_error("Runtime.InvalidHeader", str(error), delivery.request_id)
                end = end_of_stream(wrong)
            asks = self.pipelined and not self.closing
            self._say([end], self._next if asks else b"")
            self.expected += [Expected.NEXT] * asks
        delivery.stage()
        self.stream = None
        stream.end("its invocation has been answered")
        if over:
            self._leave(delivery, stream)

    def _leave(self, delivery: Delivery, stream: Stream) -> None:
        """Be done with a stream whose status has come, or never will."""
        delivery.ack()
        self.delivery = None
        if stream.connected:
            # The request must end, for another to begin.
            end = last_chunk()
            self._put([end], len(end))
        self.stage()

    def _cut_short(self, stream: Stream, status: int) -> Delivery | None:
        stream.end(f"the Runtime API has answered it with {status} before its end")
        if not (200 <= status < 300 or status == 413):
            self._unanswered = self.delivery
        return self.delivery

    def _lose(self, delivery: Delivery, stream: Stream, loss: Loss) -> None:
        stream.connected = False
        if loss in (Loss.CUT, Loss.SENT_TWICE):
            stream.end("the connection broke inside the answer")
        elif loss is not Loss.NOTHING:
            delivery.stream = None
            error = platform_error("Runtime.StreamLost", STREAM_LOST, delivery.request_id)
            delivery.outcome = error

    # -- what is heard

    def attach(self, transport: Transport) -> None:
        """Go on, over a new connection."""
        self.transport = transport
        self.unavailable = False
        self.parser = ApiResponseParser()
        self._received_any = False

    def parse(self, data: bytes) -> list[ApiResponse]:
        """Parse what came; empty when the other side has closed. Interim answers pop nothing.

        Raises:
            WireError: it is no HTTP.
        """
        answers = self.parser.feed(data) if data else self.parser.end()
        if answers and not self._received_any:
            self._received_any = True
            self.pipelined = self.pipelined and not self.parser.speaks_1_0
        return answers

    def take_event(self, answer: ApiResponse) -> Delivery | None:
        """Take the answer to /next: the delivery it brings, None for one that was refused.

        A repeat of what was not answered comes settled already, or not at all.
        """
        self.expected.popleft()
        request_id = answer.headers.get(b"lambda-runtime-aws-request-id", b"").decode("latin-1")
        if answer.status != 200 or not request_id:
            self.refusals += 1
            return None
        self.resend_refused = False
        repeated = self._unanswered is not None and self._is_repeat(request_id, answer)
        if repeated and self._repeats > 1:
            self.refusals += 1
            return None
        self.refusals = self.starts_without_event = 0
        self.unavailable = False
        self.serial += 1
        left = seconds_until(answer.headers.get(DEADLINE, b""))
        due = trio.current_time() + left
        margin = self.margin
        limit = due - (margin if left > 2 * margin else max(0.0, left / 2))
        delivery = Delivery(self.serial, request_id, answer.headers, answer.body, due, limit)
        self.delivery = delivery
        if repeated:
            delivery.settle(platform_error("Runtime.AnswerRefused", REFUSED, request_id))
        return delivery

    def _is_repeat(self, request_id: str, answer: ApiResponse) -> bool:
        """Whether it is the event of an answer that was refused, come again."""
        last = self._unanswered
        if (
            last is None
            or last.request_id != request_id
            or attempt_key(last.headers) != attempt_key(answer.headers)
        ):
            self._unanswered, self._repeats = None, 0
            return False
        self._repeats += 1
        return True

    def take_status(self, status: int = 202) -> Delivery | None:
        """Take the final status of the answer that was sent; give the delivery it belongs to."""
        self.expected.popleft()
        if self.stream is not None:
            return self._cut_short(self.stream, status)
        delivery, self.delivery = self.delivery, None
        self.resend_refused = self._resent and status == 403
        self._resent = False
        # The first answer to an invocation of 6 MB and more is replaced by the platform's error.
        if not (200 <= status < 300 or status == 413):
            self._unanswered = delivery
        elif self._unanswered is not None:
            self._unanswered, self._repeats = None, 0
        if delivery is not None:
            delivery.ack()
            # Of up to 6 MB, and the ledger has the delivery by its worker, which of many workers
            # may never be given another.
            delivery.outcome = None
            # What was not decoded is still there.
            delivery.body = b""
        return delivery

    def disconnect(self, announced: bool = False) -> Loss:
        """Give up the connection, and say what that means.

        Args:
            announced: the last answer said that no other would follow it.
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
            # Whoever takes a connection only to close it refuses, too.
            self.refusals += 1
        asked = bool(self.expected) and self.expected[0] is Expected.NEXT
        if announced or (asked and self.serial):
            # It closed after the first of two answers, as far as can be told from here.
            self.pipelined = False
        stream = self.delivery.stream if self.delivery is not None else None
        if self.delivery is not None and stream is not None:
            if loss is not Loss.NOTHING and self._response_left == self._response_size:
                # All that it has said is still there, and what is expected for it.
                return loss
            self._lose(self.delivery, stream, loss)
        self.outbox.clear()
        self.expected.clear()
        if self.delivery is not None and loss in (Loss.RESEND, Loss.RESEND_MAYBE_EVENT):
            self._resent = self._resent or self._response_left == 0
            self.pipelined = self.pipelined and not self._resent
            self.delivery.unstage()
        return loss

    def drop_response(self) -> Delivery | None:
        """Give up the answer that is lost, and say whose; a stream's stays until it is settled."""
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
