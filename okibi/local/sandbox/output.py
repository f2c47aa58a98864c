"""The lines of the function's log: those of its process, and Lambda's own.

The process writes into a pipe. Each line is passed to one function.
"""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import ClassVar

import attrs
import trio

from ..platform.log_tail import LogTail

# Bytes of a line at most. A longer line is passed on in pieces, as CloudWatch Logs does.
LINE_LIMIT = 256 * 1024

# Bytes of a pipe at most, unless root has changed the limit (pipe(7)).
_PIPE_SIZE = 1 << 20


def to_stderr(line: str) -> None:
    """Print a line to this process's stderr; discard it if stderr cannot be written."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


@attrs.define(eq=False)
class Output:
    """Passes the lines of the function's process, and Lambda's own, to one function.

    Args:
        sink: called with each line, without line break.
    """

    sink: Callable[[str], None]
    # As on Lambda. Otherwise the encoding of the terminal would apply.
    environment: ClassVar[Mapping[str, str]] = MappingProxyType({"PYTHONIOENCODING": "utf-8"})
    descriptor: int = attrs.field(init=False)
    # The end of everything written so far.
    recent: LogTail = attrs.field(factory=LogTail, init=False)
    # Each of these gets every line.
    tails: list[LogTail] = attrs.field(factory=list[LogTail], init=False)
    _reading_end: int = attrs.field(init=False)
    # The line without end so far; at most LINE_LIMIT bytes between two calls.
    _unfinished: bytearray = attrs.field(factory=bytearray, init=False)

    def __attrs_post_init__(self) -> None:
        self._reading_end, self.descriptor = os.pipe()
        os.set_blocking(self._reading_end, False)

    def write(self, line: str, *, ends: bool = False) -> None:
        """Write a line of Lambda's, after everything that the process has written.

        Args:
            line: the line, without line break.
            ends: the line ends the only invocation in flight: first end an unfinished line.
        """
        self.drain()
        if ends:
            self._end_line()
        self.recent.add(line)
        self._emit(line)

    def drain(self) -> None:
        """Pass on the contents of the pipe.

        A runtime writes the lines of an invocation before its response. Therefore after the
        response, one call passes on all of them, and END comes last. One read empties a full pipe;
        a process that keeps writing does not prolong the call.
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
        """Drain whenever data arrives, until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._reading_end)
            self.drain()

    def close(self) -> None:
        """Pass on the rest. The process must be dead."""
        self.drain()
        self._end_line()
        os.close(self._reading_end)
        os.close(self.descriptor)

    def _end_line(self) -> None:
        if self._unfinished:
            self._emit_unfinished(len(self._unfinished))

    def _extend(self, data: bytes) -> None:
        """Add to the unfinished line; pass on pieces if the line is too long."""
        line = self._unfinished
        line += data
        while len(line) > LINE_LIMIT:
            end = LINE_LIMIT
            # Do not cut a character: continuation bytes of UTF-8 begin with the bits 10.
            while end > LINE_LIMIT - 3 and line[end] & 0xC0 == 0x80:
                end -= 1
            self._emit_unfinished(end)

    def _emit_unfinished(self, size: int) -> None:
        text = self._unfinished[:size].decode("utf-8", "replace")
        # Delete first: the sink may write to this output.
        del self._unfinished[:size]
        self._emit(text)

    def _emit(self, line: str) -> None:
        for tail in self.tails:
            tail.add(line)
        self.sink(line)
