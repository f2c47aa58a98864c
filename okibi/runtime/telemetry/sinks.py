"""Where log entries go: standard output, or the descriptor that the platform reads frames from.

On the descriptor (Runtime API: framed telemetry) each entry keeps its bounds and its level; on
standard output an entry is as many lines as it has, so each is given the line's end that it may
lack. An error's lines are held together there by `\\r`, which the platform takes for no end.
"""

import os
import sys
import threading
import time
from collections.abc import MutableMapping, Sequence
from typing import Protocol

DESCRIPTOR = "_LAMBDA_TELEMETRY_LOG_FD"
SOCKET = "_LAMBDA_TELEMETRY_LOG_FD_PROVIDER_SOCKET"

TEXT, JSON = 0xA55A0003, 0xA55A0002


class Sink(Protocol):
    """Takes entries; the names are the official client's, where `context.log` looks for them."""

    def log(self, msg: str, frame_type: bytes | None = None) -> None: ...

    def log_error(self, message_lines: Sequence[str], frame_type: bytes | None = None) -> None: ...


def frame_type(base: int, level: int) -> bytes:
    """The type of an entry's frame.

    >>> frame_type(TEXT, 20).hex(), frame_type(JSON, 40).hex(), frame_type(TEXT, 0).hex()
    ('a55a000f', 'a55a0016', 'a55a0003')
    """
    step = min(50, max(0, level)) // 10
    return (base + (4 + 4 * step if step else 0)).to_bytes(4, "big")


class StandardSink:
    """Writes to whatever `sys.stdout` is at that moment, in one call an entry."""

    def log(self, msg: str, frame_type: bytes | None = None) -> None:
        """Write an entry."""
        line = msg if msg.endswith("\n") else msg + "\n"
        try:
            sys.stdout.write(line)
        except UnicodeEncodeError as error:
            # Half of a surrogate pair, say. The official client raises this into the handler.
            sys.stdout.write(line.encode(error.encoding, "backslashreplace").decode(error.encoding))
        except (AttributeError, ValueError):
            # User code has closed or removed it: there is nobody to tell.
            return

    def log_error(self, message_lines: Sequence[str], frame_type: bytes | None = None) -> None:
        """Write an error as one line."""
        self.log("\r".join(message_lines))


class FramedSink:
    """Writes frames: type, length, microseconds since the epoch, text; numbers are big endian.

    Args:
        descriptor: which the platform has opened.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # Frames of two threads must not run into each other.
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

    def forked(self) -> None:
        """In a child of this process: a thread that it does not have may hold the lock."""
        self._lock = threading.Lock()

    def _write(self, frame: bytes) -> None:
        rest = memoryview(frame)
        with self._lock:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


def sink_from(environment: MutableMapping[str, str]) -> tuple[Sink, str]:
    """The sink that the environment asks for, and what was wrong with it, empty for nothing.

    The descriptor's variable is taken away: what the function starts must not write there.
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
        return StandardSink(), f"{DESCRIPTOR}={asked} is no open descriptor ({error})"
    return FramedSink(descriptor), ""


def _redirect(provider: str) -> str:
    """Connect standard output and standard error to the platform's socket, one connection each.

    So the official client's serving processes do where many events may be in flight.
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
