"""One connection of the runtime, without I/O.

Go's net/http reads the next request of a connection only after it has answered the previous one. A
runtime can therefore write `POST …/response` and `GET …/next` together and read both responses in
order. `Connection` follows the same rule: it looks only at the oldest request, once when the
headers are complete and once when the body is.
"""

from collections.abc import Callable, Collection
from functools import partial

import attrs

from ..limits import MAX_PAYLOAD_SIZE, MAX_STREAM_SIZE
from ..platform.invocation import Invocation, ResponseSink
from ..platform.platform import ERROR_TYPE, STREAMING, PendingNext, Platform
from ..platform.snap_start import SnapStartPlatform
from ..platform.states import ApiError
from . import http_responses
from .browser_requests import browser_refusal
from .extension_calls import EXTENSION, extension_call, extension_event
from .http_requests import HeadersTooLarge, HttpRequest, MalformedRequest, RequestReader
from .http_responses import (
    ACCEPTED,
    NOT_FOUND,
    PONG,
    HttpResponse,
    error_response,
    method_not_allowed,
)

PREFIX = b"/2018-06-01"
NEXT = PREFIX + b"/runtime/invocation/next"
INVOCATION = PREFIX + b"/runtime/invocation/"
INIT_ERROR = PREFIX + b"/runtime/init/error"
RESTORE_NEXT = PREFIX + b"/runtime/restore/next"
RESTORE_ERROR = PREFIX + b"/runtime/restore/error"
PING = PREFIX + b"/ping"

RESPONSE_MODE = b"lambda-runtime-function-response-mode"
INVOCATION_ID = b"lambda-runtime-invocation-id"

# Bytes of an unwanted body that Go's server reads and discards to keep the connection open.
DISCARD_LIMIT = 256 * 1024


# Handles a request with a complete body. None means that the reply comes later, or never.
BodyHandler = Callable[[HttpRequest], HttpResponse | None]


