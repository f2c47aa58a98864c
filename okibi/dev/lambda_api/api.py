"""Lambda's API as an ASGI application."""

import attrs
import msgspec

from ...local.invoke_api.invoke_errors import InvokeError
from ...local.invoke_api.invoke_request import LambdaRequest
from ...local.invoke_api.lambda_operations import IMPLEMENTED, find_operation
from ...local.invoke_api.operations import InvokeApi, LambdaResponse, send_stream
from ...local.limits import MAX_EVENT_SIZE
from ...local.platform.streaming import ResponseStream
from ..asgi import (
    Receive,
    Scope,
    Send,
    read_body,
    send_body,
    send_head,
    send_response,
    until_client_leaves,
)
from .functions import FunctionList


@attrs.frozen
class LambdaApi:
    """Serves the requests of boto3, the AWS CLI, and other clients of Lambda (ASGI 3).

    Args:
        invoke_api: runs functions.
        functions: describes functions.
    """

    invoke_api: InvokeApi
    functions: FunctionList

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            ClientLeft: the client closed the connection.
            InvokeError: the call is refused; nothing has been sent.
        """
        body = await read_body(receive, MAX_EVENT_SIZE)
        request = LambdaRequest(
            scope["method"],
            scope["path"],
            scope["query_string"],
            dict(scope["headers"]),
            body.data,
            body.size,
        )
        response = await self.invoke_api.respond(request) or self._describe(request)
        if response.stream is None:
            await send_response(send, response)
        else:
            await _send_pieces(send, receive, response, response.stream)

    def _describe(self, request: LambdaRequest) -> LambdaResponse:
        operation = find_operation(request.method, request.path)
        if operation is None:
            raise InvokeError(
                404,
                "UnknownOperationException",
                f"okibi dev does not implement {request.method} {request.path};"
                f" it implements {', '.join(IMPLEMENTED)}",
            )
        host = request.headers.get(b"host", b"localhost").decode("latin-1")
        answer = self.functions.answer(operation.name, operation.function_name, request.query, host)
        return LambdaResponse(200, msgspec.json.encode(answer))


async def _send_pieces(
    send: Send, receive: Receive, response: LambdaResponse, pieces: ResponseStream
) -> None:
    """Send a response while the function writes it.

    If the client leaves, the rest of the response is discarded. The function goes on, as in Lambda.
    """

    async def send_piece(data: bytes) -> None:
        await send_body(send, data, more=True)

    async def send_all() -> None:
        await send_head(send, response)
        await send_stream(pieces, send_piece)
        await send_body(send, b"")

    async with pieces:
        await until_client_leaves(send_all, receive)
