"""The ASGI application that turns HTTP requests into invocations and results into responses."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import attrs
import msgspec
import trio

from ...invocation import Invocation, InvokeResult
from ...limits import MAX_EVENT_SIZE
from ...streaming import ResponseStream
from ..asgi import ClientLeft, Receive, Scope, Send, read_body
from ..dev_function import Cors, DevFunction, Route, Throttled
from .cors import add_cors_headers, answer_preflight, is_preflight, requested_method
from .function_url import FUNCTION_URL, HTTP_INTEGRATION, PreludeReader, stream_without_prelude
from .http_api import HTTP_API, NOT_FOUND
from .http_service import HttpService
from .incoming_request import IncomingRequest
from .load_balancer import load_balancer
from .outgoing_response import MalformedResult, OutgoingResponse, json_answer
from .rest_api import MISSING_ROUTE, rest_api
from .route_table import RouteMatch, RouteTable

__all__ = ["URL_PREFIX", "HttpFront", "HttpInvoker"]

URL_PREFIX = "/lambda-url/"
"""The path of function URLs: `/lambda-url/NAME/…`."""


class HttpInvoker(Protocol):
    """Runs the invocations of one function; SandboxPool is one."""

    @property
    def function(self) -> DevFunction:
        """The function, with its URL and routes."""
        ...

    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        """Run an invocation in the background; set `done` at the end.

        Raises:
            Throttled: the function takes no more events now.
        """


@attrs.frozen
class _Target:
    """Where a request goes."""

    invoker: HttpInvoker
    service: HttpService
    match: RouteMatch
    kind: str
    cors: Cors | None
    path: str
    """The path that the function sees."""
    streaming: bool = False


def _to_stderr(function: str, line: str) -> None:
    print(f"{function}: {line}", file=sys.stderr, flush=True)


@attrs.define(eq=False)
class HttpFront:
    """Serves functions over HTTP (ASGI 3).

    `/lambda-url/NAME/…` is the function URL of NAME. Other paths are looked up in the routes of all
    functions. A function that is served alone and without routes has its URL at `/` besides.

    As on AWS, a function goes on when its client leaves. WebSocket connections are refused.

    Args:
        functions: what runs the invocations of each function, by the function's name.
        log: called with the name of the function and one line for each response that the function
            did not intend.
        binary_media_types: media types that REST APIs pass as Base64 (API Gateway
            BinaryMediaTypes), such as `image/png`, `image/*` or `*/*`.
        multi_value_headers: whether load balancers send lists of values
            (lambda.multi_value_headers.enabled).

    Raises:
        ValueError: two functions have the same route.

    Example:
        HttpFront({"visits": pool})
    """

    functions: Mapping[str, HttpInvoker]
    log: Callable[[str, str], None] = _to_stderr
    binary_media_types: tuple[str, ...] = ()
    multi_value_headers: bool = False
    _described: tuple[DevFunction, ...] = attrs.field(init=False, default=())
    """The functions whose routes are in the table."""
    _table: RouteTable = attrs.field(init=False)

    _services: Mapping[str, HttpService] = attrs.field(
        init=False,
        default=attrs.Factory(
            lambda self: {
                "url": FUNCTION_URL,
                "http-api": HTTP_API,
                "rest-api": rest_api(self.binary_media_types),
                "alb": load_balancer(multi_value_headers=self.multi_value_headers),
            },
            takes_self=True,
        ),
    )

    def __attrs_post_init__(self) -> None:
        self._table = RouteTable(self._described)
        self._routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Messages of the server's lifespan are ignored."""
        if scope["type"] == "websocket":
            await receive()
            # Before it is accepted, this is a 403.
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            try:
                await self._serve(scope, receive, send)
            except ClientLeft:
                return

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = IncomingRequest.from_scope(scope, b"")
        target = self._find(request)
        if isinstance(target, OutgoingResponse):
            await _send_response(send, request, target)
            return
        request = attrs.evolve(request, raw_path=target.path)
        if target.cors is not None and target.kind != "alb" and is_preflight(request):
            await _send_response(send, request, answer_preflight(target.cors, request, target.kind))
            return
        limit = target.service.body_limit
        body = await read_body(receive, limit)
        if body.size <= limit:
            request = attrs.evolve(request, body=body.data)
            if remark := target.service.remark_on(request):
                self.log(target.match.function, f"{target.service.title}: {remark}")
            event = msgspec.json.encode(target.service.make_event(request, target.match))
            if len(event) <= MAX_EVENT_SIZE:
                await self._invoke(target, request, event, receive, send)
                return
        await self._answer(send, target, request, target.service.too_large)

    # -- finding the function

    def _routes(self) -> RouteTable:
        """Return the table; a reload may have changed the routes of a function."""
        functions = tuple(invoker.function for invoker in self.functions.values())
        if [*map(id, functions)] != [*map(id, self._described)]:
            self._table, self._described = RouteTable(functions), functions
        return self._table

    def _find(self, request: IncomingRequest) -> _Target | OutgoingResponse:
        path = request.raw_path
        if path.startswith(URL_PREFIX):
            name, _, rest = path.removeprefix(URL_PREFIX).partition("/")
            invoker = self.functions.get(name)
            if invoker is not None and invoker.function.url is not None:
                return self._url_target(invoker, f"/{rest}")
            return self._unknown_url(name)
        routes = self._routes()
        match = routes.find(request.method, path)
        if is_preflight(request):
            # The front answers these also where no route takes OPTIONS.
            asked = routes.find(requested_method(request), path)
            if asked is not None and asked.route.cors is not None and asked.route.kind != "alb":
                match = asked
        if match is not None:
            kind = match.route.kind
            return _Target(
                self.functions[match.function],
                self._services[kind],
                match,
                kind,
                match.route.cors,
                path,
            )
        if len(self.functions) == 1:
            (invoker,) = self.functions.values()
            if invoker.function.url is not None and not invoker.function.routes:
                return self._url_target(invoker, path)
        return MISSING_ROUTE if routes.only_rest_apis else NOT_FOUND

    def _url_target(self, invoker: HttpInvoker, path: str) -> _Target:
        url = invoker.function.url
        assert url is not None  # checked by the callers
        name = invoker.function.name
        match = RouteMatch(name, Route("ANY", "/{proxy+}"))
        return _Target(invoker, FUNCTION_URL, match, "url", url.cors, path, url.streaming)

    def _unknown_url(self, name: str) -> OutgoingResponse:
        served = sorted(
            name for name, invoker in self.functions.items() if invoker.function.url is not None
        )
        message = f"no function URL {name[:80]!r} is served here; served: {', '.join(served)}"
        return json_answer(404, msgspec.json.encode({"Message": message}).decode())

    # -- invoking it

    async def _invoke(
        self,
        target: _Target,
        request: IncomingRequest,
        event: bytes,
        receive: Receive,
        send: Send,
    ) -> None:
        settings = target.invoker.function.settings
        invocation = Invocation(
            event,
            settings.timeout,
            request_id=request.request_id,
            trace_id=request.trace_id,
            function_arn=settings.arn,
        )
        try:
            if target.streaming:
                await self._stream(target, request, invocation, receive, send)
                return
            result = await self._wait(target, invocation, receive)
        except Throttled:
            await self._answer(send, target, request, target.service.throttled)
            return
        if result is None:
            await self._answer(send, target, request, target.service.late)
        else:
            await self._respond(target, request, result, send)

    async def _wait(
        self, target: _Target, invocation: Invocation, receive: Receive
    ) -> InvokeResult | None:
        """Return the result, or None if the service stops waiting before."""
        done = trio.Event()
        target.invoker.start_invocation(invocation, done)
        limit = target.service.time_limit
        if limit is None or target.invoker.function.attach:
            limit = float("inf")
        with trio.move_on_after(limit):
            await _unless_client_leaves(done.wait, receive)
        if done.is_set():
            return invocation.result()
        self.log(
            target.match.function,
            f"{target.service.title} stopped waiting after {limit:g} s, as on AWS; the function"
            " goes on",
        )
        return None

    async def _respond(
        self, target: _Target, request: IncomingRequest, result: InvokeResult, send: Send
    ) -> None:
        """Send the response of a whole result."""
        if result.function_error is not None or result.status_code != 200:
            await self._answer(send, target, request, target.service.failed)
            return
        try:
            response = target.service.make_response(result.payload, request)
        except MalformedResult as malformed:
            self._report(target, target.service.malformed.status, str(malformed))
            await self._answer(send, target, request, target.service.malformed)
            return
        if response.remark:
            self._report(target, response.status, response.remark)
        await self._answer(send, target, request, response)

    async def _stream(
        self,
        target: _Target,
        request: IncomingRequest,
        invocation: Invocation,
        receive: Receive,
        send: Send,
    ) -> None:
        async with ResponseStream(invocation) as stream:
            target.invoker.start_invocation(invocation)
            await _unless_client_leaves(
                lambda: self._copy_stream(target, request, stream, send), receive
            )

    async def _copy_stream(
        self, target: _Target, request: IncomingRequest, stream: ResponseStream, send: Send
    ) -> None:
        try:
            response = await _read_head(stream)
        except MalformedResult as malformed:
            self._report(target, target.service.malformed.status, str(malformed))
            await self._answer(send, target, request, target.service.malformed)
            return
        if response is None:
            # The function failed before the first piece.
            await self._answer(send, target, request, target.service.failed)
            return
        if response.remark:
            self._report(target, response.status, response.remark)
        await _start(send, request, self._headed(target, request, response), length=None)
        if request.method == "HEAD":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        size = len(response.body)
        if response.body:
            await send({"type": "http.response.body", "body": response.body, "more_body": True})
        async for piece in stream:
            size += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        result = await stream.result()
        if result.function_error is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            # Without the last chunk, the client sees that the response is incomplete.
            self._report(target, response.status, f"the stream broke after {size} bytes")

    # -- sending

    async def _answer(
        self, send: Send, target: _Target, request: IncomingRequest, response: OutgoingResponse
    ) -> None:
        await _send_response(send, request, self._headed(target, request, response))

    def _headed(
        self, target: _Target, request: IncomingRequest, response: OutgoingResponse
    ) -> OutgoingResponse:
        """Return the response with the headers of the service and of its CORS configuration."""
        headers, remark = add_cors_headers(target.cors, request, target.kind, response.headers)
        if remark:
            self._report(target, response.status, remark)
        return attrs.evolve(response, headers=headers + target.service.answer_headers(request))

    def _report(self, target: _Target, status: int, text: str) -> None:
        self.log(target.match.function, f"{target.service.title} answered {status}: {text}")


