"""Types of ASGI 3, and what every application does with a request and its response."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

import attrs
import trio

from ..local.invoke_api.operations import LambdaResponse

Scope: TypeAlias = Mapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

# Bytes beyond the limit of a body that are received and discarded.
#
# Many clients read no response before they have sent the whole body.
DISCARD_LIMIT = 64 * 1024 * 1024


class ClientLeft(Exception):
    """The client has closed the connection before the request or its response was complete."""


@attrs.frozen
class RequestBody:
    """The body of a request.

    Args:
        data: the body, without the bytes beyond the limit.
        size: bytes of the whole body.
    """

    data: bytes
    size: int


async def read_body(receive: Receive, limit: int) -> RequestBody:
    """Read a body and keep no more than `limit` bytes in memory.

    Args:
        receive: ASGI's receive.
        limit: bytes to keep.

    Raises:
        ClientLeft: the client closed the connection.

    Example:
        body = await read_body(receive, MAX_EVENT_SIZE)
        too_large = body.size > MAX_EVENT_SIZE
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        piece = message.get("body", b"")
        size += len(piece)
        if size <= limit:
            pieces.append(piece)
        if not message.get("more_body", False) or size > limit + DISCARD_LIMIT:
            return RequestBody(b"".join(pieces), size)


async def send_body(send: Send, data: bytes, *, more: bool = False) -> None:
    """Send the body of a response.

    Args:
        send: ASGI's send.
        data: the body, or a piece of it.
        more: whether further pieces follow.
    """
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def send_head(send: Send, response: LambdaResponse) -> None:
    """Start a response of Lambda's API."""
    headers = response.all_headers()
    if response.stream is None and response.status != 204:
        headers["Content-Length"] = str(len(response.body))
    fields = [
        (name.lower().encode(), text.encode("latin-1", "replace")) for name, text in headers.items()
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": fields})


async def send_response(send: Send, response: LambdaResponse) -> None:
    """Send a whole response of Lambda's API."""
    await send_head(send, response)
    await send_body(send, response.body)


async def until_client_leaves(work: Callable[[], Awaitable[None]], receive: Receive) -> None:
    """Run `work`; cancel it when the client leaves.

    Args:
        work: the async function to run.
        receive: ASGI's receive, after the whole body.

    Raises:
        ClientLeft: the client closed the connection.
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
