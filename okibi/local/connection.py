"""One connection of the runtime, without I/O: bytes in, answers out, one request after another.

Go's net/http reads a connection's next request only when it has answered the one before, and so a
runtime may write `POST …/response` and `GET …/next` in one go and read both answers in order. The
queue here is that rule: only the oldest request is ever looked at, first when its headers are
complete and again when its body is.
"""

from collections.abc import Callable, Collection

import attrs

from . import http_responses
from .extension_calls import EXTENSION, extension_call, extension_event
from .http_requests import HeadersTooLarge, MalformedRequest, Request, RequestReader
from .invocation import Invocation, Sink
from .outcomes import MAX_PAYLOAD_SIZE, MAX_STREAM_SIZE
from .platform import ERROR_TYPE, STREAMING, Platform, Waiter
from .replies import ACCEPTED, NOT_FOUND, PONG, Reply, not_allowed, refused
from .states import Refusal
from .web_callers import why_refused

__all__ = ["Connection"]

PREFIX = b"/2018-06-01"
NEXT = PREFIX + b"/runtime/invocation/next"
INVOCATION = PREFIX + b"/runtime/invocation/"
INIT_ERROR = PREFIX + b"/runtime/init/error"
PING = PREFIX + b"/ping"

RESPONSE_MODE = b"lambda-runtime-function-response-mode"
INVOCATION_ID = b"lambda-runtime-invocation-id"

UNREAD_LIMIT = 256 * 1024
"""Bytes of a body nobody wants that Go's server reads to keep the connection."""


Finish = Callable[[Request], Reply | None]
"""What is done with a request once its body is there. None: the answer comes later, or never."""


