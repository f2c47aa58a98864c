"""The ASGI application that turns HTTP requests into invocations and results into responses."""

import time
from collections.abc import Callable, Mapping

import attrs
import msgspec
import trio

from ...local.limits import MAX_EVENT_SIZE
from ...local.platform.hooks import ignore
from ...local.platform.invocation import Invocation, InvokeResult, new_trace_id
from ...local.platform.streaming import ResponseStream
from ...local.services.http_events import IncomingRequest
from ...local.services.http_results import (
    HTTP_INTEGRATION,
    OutgoingResponse,
    PreludeReader,
    stream_without_prelude,
)
from ...local.services.result_checks import MalformedResult
from ..asgi import Receive, Scope, Send, read_body, send_body, until_client_leaves
from ..dev_function import Cors, DevFunction, Route, Throttled
from ..function_pool import FunctionPool
from ..http_reports import HttpReport, ReportedSend
from ..invocation_events import LogLine
from .cors import add_cors_headers, answer_preflight, is_preflight, requested_method
from .http_service import (
    FUNCTION_URL,
    MISSING_ROUTE,
    NOT_FOUND,
    HttpService,
    json_answer,
    service_of,
)
from .route_table import RouteMatch, RouteTable

# The path of function URLs: `/lambda-url/NAME/…`.
URL_PREFIX = "/lambda-url/"


@attrs.frozen
class _Endpoint:
    """A function as a request reaches it: by its URL or by a route."""

    pool: FunctionPool
    service: HttpService
    match: RouteMatch
    kind: str
    cors: Cors | None
    # The path that the function sees.
    path: str
    streaming: bool = False


