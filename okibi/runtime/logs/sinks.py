"""The sinks of log entries: standard output, or the descriptor that the platform reads frames from.

On the descriptor (Runtime API: framed telemetry) each entry keeps its bounds and level. On standard
output an entry is one or more lines, so a missing line end is added. `\\r` joins the lines of an
error there, because the platform does not split at `\\r`.
"""

import os
import sys
import threading
import time
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING, Protocol

DESCRIPTOR = "_LAMBDA_TELEMETRY_LOG_FD"
SOCKET = "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET"

TEXT, JSON = 0xA55A0003, 0xA55A0002


if TYPE_CHECKING:

    class LogSink(Protocol):
        """Takes entries; the method names are the official client's."""

        def log(self, msg: str, frame_type: bytes | None = None) -> None: ...

        def log_error(
            self, message_lines: Sequence[str], frame_type: bytes | None = None
        ) -> None: ...


def frame_type(base: int, level: int) -> bytes:
    """Return the type of an entry's frame, by format and log level.

    >>> frame_type(TEXT, 20).hex(), frame_type(JSON, 40).hex(), frame_type(TEXT, 0).hex()
    ('a55a000f', 'a55a0016', 'a55a0003')
    """
    step = min(50, max(0, level)) // 10
    return (base + (4 + 4 * step if step else 0)).to_bytes(4, "big")


class StandardSink:
    """Writes to the current `sys.stdout`, one call an entry."""

    def log(self, msg: str, frame_type: bytes | None = None) -> None:
        """Write an entry."""
        line = msg if msg.endswith("\n") else msg + "\n"
        try:
            sys.stdout.write(line)
        except UnicodeEncodeError as error:
            # A lone surrogate, for example. The official client raises this into the handler.
            sys.stdout.write(line.encode(error.encoding, "backslashreplace").decode(error.encoding))
        except (AttributeError, ValueError):
            # User code has closed or removed `sys.stdout`.
            return

    def log_error(self, message_lines: Sequence[str], frame_type: bytes | None = None) -> None:
        """Write an error as one line."""
        self.log("\r".join(message_lines))


class FramedSink:
    """Writes frames: type, length, microseconds since the epoch, text. Numbers are big endian.

    Args:
        descriptor: opened by the platform.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # Frames of two threads must not mix.
        self._lock = threading.Lock()

    def log(self, msg: str, frame_type: bytes | None = None) -> None:
        """Write an entry."""
        text = msg.encode("utf-8", "backslashreplace")
        kind = frame_type or TEXT.to_bytes(4, "big")
        when = time.time_ns() // 1000
        self._write(kind + len(text).to_bytes(4, "big") + when.to_bytes(8, "big") + text)

    def log_error(self, message_lines: Sequence[str], frame_type: bytes | None = None) -> None:
        """Write an error as one entry."""
        self.log("\n".join(message_lines), frame_type)

    def after_fork_in_child(self) -> None:
        """Replace the lock: a thread of the parent may hold it."""
        self._lock = threading.Lock()

    def _write(self, frame: bytes) -> None:
        rest = memoryview(frame)
        with self._lock:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


def sink_from(environment: MutableMapping[str, str]) -> "tuple[LogSink, str]":
    """Return the sink that the environment asks for, and what is wrong with it, or an empty string.

    Removes the descriptor's variable: child processes must not write there.
    """
    asked = environment.pop(DESCRIPTOR, None)
    provider = environment.get(SOCKET)
    if provider:
        return StandardSink(), _redirect(provider)
    if asked is None:
        return StandardSink(), ""
    try:
        descriptor = int(asked)
        os.fstat(descriptor)
    except (ValueError, OverflowError, OSError) as error:
        return StandardSink(), f"{DESCRIPTOR}={asked} is not an open descriptor ({error})"
    return FramedSink(descriptor), ""


def _redirect(provider: str) -> str:
    """Connect standard output and standard error to the platform's socket, one connection each.

    The official client does this in each of its processes when many events may be in flight.
    """
    import socket

    try:
        for descriptor in (1, 2):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(provider)
                os.dup2(connection.fileno(), descriptor)
    except OSError as error:
        return f"{SOCKET}: cannot connect to {provider} ({error})"
    return ""
