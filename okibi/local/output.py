"""Where the lines go: those of the function's process, and those that Lambda writes around them.

The process writes into a pipe, and each line goes to one function of the caller's.
"""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import ClassVar

import attrs
import trio

from .log_tail import LogTail

__all__ = ["LINE_LIMIT", "Output", "to_stderr"]

LINE_LIMIT = 256 * 1024
"""Bytes of a line; a longer one is passed on in pieces, as CloudWatch Logs splits it."""

_PIPE_SIZE = 1 << 20
"""Bytes that a pipe holds at most, unless root has changed it (pipe(7))."""


def to_stderr(line: str) -> None:
    """Print a line to this process's stderr; discard it where stderr cannot be written."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


@attrs.define(eq=False)
class Output:
    """Passes the lines of the function's process, and Lambda's own, to one function.

    Args:
        sink: takes one line without its end.
    """

    sink: Callable[[str], None]
    # As on Lambda; a shell may say what its terminal has.
    environment: ClassVar[Mapping[str, str]] = MappingProxyType({"PYTHONIOENCODING": "utf-8"})
    descriptor: int = attrs.field(init=False)
    recent: LogTail = attrs.field(factory=LogTail, init=False)
    """The end of all that was ever written."""
    tails: list[LogTail] = attrs.field(factory=list[LogTail], init=False)
    """Each is given every line while it is here."""
    _reading_end: int = attrs.field(init=False)
    _unfinished: bytearray = attrs.field(factory=bytearray, init=False)
    """The line that has no end yet; at most LINE_LIMIT bytes between two calls."""

    def __attrs_post_init__(self) -> None:
        self._reading_end, self.descriptor = os.pipe()
        os.set_blocking(self._reading_end, False)

    def write(self, line: str, *, ends: bool = False) -> None:
        """A line of Lambda's, behind all that the process has written until now.

        Args:
            line: it.
            ends: whether it ends the one invocation in flight, whose last line may lack an end.
        """
        self.drain()
        if ends:
            self._end_line()
        self.recent.add(line)
        self._emit(line)

    def drain(self) -> None:
        """Pass on what is in the pipe.

        A runtime writes an invocation's lines before its answer. So whoever has the answer and
        drains has all of them, and END never stands before them. One read takes a whole pipe:
        a process that goes on writing meanwhile holds nobody up.
        """
        try:
            data = os.read(self._reading_end, _PIPE_SIZE)
        except BlockingIOError:
            return
        self.recent.extend(data)
        *lines, rest = data.split(b"\n")
        for line in lines:
            if self._unfinished or len(line) > LINE_LIMIT:
                self._extend(line)
                self._end_line()
            else:
                self._emit(line.decode("utf-8", "replace"))
        self._extend(rest)

    async def pump(self) -> None:
        """Drain whenever something comes, until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._reading_end)
            self.drain()

    def close(self) -> None:
        """Pass on the rest; the process must be dead."""
        self.drain()
        self._end_line()
        os.close(self._reading_end)
        os.close(self.descriptor)

    def _end_line(self) -> None:
        if self._unfinished:
            self._emit_unfinished(len(self._unfinished))

    def _extend(self, data: bytes) -> None:
        """Add to the unfinished line, and pass on the pieces of one that is too long."""
        line = self._unfinished
        line += data
        while len(line) > LINE_LIMIT:
            end = LINE_LIMIT
            # Not within a character: its bytes but the first begin with the bits 10.
            while end > LINE_LIMIT - 3 and line[end] & 0xC0 == 0x80:
                end -= 1
            self._emit_unfinished(end)

    def _emit_unfinished(self, size: int) -> None:
        text = self._unfinished[:size].decode("utf-8", "replace")
        # First: the sink may write to this output itself.
        del self._unfinished[:size]
        self._emit(text)

    def _emit(self, line: str) -> None:
        for tail in self.tails:
            tail.add(line)
        self.sink(line)
