"""The operations of Lambda's Invoke API, without HTTP: Invoke, InvokeWithResponseStream and
InvokeAsync.

A server reads a request, calls `InvokeApi.respond` and writes the response. `invoke_port.py` does
so with the local Lambda's own HTTP, `dev/lambda_api` as an ASGI application.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import attrs
import trio

from ..platform.invocation import Invocation, new_request_id
from ..platform.streaming import ResponseStream
from ..settings import FunctionSettings
from . import event_stream
from .invoke_errors import InvokeError
from .invoke_request import LambdaRequest, find_target, read_choice, read_invocation, read_qualifier
from .lambda_operations import find_operation

# Seconds to wait, beyond the deadline, for END and REPORT of a timed-out invocation. They are
# written when its process is dead.
LAST_LINES = 1.0

EXECUTED_VERSION = {"X-Amz-Executed-Version": "$LATEST"}


class InvokedFunction(Protocol):
    """A function, as the Invoke API uses it."""

    @property
    def settings(self) -> FunctionSettings:
        """The configuration; a reload may replace it."""
        ...

    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        """Run an invocation in the background; set `done` when it has an outcome.

        Raises:
            InvokeError: the function takes no more events now.
        """


@attrs.frozen
class LambdaResponse:
    """A response of Lambda's API.

    Args:
        status: the HTTP status.
        body: the whole body; b"" if there is a stream.
        headers: further headers.
        content_type: the media type of the body.
        request_id: X-Amzn-RequestId.
        stream: the response of a function that has been started; `send_stream` sends it.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str])
    content_type: str = "application/json"
    request_id: str = attrs.field(factory=new_request_id)
    stream: ResponseStream | None = None

    def all_headers(self) -> dict[str, str]:
        """Return the headers, except those that the HTTP server adds."""
        return {
            "Content-Type": self.content_type,
            "X-Amzn-RequestId": self.request_id,
            **self.headers,
        }


def error_response(error: InvokeError) -> LambdaResponse:
    """Build AWS's response to a refused call."""
    headers = {"X-Amzn-ErrorType": error.error_type, **error.headers}
    return LambdaResponse(error.status, error.body(), headers)


async def send_stream(stream: ResponseStream, send: Callable[[bytes], Awaitable[None]]) -> None:
    """Send a response in event stream encoding, piece by piece while the function writes it."""
    async for piece in stream:
        await send(event_stream.payload_chunk(piece))
    result = await stream.result()
    await send(event_stream.completion(result, await _read_log(stream.invocation)))


@attrs.frozen
class InvokeApi:
    """Runs functions for callers of Lambda's API.

    Args:
        functions: the served functions by name.
        enqueue: accepts an asynchronous event; arguments are the function's name and the
            invocation.
    """

    functions: Mapping[str, InvokedFunction]
    enqueue: Callable[[str, Invocation], Awaitable[None]]

    async def respond(self, request: LambdaRequest) -> LambdaResponse | None:
        """Run the function that a request invokes; return None for another operation.

        A caller that leaves does not stop the function, as in Lambda.

        Raises:
            InvokeError: the call is refused.
        """
        operation = find_operation(request.method, request.path)
        if operation is None:
            return None
        match operation.name:
            case "Invoke":
                return await self._invoke(operation.function_name, request)
            case "InvokeWithResponseStream":
                return self._stream(operation.function_name, request)
            case "InvokeAsync":
                request_id = await self._enqueue(operation.function_name, request)
                return LambdaResponse(202, b'{"Status":202}', request_id=request_id)
            case _:
                return None

    async def _invoke(self, name: str, request: LambdaRequest) -> LambdaResponse:
        kind = read_choice(
            request.headers, "X-Amz-Invocation-Type", "RequestResponse", "Event", "DryRun"
        )
        if kind == "Event":
            return LambdaResponse(202, request_id=await self._enqueue(name, request))
        function, invocation = self._read(name, request)
        if kind == "DryRun":
            return LambdaResponse(204, request_id=invocation.request_id)
        function.start_invocation(invocation, done := trio.Event())
        await done.wait()
        result = invocation.result()
        headers = dict(EXECUTED_VERSION)
        if result.function_error is not None:
            headers["X-Amz-Function-Error"] = result.function_error
        if log := await _read_log(invocation):
            headers["X-Amz-Log-Result"] = log
        return LambdaResponse(
            result.status_code, result.payload, headers, request_id=invocation.request_id
        )

    def _stream(self, name: str, request: LambdaRequest) -> LambdaResponse:
        kind = read_choice(request.headers, "X-Amz-Invocation-Type", "RequestResponse", "DryRun")
        function, invocation = self._read(name, request)
        if kind == "DryRun":
            return LambdaResponse(204, b"", EXECUTED_VERSION, request_id=invocation.request_id)
        stream = ResponseStream(invocation)
        function.start_invocation(invocation)
        return LambdaResponse(
            200,
            headers=EXECUTED_VERSION,
            content_type=event_stream.CONTENT_TYPE,
            request_id=invocation.request_id,
            stream=stream,
        )

    async def _enqueue(self, name: str, request: LambdaRequest) -> str:
        """Queue an event and return its request id."""
        function, invocation = self._read(name, request, asynchronous=True)
        await self.enqueue(function.settings.name, invocation)
        return invocation.request_id

    def _read(
        self, name: str, request: LambdaRequest, *, asynchronous: bool = False
    ) -> tuple[InvokedFunction, Invocation]:
        arns = {each: function.settings.arn for each, function in self.functions.items()}
        target = find_target(name, read_qualifier(request.query), arns)
        function = self.functions[target.name]
        invocation = read_invocation(
            request,
            timeout=function.settings.timeout,
            function_arn=target.arn,
            asynchronous=asynchronous,
        )
        return function, invocation


async def _read_log(invocation: Invocation) -> str:
    """Return the end of the invocation's log in Base64, or "" if the invoker did not ask for it.

    The log is complete when the runtime asks for the next event, or is dead.
    """
    log = invocation.log
    if log is None:
        return ""
    if not math.isnan(invocation.begun_at):
        with trio.CancelScope(deadline=invocation.begun_at + invocation.timeout + LAST_LINES):
            await log.complete.wait()
    return log.encoded()