@attrs.define(eq=False)
class Connection:
    """Serves the Runtime API on one connection.

    Args:
        platform: the state of the sandbox, in either mode.
        function_arn: the ARN sent with every event.
        send: writes the pieces of one HTTP response. Must neither block nor raise.
        keep_alive: keep the connection open after the first response, as Lambda does.
        empty_headers: send an empty header for an absent context.
        allowed_hosts: host names that requests may use, besides loopback names; requests of web
            pages are refused (`browser_requests`). None allows every request.
    """

    platform: Platform
    function_arn: str
    send: Callable[[list[bytes]], None]
    keep_alive: bool = True
    empty_headers: bool = False
    allowed_hosts: Collection[str] | None = None

    # Nothing is sent after the bytes already sent: flush them and close.
    closing: bool = attrs.field(default=False, init=False)
    _reader: RequestReader = attrs.field(
        factory=lambda: RequestReader(MAX_PAYLOAD_SIZE), init=False
    )
    _pending_next: PendingNext | None = attrs.field(default=None, init=False)
    # An extension's event/next is pending on this connection.
    _extension_waits: bool = attrs.field(default=False, init=False)
    # A /restore/next is pending on this connection.
    awaits_restore: bool = attrs.field(default=False, init=False)
    # Handles the body of the oldest request.
    _handle_body: BodyHandler = attrs.field(default=lambda _: None, init=False)
    _body_limit: int = attrs.field(default=0, init=False)
    # The invocation that the oldest request answers.
    _answered: Invocation | None = attrs.field(default=None, init=False)
    # Whether the body is forwarded to the invoker piece by piece.
    _forwards_body: bool = attrs.field(default=False, init=False)

    @property
    def blocked_sink(self) -> ResponseSink | None:
        """The sink to wait for before reading on, or None."""
        answered = self._answered
        if not self._forwards_body or answered is None or answered.outcome is not None:
            return None
        return answered.sink if answered.sink is not None and answered.sink.full else None

    def receive(self, data: bytes) -> None:
        """Handle received bytes."""
        try:
            self._reader.feed(data)
        except (MalformedRequest, HeadersTooLarge) as error:
            # As Go does: first answer the valid requests that precede the malformed bytes.
            self._process_requests()
            status = (
                str(error)
                if isinstance(error, MalformedRequest)
                else http_responses.TOO_LARGE_STATUS
            )
            self.closing = True
            self.send([http_responses.plain_error(status)])
        else:
            self._process_requests()

    def peer_gone(self) -> None:
        """Handle the end of the connection, orderly or not."""
        self.closing = True
        if self._pending_next is not None:
            waiter, self._pending_next = self._pending_next, None
            self.platform.abandon(waiter)
        requests = self._reader.requests
        if requests and requests[0].headers_handled and self._body_limit > DISCARD_LIMIT:
            self.platform.truncate(self._answered)

    # -- one request after another

    def _process_requests(self) -> None:
        requests = self._reader.requests
        while (
            requests
            and not self._pending_next
            and not self._extension_waits
            and not self.awaits_restore
            and not self.closing
        ):
            request = requests[0]
            if not request.headers_handled:
                request.headers_handled = True
                self._answered, self._forwards_body = None, False
                self._handle_headers(request)
            if self._forwards_body:
                self._forward_pieces(request)
            if request.size > self._body_limit:
                request.keep_alive = False
            elif not request.complete:
                return
            requests.popleft()
            reply = self._handle_body(request)
            if reply is not None:
                self._extension_waits = False
                self._reply(reply, request)

    def _handle_headers(self, request: HttpRequest) -> None:
        """Route the request, and change the state as far as headers alone decide."""
        finish = self._route(request)
        if isinstance(finish, HttpResponse):
            reply = finish
            self._handle_body, self._body_limit = (lambda _: reply), DISCARD_LIMIT
        else:
            limit = MAX_STREAM_SIZE if self._forwards_body else MAX_PAYLOAD_SIZE
            self._handle_body, self._body_limit = finish, limit + DISCARD_LIMIT
            if not request.complete and b"expect" in request.headers:
                self.send([http_responses.CONTINUE])

    def _route(self, request: HttpRequest) -> BodyHandler | HttpResponse:
        path = request.path
        allowed: bytes
        finish: BodyHandler
        if self.allowed_hosts is not None and (
            why := browser_refusal(request.headers, self.allowed_hosts)
        ):
            return error_response(ApiError(403, "AccessDenied", why))
        if path == NEXT:
            allowed, finish = b"GET", self._next
        elif path == INIT_ERROR:
            allowed, finish = b"POST", self._init_error
        elif path == RESTORE_NEXT and isinstance(self.platform, SnapStartPlatform):
            allowed, finish = b"GET", partial(self._restore_next, self.platform)
        elif path == RESTORE_ERROR and isinstance(self.platform, SnapStartPlatform):
            allowed, finish = b"POST", partial(_restore_error, self.platform)
        elif path == PING:
            allowed, finish = b"GET", _pong
        elif path.startswith(INVOCATION):
            return self._route_answer(request, path.removeprefix(INVOCATION).split(b"/"))
        elif path.startswith(EXTENSION):
            return extension_call(
                self.platform.extensions, request, lambda: self._park_extension(request)
            )
        else:
            return NOT_FOUND
        return finish if request.method == allowed else method_not_allowed(allowed)

    def _route_answer(self, request: HttpRequest, parts: list[bytes]) -> BodyHandler | HttpResponse:
        if len(parts) != 2 or parts[1] not in (b"response", b"error"):
            return NOT_FOUND
        if request.method != b"POST":
            return method_not_allowed(b"POST")
        request_id = parts[0].decode("ascii", "replace")
        attempt = request.header(INVOCATION_ID)
        if parts[1] == b"response":
            mode = request.header(RESPONSE_MODE)
            invocation = self.platform.begin_response(request_id, attempt, mode)
        else:
            mode = ""
            invocation = self.platform.begin_error(request_id, attempt)
        if isinstance(invocation, ApiError):
            return error_response(invocation)
        self._answered = invocation
        if parts[1] == b"error":
            return lambda request: self._error(invocation, request)
        if mode == STREAMING and invocation.sink is not None:
            self._forwards_body = True
            request.limit = MAX_STREAM_SIZE
            invocation.sink.begin(request.header(b"content-type") or "application/octet-stream")
        return lambda request: self._response(invocation, request)

    def _forward_pieces(self, request: HttpRequest) -> None:
        """Forward the received pieces of the body to the invoker."""
        assert self._answered is not None  # set together with _forwards_body
        assert self._answered.sink is not None
        for piece in request.take():
            self._answered.sink.write(piece)

    def _park_extension(self, request: HttpRequest) -> Callable[[bytes], None]:
        """Send nothing more until an event for the extension arrives."""
        self._extension_waits = True

        def deliver(event: bytes) -> None:
            self._extension_waits = False
            self._reply(extension_event(event), request)
            self._process_requests()

        return deliver

    # -- the endpoints, once the body is there

    def _next(self, request: HttpRequest) -> HttpResponse | None:
        waiter = PendingNext(lambda invocation: self._deliver(invocation, request))
        # Set first: the platform may deliver at once.
        self._pending_next = waiter
        outcome = self.platform.next(waiter)
        if outcome is None:
            return None
        self._pending_next = None
        if isinstance(outcome, ApiError):
            return error_response(outcome)
        return self._event(outcome)

    def _deliver(self, invocation: Invocation, request: HttpRequest) -> None:
        self._pending_next = None
        self._reply(self._event(invocation), request)
        self._process_requests()

    def _event(self, invocation: Invocation) -> HttpResponse:
        headers = http_responses.event_headers(
            invocation, self.function_arn, empty=self.empty_headers
        )
        return HttpResponse(200, invocation.payload, headers)

    def _response(self, invocation: Invocation, request: HttpRequest) -> HttpResponse:
        refusal = self.platform.finish_response(
            invocation,
            request.body,
            request.size,
            request.header(b"content-type"),
            request.trailers,
        )
        return ACCEPTED if refusal is None else error_response(refusal)

    def _error(self, invocation: Invocation, request: HttpRequest) -> HttpResponse | None:
        if request.size > MAX_PAYLOAD_SIZE:
            # rapid panics here: it sends no response, closes the connection and keeps the state.
            self.closing = True
            self.platform.truncate(invocation)
            return None
        refusal = self.platform.finish_error(
            invocation, request.body, request.header(ERROR_TYPE), request.header(b"content-type")
        )
        return ACCEPTED if refusal is None else error_response(refusal)

    def _init_error(self, request: HttpRequest) -> HttpResponse:
        refusal = self.platform.accept_init_error(request.body, request.header(ERROR_TYPE))
        return ACCEPTED if refusal is None else error_response(refusal)

    def _restore_next(
        self, platform: SnapStartPlatform, request: HttpRequest
    ) -> HttpResponse | None:
        def answer() -> None:
            self.awaits_restore = False
            self._reply(HttpResponse(200), request)
            self._process_requests()

        # Set first: an event may wait, and the restore be immediate.
        self.awaits_restore = True
        refusal = platform.restore_next(answer)
        if refusal is None:
            return None
        self.awaits_restore = False
        return error_response(refusal)

    def _reply(self, reply: HttpResponse, request: HttpRequest) -> None:
        keep_alive = request.keep_alive and self.keep_alive
        self.closing = self.closing or not keep_alive
        self.send(
            http_responses.encode_response(
                reply.status,
                reply.body,
                reply.headers,
                version=request.version,
                keep_alive=keep_alive,
            )
        )


def _restore_error(platform: SnapStartPlatform, request: HttpRequest) -> HttpResponse:
    refusal = platform.accept_restore_error(request.header(ERROR_TYPE))
    return ACCEPTED if refusal is None else error_response(refusal)


def _pong(_: HttpRequest) -> HttpResponse:
    return PONG