async def _read_head(stream: ResponseStream) -> OutgoingResponse | None:
    """Return status, headers and the begin of the body; None if the function failed before.

    Raises:
        MalformedResult: the prelude is invalid.
    """
    reader = PreludeReader()
    async for piece in stream:
        if stream.content_type != HTTP_INTEGRATION:
            return stream_without_prelude(stream.content_type, piece)
        if (response := reader.feed(piece)) is not None:
            return response
    if (await stream.result()).function_error is not None:
        return None
    if stream.content_type != HTTP_INTEGRATION:
        return stream_without_prelude(stream.content_type, b"")
    raise MalformedResult("the stream ended within its prelude")


async def _unless_client_leaves(work: Callable[[], Awaitable[None]], receive: Receive) -> None:
    """Run `work`; cancel it when the client leaves.

    Raises:
        ClientLeft: the client left.
    """
    left = False
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            nonlocal left
            while (await receive())["type"] != "http.disconnect":
                pass
            left = True
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        await work()
        nursery.cancel_scope.cancel()
    if left:
        raise ClientLeft


async def _send_response(send: Send, request: IncomingRequest, response: OutgoingResponse) -> None:
    await _start(send, request, response, length=len(response.body))
    body = b"" if request.method == "HEAD" or _bodiless(response.status) else response.body
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _start(
    send: Send, request: IncomingRequest, response: OutgoingResponse, *, length: int | None
) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
    if length is not None and not _bodiless(response.status):
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})


def _bodiless(status: int) -> bool:
    return status in (204, 304)
