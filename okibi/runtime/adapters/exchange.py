"""One request to an ASGI application: what the application receives, and what it sends.

    BEGINS   the application has sent nothing
    STARTED  it has sent status and headers
    ENDED    it has sent the whole body; only clean-up and background tasks may go on

`send` and `receive` are the application's two functions (ASGI: HTTP connection scope).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import trio

from ...actors.trio_internals import sniffio
from .http_request import HttpRequest
from .started import Started

BEGINS, STARTED, ENDED = range(3)

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]


class Exchange:
    """Collects the whole response.

    Args:
        request: the request.
        goes_on: called with this exchange if the application goes on after the end.

    Attributes:
        progress: BEGINS, STARTED or ENDED.
        status, headers: as sent, from STARTED on.
        parts: the parts of the body that have been sent.
        has_answered: whether `goes_on` has answered.
    """

    __slots__ = (
        "_asked", "_gone", "goes_on", "has_answered", "headers", "parts", "progress", "request",
        "status",
    )  # fmt: skip

    def __init__(self, request: HttpRequest, goes_on: "Callable[[Any], bool]") -> None:
        self.request = request
        self.goes_on = goes_on
        self._asked = False
        # Set at the end of the response, if the application waits for the client to go.
        self._gone: asyncio.Event | trio.Event | None = None
        self.progress = BEGINS
        self.status = 500
        self.headers: RawHeaders = []
        self.parts: list[bytes] = []
        self.has_answered = False

    async def receive(self) -> dict[str, Any]:
        """Return the body of the request; then, at the end of the response, the disconnect."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": self.request.body, "more_body": False}
        if self.progress != ENDED:
            if self._gone is None:
                self._gone = new_event()
            await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """Take a message of the application.

        Raises:
            RuntimeError: the message cannot follow those before.
        """
        kind = message["type"]
        if kind == "http.response.body" and self.progress == STARTED:
            if part := message.get("body"):
                await self.write(part)
            if not message.get("more_body"):
                await self.end()
        elif kind == "http.response.start" and self.progress == BEGINS:
            self.status = message["status"]
            self.headers = [*message.get("headers", ())]
            self.progress = STARTED
        elif kind != "http.response.body" or self.progress != ENDED:
            # A part after the end is dropped, as for a client that has gone.
            expected = "http.response.start" if self.progress == BEGINS else "http.response.body"
            raise RuntimeError(f"the application must send {expected} now, and sent {kind!r:.80}")

    async def write(self, part: bytes) -> None:
        """Take a part of the body."""
        self.parts.append(part)

    async def end(self) -> None:
        """Note the end of the response."""
        self.progress = ENDED
        if self._gone is not None:
            self._gone.set()

    def replace(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """Put another response in the place of one that has not ended."""
        self.status, self.headers, self.parts = status, headers, [body]

    def whole_body(self) -> bytes:
        """Return the body that has been sent."""
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)


class EarlyEnd(Started):
    """Awaits an application that waits, and answers if it does so after the end of its response.

    Args:
        application, steps, trap: the application, as of Started.
        exchange: the request.
    """

    __slots__ = ("_ended", "_exchange")

    def __init__(
        self, application: Awaitable[object], steps: Any, trap: object, exchange: Exchange
    ) -> None:
        super().__init__(application, steps, trap)
        self._ended = False
        self._exchange = exchange

    def before_wait(self) -> None:
        exchange = self._exchange
        if exchange.progress == ENDED and not self._ended:
            # The application waits for the first time after the end.
            self._ended = True
            exchange.has_answered = exchange.goes_on(exchange)


def new_event() -> asyncio.Event | trio.Event:
    """Return an event of the loop on which the caller runs."""
    return asyncio.Event() if sniffio.name == "asyncio" else trio.Event()
