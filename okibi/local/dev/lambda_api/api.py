"""Lambda's API as an ASGI application."""

from collections.abc import Mapping

import attrs
import msgspec

from ...invoke_errors import InvokeError
from ..asgi import Receive, Scope, Send, read_body
from .functions import FunctionList
from .invoke import Invoker
from .operations import IMPLEMENTED, Operation, find_operation
from .responses import LambdaResponse, send_response

__all__ = ["LambdaApi"]


@attrs.frozen
class LambdaApi:
    """Serves the requests of boto3, the AWS CLI, and other clients of Lambda (ASGI 3).

    Args:
        invoker: runs functions.
        functions: describes functions.
    """

    invoker: Invoker
    functions: FunctionList

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            ClientLeft: the client closed the connection.
            InvokeError: the call is refused; nothing has been sent.
        """
        response = await self._respond(scope, receive, send)
        if response is not None:
            await send_response(send, response)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> LambdaResponse | None:
        """Return the response, or None if it has been sent."""
        headers = dict(scope["headers"])
        operation = find_operation(scope["method"], scope["path"])
        if operation is None:
            await read_body(receive, 0)
            raise _not_implemented(scope)
        name, query = operation.function_name, scope["query_string"]
        match operation.name:
            case "Invoke":
                return await self.invoker.invoke(name, query, headers, receive)
            case "InvokeWithResponseStream":
                await self.invoker.invoke_with_response_stream(name, query, headers, receive, send)
                return None
            case "InvokeAsync":
                return await self.invoker.invoke_async(name, headers, receive)
            case _:
                await read_body(receive, 0)
                return self._describe(operation, query, headers)

    def _describe(
        self, operation: Operation, query: bytes, headers: Mapping[bytes, bytes]
    ) -> LambdaResponse:
        host = headers.get(b"host", b"localhost").decode("latin-1")
        answer = self.functions.answer(operation.name, operation.function_name, query, host)
        return LambdaResponse(200, msgspec.json.encode(answer))


def _not_implemented(scope: Scope) -> InvokeError:
    return InvokeError(
        404,
        "UnknownOperationException",
        f"okibi dev does not implement {scope['method']} {scope['path']};"
        f" it implements {', '.join(IMPLEMENTED)}",
    )
