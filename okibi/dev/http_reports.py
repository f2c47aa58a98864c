"""Report which HTTP requests invoked which functions, and how they were answered."""

from collections.abc import Callable, MutableMapping
from typing import Any, TypeAlias

import attrs

from .asgi import Send


@attrs.frozen
class HttpInvoked:
    """An HTTP request has invoked a function.

    Args:
        request_id: the request id of the invocation.
        method: the HTTP method.
        path: the path as the client sent it, without the query.
    """

    request_id: str
    method: str
    path: str


@attrs.frozen
class HttpAnswered:
    """An HTTP request has ended.

    Args:
        request_id: the request id of the invocation; "" if the request invoked no function.
        method: the HTTP method.
        path: the path as the client sent it, without the query.
        status: the status of the response; None if the client left before the response began.
    """

    request_id: str
    method: str
    path: str
    status: int | None


HttpReport: TypeAlias = HttpInvoked | HttpAnswered


@attrs.define(eq=False)
class ReportedSend:
    """ASGI's send for one request; reports the invocation and the answer.

    Args:
        send: ASGI's send.
        method: the HTTP method.
        path: the path as the client sent it, without the query.
        report: receives the reports.
    """

    _send: Send
    _method: str
    _path: str
    _report: Callable[[HttpReport], None]
    _request_id: str = attrs.field(default="", init=False)
    _status: int | None = attrs.field(default=None, init=False)

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        await self._send(message)

    def report_invocation(self, request_id: str) -> None:
        """Report that the request has invoked a function."""
        self._request_id = request_id
        self._report(HttpInvoked(request_id, self._method, self._path))

    def report_answer(self) -> None:
        """Report that the request has ended."""
        self._report(HttpAnswered(self._request_id, self._method, self._path, self._status))