@attrs.define(eq=False)
class HttpFront:
    """Serves functions over HTTP (ASGI 3).

    `/lambda-url/NAME/…` is the function URL of NAME. Other paths are looked up in the routes of all
    functions. A function that is served alone and without routes has its URL at `/` besides.

    As on AWS, a function goes on when its client leaves.

    Args:
        pools: the pools that run the invocations, by the function's name.
        report: receives each request that invokes a function, each answer, and a log line for each
            response that the function did not intend.

    Raises:
        ValueError: two functions have the same route.

    Example:
        HttpFront({"visits": pool})
    """

    pools: Mapping[str, FunctionPool]
    report: Callable[[HttpReport | LogLine], None] = ignore
    # The functions whose routes are in the table.
    _described: tuple[DevFunction, ...] = attrs.field(init=False, default=())
    _table: RouteTable = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._table = RouteTable(self._described)
        self._routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            ClientLeft: the client closed the connection.
        """
        request = read_request(scope)
        reported = ReportedSend(send, request.method, request.raw_path, self.report)
        try:
            await self._serve(request, receive, reported)
        finally:
            reported.report_answer()

    async def _serve(self, request: IncomingRequest, receive: Receive, send: ReportedSend) -> None:
        endpoint = self._find(request)
        if isinstance(endpoint, OutgoingResponse):
            await _send_response(send, request, endpoint)
            return
        request = attrs.evolve(request, raw_path=endpoint.path)
        if endpoint.cors is not None and endpoint.kind != "alb" and is_preflight(request):
            await _send_response(
                send, request, answer_preflight(endpoint.cors, request, endpoint.kind)
            )
            return
        limit = endpoint.service.body_limit
        body = await read_body(receive, limit)
        if body.size <= limit:
            request = attrs.evolve(request, body=body.data)
            if remark := endpoint.service.remark_on(request):
                self._log(endpoint, f": {remark}")
            event = msgspec.json.encode(endpoint.service.make_event(request, endpoint.match))
            if len(event) <= MAX_EVENT_SIZE:
                await self._invoke(endpoint, request, event, receive, send)
                return
        megabytes = min(limit, MAX_EVENT_SIZE) >> 20
        remark = f"the limit is {megabytes} MB; Base64 makes a binary body a third larger"
        too_large = attrs.evolve(endpoint.service.too_large, remark=remark)
        await self._answer(send, endpoint, request, too_large)

    # -- finding the function

    def _routes(self) -> RouteTable:
        """Return the table; a reload may have changed the routes of a function."""
        functions = tuple(pool.function for pool in self.pools.values())
        if [*map(id, functions)] != [*map(id, self._described)]:
            self._table, self._described = RouteTable(functions), functions
        return self._table

    def _find(self, request: IncomingRequest) -> _Endpoint | OutgoingResponse:
        path = request.raw_path
        if path.startswith(URL_PREFIX):
            name, _, rest = path.removeprefix(URL_PREFIX).partition("/")
            pool = self.pools.get(name)
            if pool is not None and pool.function.url is not None:
                return self._url_endpoint(pool, f"/{rest}")
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
            return _Endpoint(pool, service_of(route), match, route.kind, route.cors, path)
        if len(self.pools) == 1:
            (pool,) = self.pools.values()
            if pool.function.url is not None and not pool.function.routes:
                return self._url_endpoint(pool, path)
        return MISSING_ROUTE if routes.only_rest_apis else NOT_FOUND

    def _url_endpoint(self, pool: FunctionPool, path: str) -> _Endpoint:
        url = pool.function.url
        assert url is not None  # checked by the callers
        match = RouteMatch(pool.function.name, Route("ANY", "/{proxy+}"))
        return _Endpoint(pool, FUNCTION_URL, match, "url", url.cors, path, url.streaming)

    def _unknown_url(self, name: str) -> OutgoingResponse:
        served = sorted(name for name, pool in self.pools.items() if pool.function.url is not None)
        message = f"no function URL {name[:80]!r} is served here; served: {', '.join(served)}"
        return json_answer(404, msgspec.json.encode({"Message": message}).decode())

    # -- invoking it

    async def _invoke(
        self,
        endpoint: _Endpoint,
        request: IncomingRequest,
        event: bytes,
        receive: Receive,
        send: ReportedSend,
    ) -> None:
        settings = endpoint.pool.function.settings
        invocation = Invocation(
            event,
            settings.timeout,
            request_id=request.request_id,
            trace_id=request.trace_id,
            function_arn=settings.arn,
        )
        try:
            if endpoint.streaming:
                await self._stream(endpoint, request, invocation, receive, send)
                return
            result = await self._wait(endpoint, invocation, receive, send)
        except Throttled:
            await self._answer(send, endpoint, request, endpoint.service.throttled)
            return
        if result is None:
            await self._answer(send, endpoint, request, endpoint.service.late)
        else:
            await self._respond(endpoint, request, result, send)

    async def _wait(
        self, endpoint: _Endpoint, invocation: Invocation, receive: Receive, send: ReportedSend
    ) -> InvokeResult | None:
        """Return the result, or None if the service stops waiting before."""
        done = trio.Event()
        endpoint.pool.start_invocation(invocation, done)
        send.report_invocation(invocation.request_id)
        limit = endpoint.service.time_limit
        if limit is None or endpoint.pool.function.attach:
            limit = float("inf")
        with trio.move_on_after(limit):
            await until_client_leaves(done.wait, receive)
        if done.is_set():
            return invocation.result()
        self._log(endpoint, f" stopped waiting after {limit:g} s, as on AWS; the function goes on")
        return None

    async def _respond(
        self, endpoint: _Endpoint, request: IncomingRequest, result: InvokeResult, send: Send
    ) -> None:
        """Send the response of a whole result."""
        if result.function_error is not None or result.status_code != 200:
            await self._answer(send, endpoint, request, endpoint.service.failed)
            return
        try:
            response = endpoint.service.read_result(result.payload, request)
        except MalformedResult as malformed:
            response = attrs.evolve(endpoint.service.malformed, remark=str(malformed))
        await self._answer(send, endpoint, request, response)

    async def _stream(
        self,
        endpoint: _Endpoint,
        request: IncomingRequest,
        invocation: Invocation,
        receive: Receive,
        send: ReportedSend,
    ) -> None:
        async with ResponseStream(invocation) as stream:
            endpoint.pool.start_invocation(invocation)
            send.report_invocation(invocation.request_id)
            await until_client_leaves(
                lambda: self._copy_stream(endpoint, request, stream, send), receive
            )

    async def _copy_stream(
        self, endpoint: _Endpoint, request: IncomingRequest, stream: ResponseStream, send: Send
    ) -> None:
        try:
            response = await _read_head(stream)
        except MalformedResult as malformed:
            response = attrs.evolve(endpoint.service.malformed, remark=str(malformed))
            await self._answer(send, endpoint, request, response)
            return
        if response is None:
            # The function failed before the first piece.
            await self._answer(send, endpoint, request, endpoint.service.failed)
            return
        await _start(send, request, self._headed(endpoint, request, response), length=None)
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
            self._remark(endpoint, response.status, f"the stream broke after {size} bytes")

    # -- sending

    async def _answer(
        self, send: Send, endpoint: _Endpoint, request: IncomingRequest, response: OutgoingResponse
    ) -> None:
        await _send_response(send, request, self._headed(endpoint, request, response))

    def _headed(
        self, endpoint: _Endpoint, request: IncomingRequest, response: OutgoingResponse
    ) -> OutgoingResponse:
        """Return the response with the headers of the service and of its CORS configuration.

        What the function did not intend is reported.
        """
        headers, remark = add_cors_headers(endpoint.cors, request, endpoint.kind, response.headers)
        for text in filter(None, (response.remark, remark)):
            self._remark(endpoint, response.status, text)
        return attrs.evolve(response, headers=headers + endpoint.service.answer_headers(request))

    def _remark(self, endpoint: _Endpoint, status: int, text: str) -> None:
        self._log(endpoint, f" answered {status}: {text}")

    def _log(self, endpoint: _Endpoint, text: str) -> None:
        self.report(LogLine(endpoint.match.function, f"{endpoint.service.title}{text}"))


def read_request(scope: Scope) -> IncomingRequest:
    """Read the scope of an ASGI server; the body is read later."""
    headers = [
        (name.decode("latin-1").lower(), _decode_header(value)) for name, value in scope["headers"]
    ]
    trace_id = next((value for name, value in headers if name == "x-amzn-trace-id"), "")
    return IncomingRequest(
        method=scope["method"].upper(),
        raw_path=scope["raw_path"].decode("latin-1") or "/",
        raw_query=scope["query_string"].decode("latin-1"),
        headers=headers,
        source_ip=(scope.get("client") or ("127.0.0.1", 0))[0],
        port=(scope.get("server") or ("127.0.0.1", 9000))[1] or 9000,
        protocol=f"HTTP/{scope['http_version']}",
        received_at=time.time(),
        trace_id=trace_id if trace_id.isprintable() and trace_id else new_trace_id(),
    )


def _decode_header(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


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
