"""The Invoke API on a port of its own, with the local Lambda's HTTP/1.1. It needs no extra."""

from collections.abc import Collection
from urllib.parse import unquote

import attrs
import trio

from ..limits import MAX_EVENT_SIZE
from ..platform.streaming import ResponseStream
from ..server import http_responses
from ..server.browser_requests import browser_refusal
from ..server.http_requests import HeadersTooLarge, HttpRequest, MalformedRequest, RequestReader
from ..server.socket_stream import fast_stream, linger
from .invoke_errors import InvokeError
from .invoke_request import LambdaRequest
from .lambda_operations import find_operation, invoke_path
from .operations import InvokeApi, LambdaResponse, error_response, send_stream


@attrs.frozen
class InvokePort:
    """Serves invokers.

    Args:
        api: runs the function.
        allowed_hosts: host names that invokers may use, besides `localhost` and its addresses.
            Requests of web pages are refused.
    """

    api: InvokeApi
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
                try:
                    response = await self._respond(request)
                except InvokeError as refused:
                    response = error_response(refused)
                await _send(stream, request, response)
                if not request.keep_alive:
                    break
            else:
                return
        except MalformedRequest as error:
            await stream.send_all(http_responses.plain_error(str(error)))
        except HeadersTooLarge:
            await stream.send_all(http_responses.plain_error(http_responses.TOO_LARGE_STATUS))
        await linger(stream)

    async def _respond(self, request: HttpRequest) -> LambdaResponse:
        if why := browser_refusal(request.headers, self.allowed_hosts):
            raise InvokeError(403, "AccessDeniedException", why)
        path, _, query = request.target.partition(b"?")
        call = LambdaRequest(
            request.method.decode(),
            unquote(path.decode("ascii", "replace")),
            query,
            request.headers,
            request.body,
            request.size,
        )
        operation = find_operation(call.method, call.path)
        if operation is not None and operation.streams and request.version == "1.0":
            raise InvokeError(505, "HttpVersionNotSupported", "a stream needs HTTP/1.1")
        response = await self.api.respond(call)
        if response is None:
            name = next(iter(self.api.functions))
            raise InvokeError(
                404,
                "UnknownOperationException",
                f"unknown operation {call.method} {call.path}; invoke with POST"
                f" {invoke_path(name)}",
            )
        return response


async def _send(stream: trio.abc.Stream, request: HttpRequest, response: LambdaResponse) -> None:
    headers = "".join(f"{name}: {text}\r\n" for name, text in response.all_headers().items())
    if response.stream is not None:
        await _send_chunks(
            stream,
            http_responses.chunked_head(headers.encode(), keep_alive=request.keep_alive),
            response.stream,
        )
        return
    pieces = http_responses.encode_response(
        response.status,
        response.body,
        headers.encode(),
        version=request.version,
        keep_alive=request.keep_alive,
    )
    await stream.send_all(b"".join(pieces))


async def _send_chunks(stream: trio.abc.Stream, head: bytes, pieces: ResponseStream) -> None:
    async def send(data: bytes) -> None:
        await stream.send_all(http_responses.chunk(data))

    async with pieces:
        await stream.send_all(head)
        await send_stream(pieces, send)
        await send(b"")


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
