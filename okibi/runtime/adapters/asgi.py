"""Serve an ASGI application: FastAPI, Starlette, Litestar, Quart, Django."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import attrs

from ...supervisors import Child, Restart, SpecError
from ...supervisors.spec_error import wrong_value
from ..errors.error_response import handler_error
from ..handlers.adapter import Adapter
from ..handlers.context import Context
from ..handlers.handler import Abandon
from ..handlers.web_application import find_web_interface
from ..in_flight.delivery import Delivery
from ..in_flight.stream import RESPONSE
from ..logs.lambda_log import log_error
from ..protocol.outcome import Outcome
from ..protocol.runtime_api import HTTP_INTEGRATION, PRELUDE_END
from .exchange import ENDED, EarlyEnd, Exchange
from .failed_status import as_statuses, check_status
from .http_answer import (
    LATE,
    PLAIN_TEXT,
    SERVER_ERROR,
    AnswerTooLarge,
    answer_late,
    join_headers,
    make_answer,
    refuse_large_answer,
)
from .http_request import HttpRequest
from .lifespan import Hook, Lifespan, LifespanMode, SandboxState
from .other_events import call_other, check_other
from .web_options import check_base_path, read_or_pass_on

if TYPE_CHECKING:
    from ..handlers.asyncio_handlers import HandlerLoop
    from ..handlers.response import Response

Application = Callable[[Any, Any, Any], Awaitable[object]]

# Seconds for an application to stop, within the 300 ms from SIGTERM to SIGKILL.
SHUTDOWN = 0.1


@attrs.frozen(eq=False)
class ASGI(Adapter):
    """An ASGI application as handler; a bare application is the same as `ASGI(app)`.

        function = Function(handler=ASGI(app, streams=True), children=[Child(Visits, name=VISITS)])

    Args:
        app: the application.
        streams: whether to send each part of a response at once, for a function URL whose
            InvokeMode is RESPONSE_STREAM. No event says that its URL streams.
        lifespan: "auto" runs the application's lifespan if it has one, once a sandbox; "on"
            requires one; "off" runs none.
        loop: "asyncio" or "trio", on which the application runs. None: the loop of the Function,
            then OKIBI_LOOP, then asyncio.
        base_path: the base path of a custom domain, such as `/shop`: the application is mounted
            there (`root_path`).
        fail_on: statuses that make the invocation fail, for alarms and retries.
        other: a handler for events that are no HTTP requests: `handler(event, context)`, a `def` or
            an `async def`. A `def` blocks the loop. None answers such an event with an error.
        before_snapshot, after_restore: an `async def` each that takes the lifespan's state
            (SnapStart).

    Raises:
        SpecError: a field is wrong; `field` names it.
    """

    app: Application
    streams: bool = attrs.field(default=False, kw_only=True)
    lifespan: LifespanMode = attrs.field(default="auto", kw_only=True)
    loop: Literal["trio", "asyncio"] | None = attrs.field(default=None, kw_only=True)
    base_path: str = attrs.field(default="", kw_only=True)
    fail_on: frozenset[int] = attrs.field(
        default=frozenset[int](), kw_only=True, converter=as_statuses
    )
    other: Callable[[Any, Any], object] | None = attrs.field(default=None, kw_only=True)
    before_snapshot: Hook | None = attrs.field(default=None, kw_only=True)
    after_restore: Hook | None = attrs.field(default=None, kw_only=True)
    sandbox: SandboxState = attrs.field(init=False, repr=False, factory=SandboxState)

    def __attrs_post_init__(self) -> None:
        app: object = self.app
        if not callable(app):
            raise wrong_value("app", "an ASGI application, app(scope, receive, send)", app)
        if find_web_interface(app) == "WSGI":
            raise SpecError(
                "app must be an ASGI application, got a WSGI application: write WSGI(app)",
                field="app",
                value=app,
            )
        choices: dict[str, tuple[object, ...]] = {
            "streams": (True, False),
            "lifespan": ("on", "auto", "off"),
            "loop": ("trio", "asyncio", None),
        }
        for field, allowed in choices.items():
            given: object = getattr(self, field)
            if given not in allowed:
                raise wrong_value(field, f"one of {', '.join(map(repr, allowed))}", given)
        check_base_path(self.base_path)
        check_other(self.other)

    @property
    def default_loop(self) -> Literal["trio", "asyncio"]:  # type: ignore[override]
        """The loop of an application for which no loop is set: of quart-trio trio, else asyncio."""
        return "trio" if type(self.app).__module__.startswith("quart_trio") else "asyncio"

    def handler(self) -> Callable[..., Any]:
        return self._stream if self.streams else self.__call__

    def children(self, loop: "HandlerLoop | None", abandon: Abandon) -> list[Child[Any]]:
        if self.lifespan == "off":
            return []
        create = partial(Lifespan, self, loop)
        return [Child(create, id="lifespan", restart=Restart.TRANSIENT, shutdown=SHUTDOWN)]

    async def __call__(self, event: Any, context: Context) -> object:
        """Answer an event with the whole response.

        Raises:
            NoHttpRequest: the event is no HTTP request, and there is no handler for others.
            StatusFailed: the status is one of `fail_on`.
        """
        request = read_or_pass_on(event, self.base_path, self.other)
        if not isinstance(request, HttpRequest):
            return await call_other(request, event, context)
        delivery = context._delivery
        exchange = Exchange(request, partial(self._answer_early, delivery))
        try:
            await self._run(exchange, event, context)
        except BaseException:
            if exchange.progress != ENDED and 504 not in self.fail_on:
                delivery.prepare_late_answer(partial(answer_late, request.format))
            raise
        if exchange.has_answered:
            return None
        if exchange.progress != ENDED:
            exchange.replace(500, PLAIN_TEXT, SERVER_ERROR)
        if self.fail_on:
            check_status(exchange.status, request, self.fail_on)
        return _answer(exchange)

    def _answer_early(self, delivery: Delivery, exchange: Exchange) -> bool:
        """Answer an event whose application goes on; False for an answer that fails."""
        return exchange.status not in self.fail_on and _send_early(delivery, _answer(exchange))

    async def _stream(self, event: Any, response: "Response", context: Context) -> object:
        """Send the response of an event part by part."""
        request = read_or_pass_on(event, self.base_path, self.other)
        if not isinstance(request, HttpRequest):
            return await call_other(request, event, context)
        delivery = context._delivery
        exchange = StreamedExchange(request, response, partial(_end_early, delivery))
        try:
            error = await self._run(exchange, event, context)
        except BaseException:
            if 504 not in self.fail_on:
                delivery.prepare_late_answer(_late_stream)
            raise
        if exchange.progress != ENDED and exchange.begun:
            # The client gets a part, and an error in the trailer.
            raise error or RuntimeError("the application returned before the end of its response")
        if exchange.progress != ENDED:
            exchange.replace(500, PLAIN_TEXT, SERVER_ERROR)
        check_status(exchange.status, request, self.fail_on)
        if not exchange.begun:
            await exchange.write(SERVER_ERROR)
        return None

    async def _run(self, exchange: Exchange, event: Any, context: Context) -> BaseException | None:
        """Call the application; log and return an error, as a server does."""
        scope = make_scope(exchange.request, event, context)
        if self.sandbox.lifespan_state is not None:
            scope["state"] = self.sandbox.lifespan_state.copy()
        try:
            application = self.app(scope, exchange.receive, exchange.send)
            steps: Any = application.__await__()
            try:
                # Most applications end without waiting.
                trap = steps.send(None)
            except StopIteration:
                return None
            await EarlyEnd(application, steps, trap, exchange)
        except (Exception, SystemExit) as error:
            log_error(handler_error(error, context.aws_request_id).body)
            observed = context._delivery.observed
            if observed is not None:
                observed.note_error(error)
            return error
        finally:
            observed = context._delivery.observed
            if observed is not None and (route := _route_of(scope)):
                observed.note_route(route)
        return None


# okibi passes a Response to it.
setattr(ASGI._stream, RESPONSE, True)


class StreamedExchange(Exchange):
    """Sends each part at once. Status and headers leave with the first part.

    Args:
        request: the request.
        response: the response.
        goes_on: as of an Exchange.

    Attributes:
        begun: whether the status has been sent.
    """

    __slots__ = ("begun", "response")

    def __init__(
        self, request: HttpRequest, response: "Response", goes_on: Callable[[Any], bool]
    ) -> None:
        super().__init__(request, goes_on)
        self.response = response
        self.begun = False

    async def write(self, part: bytes) -> None:
        if not self.begun:
            from ..handlers.response import Prelude

            self.begun = True
            headers, cookies = join_headers(self.headers)
            await self.response.write(Prelude(self.status, headers, cookies))
        if part:
            await self.response.write(part)

    async def end(self) -> None:
        if not self.begun:
            await self.write(b"")
        await super().end()


def make_scope(request: HttpRequest, event: Any, context: Context) -> dict[str, Any]:
    """Return the scope of a request (ASGI: HTTP connection scope).

    Args:
        request: the request.
        event: the event, for `aws.event`.
        context: the context, for `aws.context`.
    """
    headers = [(name.encode(), value.encode()) for name, value in request.headers]
    if request.body and b"content-length" not in dict(headers):
        # A REST API does not send it. Django reads no form without it.
        headers.append((b"content-length", b"%d" % len(request.body)))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": request.http_version,
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.raw_path.encode(),
        "query_string": request.query.encode(),
        "root_path": request.root_path,
        "headers": headers,
        "client": None if request.client is None else (request.client, 0),
        "server": request.server,
        "aws.event": event,
        "aws.context": context,
    }


def _route_of(scope: dict[str, Any]) -> str:
    """Return the route that FastAPI or Litestar has left in the scope; else an empty text."""
    path: object = scope.get("path_template") or getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else ""


def _late_stream() -> Outcome:
    """Return the whole response of a stream that has not begun at the deadline."""
    from ..handlers.response import Prelude

    prelude = Prelude(504, *join_headers(PLAIN_TEXT))
    return Outcome(prelude.encoded() + PRELUDE_END + LATE, HTTP_INTEGRATION)


def _end_early(delivery: Delivery, exchange: StreamedExchange) -> bool:
    """End the stream of an application that goes on."""
    return _send_early(delivery, exchange.response.finish_early())


def _send_early(delivery: Delivery, answer: object) -> bool:
    """Send an answer while the handler goes on; False where no worker waits for it (a test)."""
    answers = delivery.other_answers
    if answers is None or answers.early is None:
        return False
    answers.early(answer)
    return True


def _answer(exchange: Exchange) -> dict[str, Any]:
    request = exchange.request
    try:
        return make_answer(request.format, exchange.status, exchange.headers, exchange.whole_body())
    except AnswerTooLarge as error:
        return refuse_large_answer(request, error)
