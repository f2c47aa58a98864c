"""The operations that run functions: Invoke, InvokeWithResponseStream, InvokeAsync."""

from collections.abc import Awaitable, Callable, Mapping

import attrs
import trio

from ... import event_stream
from ...invocation import Invocation
from ...invoke_errors import InvokeError
from ...invoke_request import (
    find_target,
    read_choice,
    read_invocation,
    read_log,
    read_qualifier,
)
from ...limits import MAX_EVENT_SIZE
from ...streaming import ResponseStream
from ..asgi import Receive, RequestBody, Send, read_body, send_body, until_client_leaves
from ..dev_function import Throttled
from ..function_pool import FunctionPool
from .responses import LambdaResponse, send_response

__all__ = ["Invoker"]


@attrs.frozen
class Invoker:
    """Runs functions for callers of Lambda's API.

    Args:
        pools: what runs the invocations of each function, by the function's name.
        enqueue: accepts an asynchronous event; arguments are the function's name and the
            invocation.
    """

    pools: Mapping[str, FunctionPool]
    enqueue: Callable[[str, Invocation], Awaitable[None]]

    async def invoke(
        self,
        function_name: str,
        query: bytes,
        headers: Mapping[bytes, bytes],
        receive: Receive,
    ) -> LambdaResponse:
        """Run a function and return its response (Lambda Invoke).

        Args:
            function_name: a name or an ARN.
            query: the query string.
            headers: the request's headers, names in lower case.
            receive: reads the event.

        Raises:
            ClientLeft: the client has closed the connection before the event was complete.
            InvokeError: the call is refused.
        """
        body = await read_body(receive, MAX_EVENT_SIZE)
        kind = read_choice(headers, "X-Amz-Invocation-Type", "RequestResponse", "Event", "DryRun")
        pool, invocation = self._read(
            function_name, query, headers, body, asynchronous=kind == "Event"
        )
        if kind == "DryRun":
            return LambdaResponse(204, request_id=invocation.request_id)
        if kind == "Event":
            await self.enqueue(pool.function.name, invocation)
            return LambdaResponse(202, request_id=invocation.request_id)
        done = trio.Event()
        _start(pool, invocation, done)
        # Without cancellation by a client that leaves: the function goes on, as in Lambda.
        await done.wait()
        result = invocation.result()
        answer = {"X-Amz-Executed-Version": "$LATEST"}
        if result.function_error is not None:
            answer["X-Amz-Function-Error"] = result.function_error
        if log := await read_log(invocation):
            answer["X-Amz-Log-Result"] = log
        return LambdaResponse(
            result.status_code, result.payload, answer, request_id=invocation.request_id
        )

    async def invoke_async(
        self, function_name: str, headers: Mapping[bytes, bytes], receive: Receive
    ) -> LambdaResponse:
        """Queue an event (Lambda InvokeAsync, deprecated)."""
        body = await read_body(receive, MAX_EVENT_SIZE)
        pool, invocation = self._read(function_name, b"", headers, body, asynchronous=True)
        await self.enqueue(pool.function.name, invocation)
        return LambdaResponse(202, b'{"Status":202}', request_id=invocation.request_id)

    async def invoke_with_response_stream(
        self,
        function_name: str,
        query: bytes,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        send: Send,
    ) -> None:
        """Run a function and send its response while it is produced.

        If the client leaves, the rest of the response is discarded. The function goes on, as in
        Lambda (InvokeWithResponseStream).

        Raises:
            ClientLeft: the client has closed the connection.
            InvokeError: the call is refused; nothing has been sent.
        """
        body = await read_body(receive, MAX_EVENT_SIZE)
        pool, invocation = self._read(function_name, query, headers, body)
        answer = {"X-Amz-Executed-Version": "$LATEST"}
        if read_choice(headers, "X-Amz-Invocation-Type", "RequestResponse", "DryRun") == "DryRun":
            dry_run = LambdaResponse(204, b"", answer, request_id=invocation.request_id)
            await send_response(send, dry_run)
            return
        head = LambdaResponse(
            200,
            headers=answer,
            content_type=event_stream.CONTENT_TYPE,
            request_id=invocation.request_id,
        )

        async def copy_stream() -> None:
            await send(head.start())
            async for piece in pieces:
                await send_body(send, event_stream.payload_chunk(piece), more=True)
            end = event_stream.completion(await pieces.result(), await read_log(invocation))
            await send_body(send, end)

        async with ResponseStream(invocation) as pieces:
            _start(pool, invocation)
            await until_client_leaves(copy_stream, receive)

    def _read(
        self,
        function_name: str,
        query: bytes,
        headers: Mapping[bytes, bytes],
        body: RequestBody,
        *,
        asynchronous: bool = False,
    ) -> tuple[FunctionPool, Invocation]:
        arns = {name: pool.function.settings.arn for name, pool in self.pools.items()}
        target = find_target(function_name, read_qualifier(query), arns)
        pool = self.pools[target.name]
        invocation = read_invocation(
            headers,
            body.data,
            body.size,
            timeout=pool.function.settings.timeout,
            function_arn=target.arn,
            asynchronous=asynchronous,
        )
        return pool, invocation


def _start(pool: FunctionPool, invocation: Invocation, done: trio.Event | None = None) -> None:
    try:
        pool.start_invocation(invocation, done)
    except Throttled as throttled:
        raise InvokeError(
            429,
            "TooManyRequestsException",
            str(throttled),
            reason=throttled.reason,
            headers={"Retry-After": "1"},
        ) from throttled