@attrs.define(eq=False)
class Connection:
    """Serves the Runtime API on one connection.

    Args:
        exchange: the platform's side of the runtime, in either mode.
        function_arn: shown with every event.
        send: takes the pieces of one answer; it must neither block nor raise.
        keep_alive: whether a connection outlives its first answer, as Lambda's do.
        empty_headers: whether absent context is sent as empty headers.
        allowed_hosts: names of this machine for which requests may come, and none from a web page
            (module `web_callers`); None lets every request in.
    """

    exchange: Platform
    function_arn: str
    send: Callable[[list[bytes]], None]
    keep_alive: bool = True
    empty_headers: bool = False
    allowed_hosts: Collection[str] | None = None

    closing: bool = attrs.field(default=False, init=False)
    """No answer comes after what has been sent: write that out and close."""
    _reader: RequestReader = attrs.field(
        factory=lambda: RequestReader(MAX_PAYLOAD_SIZE), init=False
    )
    _pending: Waiter | None = attrs.field(default=None, init=False)
    _parked: bool = attrs.field(default=False, init=False)
    """An extension's event/next waits here."""
    _finish: Finish = attrs.field(default=lambda _: None, init=False)
    """What to do with the body of the oldest request; its headers have been judged."""
    _body_limit: int = attrs.field(default=0, init=False)
    _answers: Invocation | None = attrs.field(default=None, init=False)
    """What the oldest request is an answer to."""
    _streams: bool = attrs.field(default=False, init=False)
    """Whether its body goes on to the invoker as it comes."""

    @property
    def full(self) -> Sink | None:
        """Whose reader is behind: the answer that streams in here is to be read on later."""
        answered = self._answers
        if not self._streams or answered is None or answered.outcome is not None:
            return None
        return answered.sink if answered.sink is not None and answered.sink.full else None

    def receive(self, data: bytes) -> None:
        """Bytes have come."""
        try:
            self._reader.feed(data)
        except (MalformedRequest, HeadersTooLarge) as error:
            # The good requests before the bad bytes get their answers first, as they would from Go.
            self._advance()
            status = (
                str(error)
                if isinstance(error, MalformedRequest)
                else http_responses.TOO_LARGE_STATUS
            )
            self.closing = True
            self.send([http_responses.last_words(status)])
        else:
            self._advance()

    def lost(self) -> None:
        """The runtime has closed its end, or the connection broke."""
        self.closing = True
        if self._pending is not None:
            waiter, self._pending = self._pending, None
            self.exchange.abandon(waiter)
        requests = self._reader.requests
        if requests and requests[0].begun and self._body_limit > UNREAD_LIMIT:
            self.exchange.truncate(self._answers)

    # -- one request after another

    def _advance(self) -> None:
        requests = self._reader.requests
        while requests and not self._pending and not self._parked and not self.closing:
            request = requests[0]
            if not request.begun:
                request.begun = True
                self._answers, self._streams = None, False
                self._judge(request)
            if self._streams:
                self._pass_on(request)
            if request.size > self._body_limit:
                request.keep_alive = False
            elif not request.complete:
                return
            requests.popleft()
            reply = self._finish(request)
            if reply is not None:
                self._parked = False
                self._reply(reply, request)

    def _judge(self, request: Request) -> None:
        """The headers are there: what they alone decide, the state's move among it."""
        finish = self._route(request)
        if isinstance(finish, Reply):
            reply = finish
            self._finish, self._body_limit = (lambda _: reply), UNREAD_LIMIT
        else:
            limit = MAX_STREAM_SIZE if self._streams else MAX_PAYLOAD_SIZE
            self._finish, self._body_limit = finish, limit + UNREAD_LIMIT
            if not request.complete and b"expect" in request.headers:
                self.send([http_responses.CONTINUE])

    def _route(self, request: Request) -> Finish | Reply:
        path = request.path
        allowed: bytes
        finish: Finish
        if self.allowed_hosts is not None and (why := why_refused(request, self.allowed_hosts)):
            return refused(Refusal(403, "AccessDenied", why))
        if path == NEXT:
            allowed, finish = b"GET", self._next
        elif path == INIT_ERROR:
            allowed, finish = b"POST", self._init_error
        elif path == PING:
            allowed, finish = b"GET", _pong
        elif path.startswith(INVOCATION):
            return self._route_answer(request, path.removeprefix(INVOCATION).split(b"/"))
        elif path.startswith(EXTENSION):
            return extension_call(self.exchange.extensions, request, lambda: self._park(request))
        else:
            return NOT_FOUND
        return finish if request.method == allowed else not_allowed(allowed)

    def _route_answer(self, request: Request, parts: list[bytes]) -> Finish | Reply:
        if len(parts) != 2 or parts[1] not in (b"response", b"error"):
            return NOT_FOUND
        if request.method != b"POST":
            return not_allowed(b"POST")
        request_id = parts[0].decode("ascii", "replace")
        attempt = request.header(INVOCATION_ID)
        if parts[1] == b"response":
            mode = request.header(RESPONSE_MODE)
            begun = self.exchange.begin_response(request_id, attempt, mode)
        else:
            mode = ""
            begun = self.exchange.begin_error(request_id, attempt)
        if isinstance(begun, Refusal):
            return refused(begun)
        self._answers = begun
        if parts[1] == b"error":
            return lambda request: self._error(begun, request)
        if mode == STREAMING and begun.sink is not None:
            self._streams = True
            request.limit = MAX_STREAM_SIZE
            begun.sink.begin(request.header(b"content-type") or "application/octet-stream")
        return lambda request: self._response(begun, request)

    def _pass_on(self, request: Request) -> None:
        """What has come of a body that streams to the invoker."""
        assert self._answers is not None  # only an answer streams
        assert self._answers.sink is not None  # and only to one
        for piece in request.take():
            self._answers.sink.write(piece)

    def _park(self, request: Request) -> Callable[[bytes], None]:
        """Answer nothing more until there is an event for the extension that asks."""
        self._parked = True

        def deliver(event: bytes) -> None:
            self._parked = False
            self._reply(extension_event(event), request)
            self._advance()

        return deliver

    # -- the endpoints, once the body is there

    def _next(self, request: Request) -> Reply | None:
        waiter = Waiter(lambda invocation: self._deliver(invocation, request))
        # Before the exchange is asked: it may deliver at once.
        self._pending = waiter
        outcome = self.exchange.next(waiter)
        if outcome is None:
            return None
        self._pending = None
        if isinstance(outcome, Refusal):
            return refused(outcome)
        return self._event(outcome)

    def _deliver(self, invocation: Invocation, request: Request) -> None:
        self._pending = None
        self._reply(self._event(invocation), request)
        self._advance()

    def _event(self, invocation: Invocation) -> Reply:
        headers = http_responses.event_headers(
            invocation, self.function_arn, empty=self.empty_headers
        )
        return Reply(200, invocation.payload, headers)

    def _response(self, invocation: Invocation, request: Request) -> Reply:
        refusal = self.exchange.finish_response(
            invocation,
            request.body,
            request.size,
            request.header(b"content-type"),
            request.trailers,
        )
        return ACCEPTED if refusal is None else refused(refusal)

    def _error(self, invocation: Invocation, request: Request) -> Reply | None:
        if request.size > MAX_PAYLOAD_SIZE:
            # rapid panics here: no answer, the connection is closed, and the state stays where it
            # is.
            self.closing = True
            self.exchange.truncate(invocation)
            return None
        refusal = self.exchange.finish_error(
            invocation, request.body, request.header(ERROR_TYPE), request.header(b"content-type")
        )
        return ACCEPTED if refusal is None else refused(refusal)

    def _init_error(self, request: Request) -> Reply:
        refusal = self.exchange.accept_init_error(request.body, request.header(ERROR_TYPE))
        return ACCEPTED if refusal is None else refused(refusal)

    def _reply(self, reply: Reply, request: Request) -> None:
        keep_alive = request.keep_alive and self.keep_alive
        self.closing = self.closing or not keep_alive
        self.send(
            http_responses.answer(
                reply.status,
                reply.body,
                reply.headers,
                version=request.version,
                keep_alive=keep_alive,
            )
        )


def _pong(_: Request) -> Reply:
    return PONG
