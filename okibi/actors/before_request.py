"""A hook before each request that a server handles, for tests.

Servers do not check for a hook, because a check would cost each call. Instead, the class has
another method while a hook is set.
"""

from collections.abc import Callable
from typing import Any

from .exits import Refusal, is_a
from .request import Request
from .server import Server

BeforeRequest = Callable[[Server, Request], BaseException | None]

_SERVER: Any = Server
_handle_request: Any = _SERVER._handle_request


def set_before_request(hook: BeforeRequest | None) -> None:
    """Call a function before each request that a server handles.

    Args:
        hook: returns the error that the request raises in place of its method, or None to handle
            the request. None instead of a hook: handle all requests.
    """
    if hook is None:
        _SERVER._handle_request = _handle_request
        return

    async def handle_or_raise(server: Any, request: Request) -> Exception | None:
        error = hook(server, request)
        if error is None:
            rejected: Exception | None = await _handle_request(server, request)
            return rejected
        if is_a(error, Refusal):
            refused: Exception = server._send_refusal(request, error)
            return refused
        raise error

    _SERVER._handle_request = handle_or_raise
