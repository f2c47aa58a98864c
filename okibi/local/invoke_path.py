"""Lambda's Invoke API over HTTP.

* `POST /2015-03-31/functions/{name}/invocations` returns the whole response.
* `POST /2021-11-15/functions/{name}/response-streaming-invocations` streams the response.
"""

from collections.abc import Awaitable, Callable, Collection
from urllib.parse import unquote

import attrs
import trio

from . import event_stream, http_responses
from .browser_requests import browser_refusal
from .http_requests import HeadersTooLarge, HttpRequest, MalformedRequest, RequestReader
from .invocation import Invocation, InvokeResult, new_request_id
from .invoke_errors import InvokeError
from .invoke_request import (
    find_target,
    read_choice,
    read_invocation,
    read_log,
    read_qualifier,
)
from .limits import MAX_EVENT_SIZE
from .settings import FunctionSettings
from .socket_stream import fast_stream, linger
from .streaming import ResponseStream

__all__ = ["InvokePath"]

PREFIX = "/2015-03-31/functions/"
SUFFIX = "/invocations"
STREAM_PREFIX = "/2021-11-15/functions/"
STREAM_SUFFIX = "/response-streaming-invocations"


@attrs.define(eq=False)
class InvokePath:
    """Serves invokers.

    Args:
        settings: the one function.
        invoke: runs an invocation and returns the result.
        start: runs an invocation in the background.
        allowed_hosts: host names that invokers may use, besides `localhost` and its addresses.
            Requests of web pages are refused.
    """

    settings: FunctionSettings
    invoke: Callable[[Invocation], Awaitable[InvokeResult]]
    start: Callable[[Invocation], None]
    allowed_hosts: Collection[str] = ()

    async def serve_connection(self, stream: trio.abc.Stream) -> None:
        """Serve one invoker until either side closes the connection; then close the stream."""
        async with fast_stream(stream) as stream:
            try:
                await self._serve_requests(stream)
            except trio.BrokenResourceError:
                # The invoker has left. As in Lambda, the function goes on.
                return

    async def _serve_requests(self, stream: trio.abc.Stream) -> None:
        reader = RequestReader(MAX_EVENT_SIZE)
        try:
            while (request := await _read_request(stream, reader)) is not None:
                if _is_stream(request):
                    await self._respond_as_stream(stream, request)
                else:
                    await stream.send_all(b"".join(await self._respond(request)))
                if not request.keep_alive:
                    break
            else:
                return
        except MalformedRequest as error:
            await stream.send_all(http_responses.plain_error(str(error)))
        except HeadersTooLarge:
            await stream.send_all(http_responses.plain_error(http_responses.TOO_LARGE_STATUS))
        await linger(stream)

    async def _respond(self, request: HttpRequest) -> list[bytes]:
        try:
            status, payload, headers = await self._invoke(request)
        except InvokeError as refused:
            return _refusal(request, refused)
        return _encode(request, status, payload, headers)

    async def _respond_as_stream(self, stream: trio.abc.Stream, request: HttpRequest) -> None:
        try:
            self._refuse_browsers(request)
            invocation = self._read_invocation(request, STREAM_PREFIX, STREAM_SUFFIX)
            kind = read_choice(
                request.headers, "X-Amz-Invocation-Type", "RequestResponse", "DryRun"
            )
            if request.version == "1.0":
                raise InvokeError(505, "HttpVersionNotSupported", "a stream needs HTTP/1.1")
        except InvokeError as refused:
            await stream.send_all(b"".join(_refusal(request, refused)))
            return
        headers = {"X-Amzn-RequestId": invocation.request_id, "X-Amz-Executed-Version": "$LATEST"}
        if kind == "DryRun":
            await stream.send_all(b"".join(_encode(request, 204, b"", headers)))
            return
        headers["Content-Type"] = event_stream.CONTENT_TYPE
        await stream.send_all(
            http_responses.chunked_head(_encode_headers(headers), keep_alive=request.keep_alive)
        )
        async with ResponseStream(invocation) as answer:
            self.start(invocation)
            async for piece in answer:
                await stream.send_all(http_responses.chunk(event_stream.payload_chunk(piece)))
            result = await answer.result()
        end = event_stream.completion(result, await read_log(invocation))
        await stream.send_all(http_responses.chunk(end) + http_responses.chunk(b""))

    def _refuse_browsers(self, request: HttpRequest) -> None:
        if why := browser_refusal(request.headers, self.allowed_hosts):
            raise InvokeError(403, "AccessDeniedException", why)

    async def _invoke(self, request: HttpRequest) -> tuple[int, bytes, dict[str, str]]:
        self._refuse_browsers(request)
        kind = read_choice(
            request.headers, "X-Amz-Invocation-Type", "RequestResponse", "Event", "DryRun"
        )
        invocation = self._read_invocation(request, PREFIX, SUFFIX, asynchronous=kind == "Event")
        headers = {"X-Amzn-RequestId": invocation.request_id}
        if kind == "DryRun":
            return 204, b"", headers
        if kind == "Event":
            self.start(invocation)
            return 202, b"", headers
        result = await self.invoke(invocation)
        if result.function_error is not None:
            headers["X-Amz-Function-Error"] = result.function_error
        headers["X-Amz-Executed-Version"] = "$LATEST"
        if invocation.log is not None:
            headers["X-Amz-Log-Result"] = await read_log(invocation)
        return result.status_code, result.payload, headers

    def _read_target_arn(self, request: HttpRequest, prefix: str, suffix: str) -> str:
        """Return the ARN that a request names, with the qualifier."""
        path = _path(request)
        if not path.startswith(prefix) or not path.endswith(suffix):
            raise InvokeError(
                404,
                "UnknownOperationException",
                f"unknown path {path}; invoke with POST {PREFIX}{self.settings.name}{SUFFIX}",
            )
        if request.method != b"POST":
            raise InvokeError(405, "MethodNotAllowedException", "invoke with POST")
        name = path.removeprefix(prefix).removesuffix(suffix)
        qualifier = read_qualifier(request.target.partition(b"?")[2])
        return find_target(name, qualifier, {self.settings.name: self.settings.arn}).arn

    def _read_invocation(
        self, request: HttpRequest, prefix: str, suffix: str, *, asynchronous: bool = False
    ) -> Invocation:
        return read_invocation(
            request.headers,
            request.body,
            request.size,
            timeout=self.settings.timeout,
            function_arn=self._read_target_arn(request, prefix, suffix),
            asynchronous=asynchronous,
        )


