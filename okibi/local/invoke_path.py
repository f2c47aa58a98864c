"""Lambda's Invoke API over HTTP.

* `POST /2015-03-31/functions/{name}/invocations` returns the whole response.
* `POST /2021-11-15/functions/{name}/response-streaming-invocations` streams the response.
"""

import base64
import math
import re
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import parse_qs, unquote

import attrs
import msgspec
import trio

from ..runtime.codec.json import find_json_error
from . import event_stream, http_responses
from .browser_requests import browser_refusal
from .function_names import is_served, parse_function_name
from .http_requests import HeadersTooLarge, HttpRequest, MalformedRequest, RequestReader
from .invocation import Invocation, InvokeResult, check_headers, new_request_id
from .log_tail import LogTail
from .settings import FunctionSettings
from .socket_stream import fast_stream, linger
from .streaming import ResponseStream

__all__ = ["MAX_EVENT_SIZE", "InvokePath"]

PREFIX = "/2015-03-31/functions/"
SUFFIX = "/invocations"
STREAM_PREFIX = "/2021-11-15/functions/"
STREAM_SUFFIX = "/response-streaming-invocations"

MAX_EVENT_SIZE = 6 * 1024 * 1024
"""Bytes of an event at most (Lambda quotas, synchronous invocations)."""

LAST_LINES = 1.0
"""Seconds to wait, beyond the deadline, for END and REPORT of a timed-out invocation. They are
written when its process is dead.
"""

_TENANT = re.compile(r"[a-zA-Z0-9._:/=+@ -]{1,256}")


class InvokeError(Exception):
    """The invoke is refused before the function sees the event.

    Args:
        status: HTTP status.
        error_type: Lambda's name of the error.
        message: one sentence.
    """

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type


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
            invocation = self._read_invocation(request, STREAM_PREFIX, STREAM_SUFFIX)
            kind = _read_choice(request, "X-Amz-Invocation-Type", "RequestResponse", "DryRun")
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
        log = "" if invocation.log is None else await _read_log(invocation, invocation.log)
        end = event_stream.completion(result, log)
        await stream.send_all(http_responses.chunk(end) + http_responses.chunk(b""))

    async def _invoke(self, request: HttpRequest) -> tuple[int, bytes, dict[str, str]]:
        invocation = self._read_invocation(request, PREFIX, SUFFIX)
        kind = _read_choice(request, "X-Amz-Invocation-Type", "RequestResponse", "Event", "DryRun")
        headers = {"X-Amzn-RequestId": invocation.request_id}
        if kind == "DryRun":
            return 204, b"", headers
        if kind == "Event":
            invocation.log = None
            self.start(invocation)
            return 202, b"", headers
        result = await self.invoke(invocation)
        if result.function_error is not None:
            headers["X-Amz-Function-Error"] = result.function_error
        headers["X-Amz-Executed-Version"] = "$LATEST"
        if invocation.log is not None:
            headers["X-Amz-Log-Result"] = await _read_log(invocation, invocation.log)
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
        asked = parse_qs(request.target.partition(b"?")[2].decode("ascii", "replace"))
        qualifier = asked.get("Qualifier", [""])[0]
        target = parse_function_name(name, self.settings.arn)
        if target is None:
            raise InvokeError(404, "ResourceNotFoundException", f"Function not found: {name}")
        if qualifier and target.qualifier and qualifier != target.qualifier:
            raise InvokeError(
                400,
                "InvalidParameterValueException",
                "The derived qualifier from the function name does not match the specified"
                " qualifier.",
            )
        qualifier = qualifier or target.qualifier
        arn = f"{target.arn}:{qualifier}" if qualifier else target.arn
        if target.name != self.settings.name:
            raise InvokeError(404, "ResourceNotFoundException", f"Function not found: {arn}")
        if not is_served(qualifier):
            raise InvokeError(
                404,
                "ResourceNotFoundException",
                f"Function not found: {arn} (only $LATEST and aliases exist here, no published"
                " versions)",
            )
        return arn

    def _read_invocation(self, request: HttpRequest, prefix: str, suffix: str) -> Invocation:
        if why := browser_refusal(request, self.allowed_hosts):
            raise InvokeError(403, "AccessDeniedException", why)
        function_arn = self._read_target_arn(request, prefix, suffix)
        if request.size > MAX_EVENT_SIZE:
            raise InvokeError(
                413,
                "RequestTooLargeException",
                f"Request must be smaller than {MAX_EVENT_SIZE} bytes"
                " for the InvokeFunction operation",
            )
        payload = request.body or b"{}"
        if wrong := find_json_error(payload):
            raise InvokeError(
                400,
                "InvalidRequestContentException",
                f"Could not parse request body into json: {wrong}",
            )
        invocation = Invocation(payload, self.settings.timeout, function_arn=function_arn)
        invocation.tenant_id = _read_tenant_id(request.header(b"x-amz-tenant-id"))
        invocation.client_context = _read_client_context(request.header(b"x-amz-client-context"))
        if _read_choice(request, "X-Amz-Log-Type", "None", "Tail") == "Tail":
            invocation.log = LogTail()
        if trace_id := request.header(b"x-amzn-trace-id"):
            invocation.trace_id = trace_id
        try:
            check_headers(invocation)
        except ValueError as error:
            raise InvokeError(400, "InvalidRequestContentException", str(error)) from error
        return invocation


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
    payload = msgspec.json.encode({"Type": "User", "Message": str(refused)})
    headers = {"X-Amzn-RequestId": new_request_id(), "X-Amzn-ErrorType": refused.error_type}
    return _encode(request, refused.status, payload, headers)


def _read_choice(request: HttpRequest, header: str, *values: str) -> str:
    """Return a header with few allowed values; the first is the default."""
    value = request.header(header.lower().encode()) or values[0]
    if value not in values:
        raise InvokeError(
            400,
            "InvalidParameterValueException",
            f"{header} must be one of {', '.join(values)}, got {value!r}",
        )
    return value


def _read_tenant_id(header: str) -> str:
    if header and not _TENANT.fullmatch(header):
        raise InvokeError(
            400,
            "InvalidParameterValueException",
            f"X-Amz-Tenant-Id must match {_TENANT.pattern}, got {header[:300]!r}",
        )
    return header


def _read_client_context(header: str) -> str:
    try:
        context = base64.b64decode(header, validate=True)
    except ValueError:
        context = b"no JSON"
    # Valid JSON is UTF-8 and escapes control characters.
    if context and (find_json_error(context) or not context.lstrip().startswith(b"{")):
        raise InvokeError(
            400,
            "InvalidRequestContentException",
            "Client context must be a valid Base64-encoded JSON object.",
        )
    return context.decode()


async def _read_log(invocation: Invocation, log: LogTail) -> str:
    """Return the end of the invocation's log in Base64.

    The log is complete when the runtime asks for the next event, or is dead.
    """
    if not math.isnan(invocation.begun_at):
        with trio.CancelScope(deadline=invocation.begun_at + invocation.timeout + LAST_LINES):
            await log.complete.wait()
    return log.encoded()


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
