"""The ASGI application that turns HTTP requests into invocations and results into responses."""

from collections.abc import Callable, Mapping

import attrs
import msgspec
import trio

from ...hooks import ignore
from ...invocation import Invocation, InvokeResult
from ...limits import MAX_EVENT_SIZE
from ...streaming import ResponseStream
from ..asgi import Receive, Scope, Send, read_body, send_body, until_client_leaves
from ..dev_function import Cors, DevFunction, Route, Throttled
from ..function_pool import FunctionPool
from ..http_reports import HttpReport, ReportedSend
from ..invocation_events import LogLine
from .cors import add_cors_headers, answer_preflight, is_preflight, requested_method
from .function_url import FUNCTION_URL, HTTP_INTEGRATION, PreludeReader, stream_without_prelude
from .http_api import HTTP_API, NOT_FOUND
from .http_service import HttpService
from .incoming_request import IncomingRequest
from .load_balancer import LOAD_BALANCER, MULTI_VALUE_LOAD_BALANCER
from .outgoing_response import MalformedResult, OutgoingResponse, json_answer
from .rest_api import MISSING_ROUTE, rest_api
from .route_table import RouteMatch, RouteTable

__all__ = ["URL_PREFIX", "HttpFront"]

URL_PREFIX = "/lambda-url/"
"""The path of function URLs: `/lambda-url/NAME/…`."""

_SERVICES: Mapping[str, HttpService] = {
    "http-api": HTTP_API,
    "rest-api": rest_api(),
    "alb": LOAD_BALANCER,
}


@attrs.frozen
class _Target:
    """Where a request goes."""

    pool: FunctionPool
    service: HttpService
    match: RouteMatch
    kind: str
    cors: Cors | None
    path: str
    """The path that the function sees."""
    streaming: bool = False