def _path(request: HttpRequest) -> str:
    return unquote(request.path.decode("ascii", "replace"))


def _is_stream(request: HttpRequest) -> bool:
    return _path(request).startswith(STREAM_PREFIX)


def _encode_headers(headers: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


def _encode(
    request: HttpRequest, status: int, payload: bytes, headers: dict[str, str]
) -> list[bytes]:
    return http_responses.encode_response(
        status,
        payload,
        http_responses.JSON + _encode_headers(headers),
        version=request.version,
        keep_alive=request.keep_alive,
    )


def _refusal(request: HttpRequest, refused: InvokeError) -> list[bytes]:
    headers = {"X-Amzn-RequestId": new_request_id(), "X-Amzn-ErrorType": refused.error_type}
    return _encode(request, refused.status, refused.body(), headers)


async def _read_request(stream: trio.abc.Stream, reader: RequestReader) -> HttpRequest | None:
    """Return the next complete request, or None at the end of the connection."""
    sent_continue = False
    while not reader.requests or not reader.requests[0].complete:
        if reader.requests and not sent_continue and b"expect" in reader.requests[0].headers:
            sent_continue = True
            await stream.send_all(http_responses.CONTINUE)
        data = await stream.receive_some()
        if not data:
            return None
        reader.feed(bytes(data))
    return reader.requests.popleft()
