"""A lane: one keep-alive connection to the Runtime API, and the event that passes over it.

A lane outlives the actors that use it. A killed poller leaves half-read bytes in the parser and a
pending `GET /next`; a killed responder leaves the rest of its writing in the outbox. No actor
abandons a pending `/next`, because that request would swallow the next event (Runtime API).

A lane is made of parts. Each part decides, purely; the lane asks them in turn. Only a class's own
module writes its attributes; a test holds this (`tests/test_state_owners.py`).

    connection    the transport, and the parser with what is half read
    outbox        what waits to be written, and which responses are expected (`outbox`)
    delivery      the event, its worker, its outcome (`delivery`)
    stream        a response in the middle (`stream`)
    resend        whether the response is a second copy (`broken_connection`)
    repeats       the event whose response was refused (`failures`)
    failures      refusals and restarts since the last event (`failures`)

Pipelining: response and next GET leave in one write, and the server answers them in order. An event
then costs one round trip. A server may not support that: it closes after the first request, speaks
HTTP/1.0, or sends `Connection: close`. Any of these signs turns pipelining off for the lane's life.

A stream may end early: its status comes before its end (413 or a refusal), or the connection
breaks. The handler is cancelled and later pieces are dropped. The delivery stays in the lane until
it is settled, because a cancelled handler may run on (in a shield or a thread): its worker is not
idle, and its deadline still holds.

A delivery with follow-ups (`Context.after_response`) leaves without the next GET, and stays in the
lane until its follow-ups have ended. Other lanes go on.
"""

import time
from collections.abc import Callable
from typing import Any

from ...actors import Actor, Address, Name, Ref
from ..errors.error_response import platform_error
from ..protocol.outcome import Outcome
from ..protocol.runtime_api import (
    DEADLINE,
    HEAD_END,
    JSON,
    ApiResponse,
    ApiResponseParser,
    echo_header,
    error_head,
    json_response_head,
    last_chunk,
    path_segment,
    response_head,
    seconds_until,
    stream_head,
)
from ..protocol.transport import Transport
from .broken_connection import NEXT, Loss, Resend, classify_loss
from .delivery import FINISHED, SETTLED, STREAMING, Delivery
from .failures import Failures, Repeats
from .outbox import Outbox
from .stream import Stream

STREAM_LOST = "the connection to the Runtime API broke, and the whole stream was lost"
REFUSED = "the Runtime API refused the response to this invocation; the log has the reason"


class LaneConnection:
    """One connection of a lane.

    Attributes:
        transport: carries the bytes.
        parser: makes responses of them, and keeps what is half read.
        answered: whether the connection has brought any response.
    """

    __slots__ = ("answered", "parser", "transport")

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.parser = ApiResponseParser()
        self.answered = False


class ResponseHeads:
    """Builds the heads of a lane's responses.

    Args:
        host: the Runtime API's address, for the Host header.
    """

    __slots__ = ("host", "json_template")

    def __init__(self, host: bytes) -> None:
        self.host = host
        # The template of nearly every head.
        self.json_template = json_response_head(host)

    def build(self, delivery: Delivery, outcome: Outcome) -> bytes:
        """Build the head of a whole response.

        Raises:
            ValueError: a value would not fit into a header.
        """
        size = len(outcome.body)
        if outcome.error_type is None and outcome.content_type == JSON:
            return (delivery.head or delivery.prepare_head(self.json_template)) + HEAD_END % size
        request_id, echo = path_segment(delivery.request_id), echo_header(delivery.headers)
        if outcome.error_type is None:
            return response_head(self.host, request_id, size, outcome.content_type, echo)
        path = b"invocation/%s/error" % request_id
        return error_head(self.host, path, size, outcome.error_type, outcome.cause, echo)

    def build_for_stream(self, delivery: Delivery, content_type: bytes) -> bytes:
        """Build the head of a streamed response.

        Raises:
            ValueError: the content type holds a line break.
        """
        request_id, echo = path_segment(delivery.request_id), echo_header(delivery.headers)
        return stream_head(self.host, request_id, content_type, echo)


