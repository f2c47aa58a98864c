"""The Runtime API on a `select` loop instead of trio, for benchmarks.

The server takes as small a share of a cycle as Python allows.
"""

import math
import selectors
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from ..local.platform.outcomes import signal_name
from ..local.server.connection import Connection

# Seconds without a byte after which the runtime is given up.
PATIENCE = 60.0


class ConnectionFeed(Protocol):
    """Serves events to the runtime."""

    # Whether the benchmark is complete.
    done: bool

    def connection(self, send: Any) -> Connection:
        """Accept a connection of the runtime; `send` writes the pieces of one response."""
        ...


class RuntimeProcess(Protocol):
    """The runtime's process."""

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        ...


class Deadlines(Protocol):
    """Ends events that time out."""

    @property
    def due(self) -> float:
        """The next deadline, by `time.perf_counter`; infinite without an event in flight."""
        ...

    def passed(self, disconnect: Callable[[], None]) -> None:
        """The deadline has passed; `disconnect` closes all connections of the runtime."""
        ...


class NoDeadlines:
    """Events without a deadline."""

    due = math.inf

    def passed(self, disconnect: Callable[[], None]) -> None:
        pass


NO_DEADLINES = NoDeadlines()


@contextmanager
def serve_runtime(
    listener: socket.socket,
    feed: ConnectionFeed,
    process: RuntimeProcess,
    patience: float = PATIENCE,
    deadlines: Deadlines = NO_DEADLINES,
) -> Generator[None]:
    """Serve the runtime until the feed is complete. The connections stay open until the block ends.

    Args:
        listener: the listening socket.
        feed: serves the events.
        process: the runtime's process.
        patience: seconds without a byte after which the runtime is given up.
        deadlines: ends events that time out.

    Raises:
        RuntimeError: the runtime has ended, or sent nothing for `patience` seconds.
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
                # Poll the process only when no connection is ready: their end comes first.
                if not ready and process.poll() is not None:
                    raise RuntimeError(f"the runtime has ended ({_how(process.poll())})")
                if now > heard + patience:
                    raise RuntimeError(f"the runtime does not answer within {patience:g} s")
                for key, _ in ready:
                    if key.data is None:
                        _accept(listener, feed, selector)
                    elif not key.data(key.fileobj):
                        _close(key.fileobj, selector)
                # Last: bytes that arrived before the deadline must be read first.
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
