"""Report which HTTP requests invoked which functions, and how they were answered."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeAlias

import attrs
import trio

from ..invocation import Invocation
from .asgi import AsgiApplication, Receive, Scope, Send
from .dev_function import DevFunction

__all__ = ["HttpAnswered", "HttpInvoked", "HttpReport", "ReportedInvoker", "report_answers"]


@attrs.frozen
class HttpInvoked:
    """An HTTP request has invoked a function.

    Args:
        request_id: of the invocation.
        method: of the request.
        path: of the request, as the client sent it, without the query.
    """

    request_id: str
    method: str
    path: str


@attrs.frozen
class HttpAnswered:
    """An HTTP request has ended.

    Args:
        request_id: of the invocation; "" if the request invoked no function.
        method: of the request.
        path: of the request, as the client sent it, without the query.
        status: of the response; None if the client left before it began.
    """

    request_id: str
    method: str
    path: str
    status: int | None


HttpReport: TypeAlias = HttpInvoked | HttpAnswered

Report = Callable[[HttpReport], None]


@attrs.define(eq=False)
class _Request:
    """A request in progress."""

    method: str
    path: str
    request_id: str = ""
    status: int | None = None


_REQUEST: ContextVar[_Request] = ContextVar("_REQUEST")


@attrs.frozen
class ReportedInvoker:
    """The sandboxes of a function; reports the request that starts an invocation.

    Args:
        pool: the sandboxes.
        report: receives the reports.
    """

    pool: Any
    report: Report

    @property
    def function(self) -> DevFunction:
        """The function."""
        found: DevFunction = self.pool.function
        return found

    def start_invocation(self, invocation: Invocation, done: trio.Event | None = None) -> None:
        """Run an invocation in the background; set `done` at the end.

        Raises:
            Throttled: the function takes no more events now.
        """
        self.pool.start_invocation(invocation, done)
        request = _REQUEST.get()
        request.request_id = invocation.request_id
        self.report(HttpInvoked(invocation.request_id, request.method, request.path))


def report_answers(
    pools: Mapping[str, Any],
    report: Report,
    make_front: Callable[[Mapping[str, ReportedInvoker]], AsgiApplication],
) -> AsgiApplication:
    """Make the application that serves functions over HTTP, and report each answer.

    Args:
        pools: the sandboxes of each function, by name.
        report: receives the reports.
        make_front: makes the application.
    """
    front = make_front({name: ReportedInvoker(pool, report) for name, pool in pools.items()})

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await front(scope, receive, send)
            return
        # The path as sent: a decoded one may contain what a terminal obeys.
        request = _Request(scope["method"], scope["raw_path"].decode("latin-1"))
        _REQUEST.set(request)

        async def send_and_note(message: Any) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            await send(message)

        try:
            await front(scope, receive, send_and_note)
        finally:
            report(HttpAnswered(request.request_id, request.method, request.path, request.status))

    return serve