class Lane:
    """One connection to the Runtime API, its delivery and its outbox.

    Args:
        index: number of the lane, from 0.
        host: the Runtime API's address, for the Host header.
        pipelined: whether the next GET leaves with the response.
        margin: seconds before the platform's deadline at which okibi times a handler out. A handler
            with less than twice the margin gets half of its time.
        wall_clock: returns seconds since the epoch; None for `time.time`.

    Attributes:
        connection: None between a break and the next connection.
        delivery: the event in the lane; None while the lane waits for one.
        stream: the streamed response, until its end is in the outbox.
        repeats: None unless the last response was refused.
        serial: number of the last delivery, from 1.
        responder: the responder's address; its own ref once it has started, to save a lookup.
        on_flushed: called when the outbox has been written: the next event can come.
    """

    __slots__ = (
        "connection", "delivery", "failures", "heads", "index", "margin", "on_flushed", "outbox",
        "repeats", "resend", "responder", "serial", "stream", "wall_clock",
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
        self.margin = margin
        self.wall_clock = wall_clock or time.time
        self.heads = ResponseHeads(host)
        self.outbox = Outbox(host, pipelined)
        self.failures = Failures()
        self.connection: LaneConnection | None = None
        self.delivery: Delivery | None = None
        self.stream: Stream | None = None
        self.resend = Resend()
        self.repeats: Repeats | None = None
        self.serial = 0
        self.responder: Address[Actor] = self.responder_name
        self.on_flushed: Callable[[], None] = lambda: None

    # -- its actors

    @property
    def responder_name(self) -> Name[Actor]:
        """The name of the lane's responder."""
        return Name(f"lambda.responder.{self.index}", Actor)

    def register_responder(self, responder: Ref[Any]) -> None:
        """Set the running responder, which is then woken without a lookup."""
        self.responder = responder

    def call_when_flushed(self, on_flushed: Callable[[], None]) -> None:
        """Set what is called when the outbox has been written."""
        self.on_flushed = on_flushed

    # -- its connection

    def attach(self, transport: Transport) -> None:
        """Use a new connection."""
        self.connection = LaneConnection(transport)
        self.failures.mark_connected()

    def take_first_response(self, connection: LaneConnection) -> None:
        """Note that the connection works, and the features that the server supports."""
        connection.answered = True
        if connection.parser.speaks_1_0:
            self.outbox.end_pipelining()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.connection is not None:
            self.connection.transport.close()
            self.connection = None

    def enter_child(self, replace: Callable[[Transport], Transport]) -> None:
        """Let go of the parent's connection, in a forked child.

        Args:
            replace: makes the child's transport from the parent's.
        """
        self.outbox.clear()
        if self.connection is not None:
            self.connection.transport = replace(self.connection.transport)

    @property
    def half_read(self) -> bool:
        """Whether a part of a response, perhaps an event, has been read."""
        return self.connection is not None and self.connection.parser.half_read

    def stop_asking(self) -> None:
        """Ask for no more events: the process is to end. A signal handler may call this."""
        self.outbox.close()

    @property
    def closing(self) -> bool:
        """Whether the lane asks for no more events."""
        return self.outbox.closing

    # -- sending

    def stage(self) -> None:
        """Put into the outbox what may be sent now: a settled response, or `GET /next`."""
        delivery = self.delivery
        if delivery is None:
            self.outbox.put_next()
        elif delivery.state is SETTLED and delivery.outcome is not None:
            if delivery.stream is None:
                self._stage_response(delivery, delivery.outcome)
            else:
                self._stage_stream_end(delivery, delivery.stream, delivery.outcome)

    def prepare_head(self, delivery: Delivery) -> None:
        """Build the head of a JSON response ahead of time, while the handler waits."""
        delivery.prepare_head(self.heads.json_template)

    def _stage_response(self, delivery: Delivery, outcome: Outcome) -> None:
        try:
            head = self.heads.build(delivery, outcome)
        except ValueError as error:
            # Raised from here, it would crash every responder in turn and end the process.
            outcome = platform_error("Runtime.InvalidHeader", str(error), delivery.request_id)
            head = self.heads.build(delivery, outcome)
        self.outbox.put_response(head, outcome.body)
        delivery.stage()

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
        head = self.heads.build_for_stream(delivery, content_type)
        if delivery is not self.delivery or not delivery.open_stream(stream, worker):
            return False
        self.stream = stream
        self.outbox.begin_stream([head, *first])
        return True

    def append_to_stream(self, delivery: Delivery, parts: list[bytes]) -> bool:
        """Put a piece of a streamed response into the outbox; False if the stream has ended."""
        stream = delivery.stream
        if stream is None or stream.end_reason or delivery.state is not STREAMING:
            return False
        self.outbox.add(parts)
        return True

    @property
    def unwritten(self) -> int:
        """The number of bytes of the response in the outbox."""
        return self.outbox.unwritten

    def _stage_stream_end(self, delivery: Delivery, stream: Stream, outcome: Outcome) -> None:
        from .stream_trailers import end_of_stream

        ended_early = stream.end_reason
        if not ended_early:
            try:
                end = end_of_stream(outcome)
            except ValueError as error:
                wrong = platform_error("Runtime.InvalidHeader", str(error), delivery.request_id)
                end = end_of_stream(wrong)
            self.outbox.end_stream(end)
        delivery.stage()
        self.stream = None
        stream.end("the invocation has been answered")
        if ended_early:
            self._finish_ended_stream(delivery, stream)

    def _finish_ended_stream(self, delivery: Delivery, stream: Stream) -> None:
        """Close a stream whose status has come, or never will."""
        delivery.ack()
        self._mark_answered(delivery)
        if stream.connected:
            # The request must end before the next one can begin.
            self.outbox.end_request(last_chunk())
        self.stage()

    # -- receiving

    def take_event(self, response: ApiResponse, now: float) -> Delivery | None:
        """Take the response to `GET /next`.

        Args:
            response: the response.
            now: seconds of trio's clock.

        Returns:
            The delivery of the event; None for a refusal. A repeat of a refused response's event
            comes back settled the first time, as None later.
        """
        self.outbox.take_next()
        headers = response.headers
        request_id = headers.get(b"lambda-runtime-aws-request-id", b"").decode("latin-1")
        if response.status != 200 or not request_id:
            self.failures.count_refusal()
            return None
        if self.resend.refused:
            self.resend.clear()
        repeat = 0 if self.repeats is None else self.repeats.count(request_id, headers)
        if repeat > 1:
            self.failures.count_refusal()
            return None
        if self.failures.count:
            self.failures.clear()
        if not repeat:
            self.repeats = None
        self.serial += 1
        left = seconds_until(headers.get(DEADLINE, b""), self.wall_clock())
        due = now + left
        margin = self.margin
        limit = due - (margin if left > 2 * margin else max(0.0, left / 2))
        delivery = Delivery(request_id, headers, response.body, due, limit)
        self.delivery = delivery
        if repeat:
            delivery.settle(platform_error("Runtime.AnswerRefused", REFUSED, request_id))
        return delivery

    def take_status(self, status: int = 202) -> Delivery | None:
        """Take the final status of a posted response, and return its delivery."""
        self.outbox.take_status()
        delivery, stream = self.delivery, self.stream
        # 413: the platform has answered with an error of its own, as the response exceeds 6 MB.
        if 200 <= status < 300 or status == 413:
            if stream is None:
                self.repeats = None
        elif delivery is not None:
            self.repeats = self.repeats or Repeats(delivery.request_id, delivery.headers)
        if stream is not None:
            # It ends early. The delivery stays until the handler has ended.
            stream.take_status(status)
            return delivery
        if self.resend.sent:
            self.resend.take_status(status)
        if delivery is not None:
            delivery.ack()
            # As `_mark_answered`, without a call: each event comes here.
            if delivery.follow_ups is None:
                self.delivery = None
            else:
                delivery.follow_ups.mark_answered()
        return delivery

    def _mark_answered(self, delivery: Delivery) -> None:
        """Forget an answered delivery, or let its follow-ups begin."""
        if delivery.follow_ups is None:
            self.delivery = None
        else:
            delivery.follow_ups.mark_answered()

    def finish(self, delivery: Delivery) -> bool:
        """End the follow-ups of a delivery, and let go of it. True once."""
        if not delivery.finish():
            return False
        self.outbox.release_next()
        if delivery.state is FINISHED and delivery is self.delivery:
            self.delivery = None
        return True

    # -- a broken connection

    def disconnect(self, announced: bool = False) -> Loss:
        """Close the broken connection, and prepare what the next one has to send.

        Args:
            announced: whether the last response announced the close.

        Returns:
            The loss of the lane.
        """
        outbox, delivery = self.outbox, self.delivery
        loss = classify_loss(
            outbox.expected,
            outbox.response_size,
            outbox.unwritten,
            waiting=bool(outbox.pieces),
            streams=self.stream is not None,
            resent=self.resend.sent,
            announced=announced,
        )
        if self.connection is not None and not self.connection.answered:
            # A server that accepts a connection only to close it refuses, too.
            self.failures.count_refusal()
        self.close()
        if announced or (outbox.expected is NEXT and self.serial):
            # The server may have closed after the first of two pipelined requests.
            outbox.end_pipelining()
        if delivery is not None and delivery.stream is not None:
            if loss is not Loss.NOTHING and outbox.unwritten == outbox.response_size:
                # Nothing was written: outbox and expected responses stay valid.
                return loss
            self._break_stream(delivery, delivery.stream, loss)
        outbox.clear()
        if delivery is not None and loss in (Loss.RESEND, Loss.RESEND_MAYBE_EVENT):
            self.resend.take_break(outbox.unwritten)
            if self.resend.sent:
                outbox.end_pipelining()
            delivery.unstage()
        return loss

    def _break_stream(self, delivery: Delivery, stream: Stream, loss: Loss) -> None:
        cut = loss in (Loss.CUT, Loss.SENT_TWICE)
        stream.disconnect(cut=cut)
        if not cut and loss is not Loss.NOTHING:
            error = platform_error("Runtime.StreamLost", STREAM_LOST, delivery.request_id)
            delivery.lose_stream(error)

    def drop_response(self) -> Delivery | None:
        """Give up a lost response, and return its delivery.

        The delivery of an open stream stays in the lane until it is settled.
        """
        delivery = self.delivery
        if self.stream is None:
            self.resend.clear()
            self.delivery = None
            if delivery is not None and delivery.follow_ups is not None:
                delivery.ack()
                self.delivery = delivery
                delivery.follow_ups.mark_answered()
        return delivery