@attrs.define(eq=False)
class HttpFront:
    """Serves functions over HTTP (ASGI 3).

    `/lambda-url/NAME/…` is the function URL of NAME. Other paths are looked up in the routes of all
    functions. A function that is served alone and without routes has its URL at `/` besides.

    As on AWS, a function goes on when its client leaves.

    Args:
        pools: what runs the invocations of each function, by the function's name.
        report: receives each request that invokes a function, each answer, and a log line for each
            response that the function did not intend.

    Raises:
        ValueError: two functions have the same route.

    Example:
        HttpFront({"visits": pool})
    """

    pools: Mapping[str, FunctionPool]
    report: Callable[[HttpReport | LogLine], None] = ignore
    _described: tuple[DevFunction, ...] = attrs.field(init=False, default=())
    """The functions whose routes are in the table."""
    _table: RouteTable = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._table = RouteTable(self._described)
        self._routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            ClientLeft: the client closed the connection.
        """
        request = IncomingRequest.from_scope(scope)
        reported = ReportedSend(send, request.method, request.raw_path, self.report)
        try:
            await self._serve(request, receive, reported)
        finally:
            reported.report_answer()

    async def _serve(self, request: IncomingRequest, receive: Receive, send: ReportedSend) -> None:
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
                self._log(target, f": {remark}")
            event = msgspec.json.encode(target.service.make_event(request, target.match))
            if len(event) <= MAX_EVENT_SIZE:
                await self._invoke(target, request, event, receive, send)
                return
        megabytes = min(limit, MAX_EVENT_SIZE) >> 20
        remark = f"the limit is {megabytes} MB; Base64 makes a binary body a third larger"
        too_large = attrs.evolve(target.service.too_large, remark=remark)
        await self._answer(send, target, request, too_large)

    # -- finding the function

    def _routes(self) -> RouteTable:
        """Return the table; a reload may have changed the routes of a function."""
        functions = tuple(pool.function for pool in self.pools.values())
        if [*map(id, functions)] != [*map(id, self._described)]:
            self._table, self._described = RouteTable(functions), functions
        return self._table

    def _find(self, request: IncomingRequest) -> _Target | OutgoingResponse:
        path = request.raw_path
        if path.startswith(URL_PREFIX):
            name, _, rest = path.removeprefix(URL_PREFIX).partition("/")
            pool = self.pools.get(name)
            if pool is not None and pool.function.url is not None:
                return self._url_target(pool, f"/{rest}")
            return self._unknown_url(name)
        routes = self._routes()
        match = routes.find(request.method, path)
        if is_preflight(request):
            # The front answers these also where no route takes OPTIONS.
            asked = routes.find(requested_method(request), path)
            if asked is not None and asked.route.cors is not None and asked.route.kind != "alb":
                match = asked
        if match is not None:
            route, pool = match.route, self.pools[match.function]
            return _Target(pool, _choose_service(route), match, route.kind, route.cors, path)
        if len(self.pools) == 1:
            (pool,) = self.pools.values()
            if pool.function.url is not None and not pool.function.routes:
                return self._url_target(pool, path)
        return MISSING_ROUTE if routes.only_rest_apis else NOT_FOUND

    def _url_target(self, pool: FunctionPool, path: str) -> _Target:
        url = pool.function.url
        assert url is not None  # checked by the callers
        match = RouteMatch(pool.function.name, Route("ANY", "/{proxy+}"))
        return _Target(pool, FUNCTION_URL, match, "url", url.cors, path, url.streaming)

    def _unknown_url(self, name: str) -> OutgoingResponse:
        served = sorted(name for name, pool in self.pools.items() if pool.function.url is not None)
        message = f"no function URL {name[:80]!r} is served here; served: {', '.join(served)}"
        return json_answer(404, msgspec.json.encode({"Message": message}).decode())

    # -- invoking it

    async def _invoke(
        self,
        target: _Target,
        request: IncomingRequest,
        event: bytes,
        receive: Receive,
        send: ReportedSend,
    ) -> None:
        settings = target.pool.function.settings
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
            result = await self._wait(target, invocation, receive, send)
        except Throttled:
            await self._answer(send, target, request, target.service.throttled)
            return
        if result is None:
            await self._answer(send, target, request, target.service.late)
        else:
            await self._respond(target, request, result, send)

    async def _wait(
        self, target: _Target, invocation: Invocation, receive: Receive, send: ReportedSend
    ) -> InvokeResult | None:
        """Return the result, or None if the service stops waiting before."""
        done = trio.Event()
        target.pool.start_invocation(invocation, done)
        send.report_invocation(invocation.request_id)
        limit = target.service.time_limit
        if limit is None or target.pool.function.attach:
            limit = float("inf")
        with trio.move_on_after(limit):
            await until_client_leaves(done.wait, receive)
        if done.is_set():
            return invocation.result()
        self._log(target, f" stopped waiting after {limit:g} s, as on AWS; the function goes on")
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
            response = attrs.evolve(target.service.malformed, remark=str(malformed))
        await self._answer(send, target, request, response)

    async def _stream(
        self,
        target: _Target,
        request: IncomingRequest,
        invocation: Invocation,
        receive: Receive,
        send: ReportedSend,
    ) -> None:
        async with ResponseStream(invocation) as stream:
            target.pool.start_invocation(invocation)
            send.report_invocation(invocation.request_id)
            await until_client_leaves(
                lambda: self._copy_stream(target, request, stream, send), receive
            )

    async def _copy_stream(
        self, target: _Target, request: IncomingRequest, stream: ResponseStream, send: Send
    ) -> None:
        try:
            response = await _read_head(stream)
        except MalformedResult as malformed:
            response = attrs.evolve(target.service.malformed, remark=str(malformed))
            await self._answer(send, target, request, response)
            return
        if response is None:
            # The function failed before the first piece.
            await self._answer(send, target, request, target.service.failed)
            return
        await _start(send, request, self._headed(target, request, response), length=None)
        if request.method == "HEAD":
            await send_body(send, b"")
            return
        size = len(response.body)
        if response.body:
            await send_body(send, response.body, more=True)
        async for piece in stream:
            size += len(piece)
            await send_body(send, piece, more=True)
        result = await stream.result()
        if result.function_error is None:
            await send_body(send, b"")
        else:
            # Without the last chunk, the client sees that the response is incomplete.
            self._remark(target, response.status, f"the stream broke after {size} bytes")

    # -- sending

    async def _answer(
        self, send: Send, target: _Target, request: IncomingRequest, response: OutgoingResponse
    ) -> None:
        await _send_response(send, request, self._headed(target, request, response))

    def _headed(
        self, target: _Target, request: IncomingRequest, response: OutgoingResponse
    ) -> OutgoingResponse:
        """Return the response with the headers of the service and of its CORS configuration.

        What the function did not intend is reported.
        """
        headers, remark = add_cors_headers(target.cors, request, target.kind, response.headers)
        for text in filter(None, (response.remark, remark)):
            self._remark(target, response.status, text)
        return attrs.evolve(response, headers=headers + target.service.answer_headers(request))

    def _remark(self, target: _Target, status: int, text: str) -> None:
        self._log(target, f" answered {status}: {text}")

    def _log(self, target: _Target, text: str) -> None:
        self.report(LogLine(target.match.function, f"{target.service.title}{text}"))


def _choose_service(route: Route) -> HttpService:
    if route.binary_media_types:
        return rest_api(tuple(route.binary_media_types))
    return MULTI_VALUE_LOAD_BALANCER if route.multi_value_headers else _SERVICES[route.kind]


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


async def _send_response(send: Send, request: IncomingRequest, response: OutgoingResponse) -> None:
    await _start(send, request, response, length=len(response.body))
    bodiless = request.method == "HEAD" or _bodiless(response.status)
    await send_body(send, b"" if bodiless else response.body)


async def _start(
    send: Send, request: IncomingRequest, response: OutgoingResponse, *, length: int | None
) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
    if length is not None and not _bodiless(response.status):
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})


def _bodiless(status: int) -> bool:
    return status in (204, 304)
