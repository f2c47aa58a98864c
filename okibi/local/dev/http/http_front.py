"""The ASGI application that turns HTTP requests into invocations and results into responses."""

import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol

import attrs
import trio

from ...invocation import Invocation
from ..dev_function import DevFunction

__all__ = ["HttpFront", "HttpInvoker"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class HttpInvoker(Protocol):
    """Runs the invocations of one function; SandboxPool is one."""

    @property
    def function(self) -> DevFunction:
        """The function, with its URL and routes."""
        ...

    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        """Run an invocation in the background; set `done` at the end.

        Raises:
            Throttled: the function takes no more events now.
        """


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@attrs.frozen
class HttpFront:
    """Serves functions over HTTP (ASGI 3).

    Args:
        functions: what runs the invocations of each function, by the function's name.
        log: called with one line for each response that the function did not intend.
        binary_media_types: media types that REST APIs pass as Base64 (API Gateway
            BinaryMediaTypes), such as `image/png`, `image/*` or `*/*`.
        multi_value_headers: whether load balancers send lists of values
            (lambda.multi_value_headers.enabled).

    Example:
        HttpFront({"visits": pool})
    """

    functions: Mapping[str, HttpInvoker]
    log: Callable[[str], None] = _to_stderr
    binary_media_types: tuple[str, ...] = ()
    multi_value_headers: bool = False

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        raise NotImplementedError
