"""The Runtime API behind a bare `select` loop instead of trio: what serves a runtime that is
measured, so that the server takes as small a share of a cycle as Python allows.
"""

import math
import selectors
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from .connection import Connection
from .outcomes import signal_name

__all__ = ["PATIENCE", "ConnectionFeed", "Deadlines", "RuntimeProcess", "serve_runtime"]

PATIENCE = 60.0
"""Seconds until a runtime that does not answer is given up."""


class ConnectionFeed(Protocol):
    """What a runtime is served from."""

    done: bool
    """Whether it has all that it wants of the runtime."""

    def connection(self, send: Any) -> Connection:
        """A connection that the runtime has opened; `send` takes the pieces of one answer."""
        ...


class RuntimeProcess(Protocol):
    """The runtime's process."""

    def poll(self) -> int | None:
        """Its exit code once it has ended."""
        ...


class Deadlines(Protocol):
    """Who ends the events whose time is up."""

    @property
    def due(self) -> float:
        """When the next one's is, by `time.perf_counter`; infinite while none is in flight."""
        ...

    def passed(self, disconnect: Callable[[], None]) -> None:
        """It is; `disconnect` closes all of the runtime's connections, whatever is in them."""
        ...


class NoDeadlines:
    """Each event has the time that it takes."""

    due = math.inf

    def passed(self, disconnect: Callable[[], None]) -> None:
        """Never."""


NO_DEADLINES = NoDeadlines()


@contextmanager
def serve_runtime(
    listener: socket.socket,
    feed: ConnectionFeed,
    process: RuntimeProcess,
    patience: float = PATIENCE,
    deadlines: Deadlines = NO_DEADLINES,
) -> Generator[None]:
    """Serve the runtime's connections until the feed is through; they last as long as the block.

    Args:
        listener: where the runtime connects.
        feed: what it is served from.
        process: its own.
        patience: seconds of silence until it is given up.
        deadlines: of the events that it is served.

    Raises:
        RuntimeError: the runtime has ended, or does not answer any more.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        try:
            heard = now = time.perf_counter()
            while not feed.done:
                due = deadlines.due
                ready = selector.select(max(0.0, min(1.0, due - now)))
                now = time.perf_counter()
                heard = now if ready else heard
                # Asked of the system only in silence: its connections' end is heard first.
                if not ready and process.poll() is not None:
                    raise RuntimeError(f"the runtime has ended ({_how(process.poll())})")
                if now > heard + patience:
                    raise RuntimeError(f"the runtime does not answer within {patience:g} s")
                for key, _ in ready:
                    if key.data is None:
                        _accept(listener, feed, selector)
                    elif not key.data(key.fileobj):
                        _close(key.fileobj, selector)
                # Last: what came in time is not late because it was read late.
                if now >= due and now >= deadlines.due:
                    deadlines.passed(partial(_close_all, selector))
                    heard = now = time.perf_counter()
            yield
        finally:
            _close_all(selector)


def _close(accepted: Any, selector: selectors.BaseSelector) -> None:
    selector.unregister(accepted)
    accepted.close()


def _close_all(selector: selectors.BaseSelector) -> None:
    for key in list(selector.get_map().values()):
        if key.data is not None:
            _close(key.fileobj, selector)


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    return f"signal: {signal_name(-code)}"


def _accept(
    listener: socket.socket, feed: ConnectionFeed, selector: selectors.BaseSelector
) -> None:
    accepted, _ = listener.accept()
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(pieces: list[bytes]) -> None:
        accepted.sendall(b"".join(pieces))

    connection = feed.connection(send)

    def read(_: object) -> bool:
        try:
            data = accepted.recv(1 << 20)
            if data:
                connection.receive(data)
        except ConnectionError:
            data = b""
        if not data:
            connection.peer_gone()
        return bool(data)

    selector.register(accepted, selectors.EVENT_READ, read)
