"""Where the lines go: those of the function's process, and those that Lambda writes around them."""

import os
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar

import attrs
import trio

__all__ = ["InheritedOutput", "LineOutput", "Output", "open_output"]

_READ_SIZE = 1 << 16

STDERR = 2


class InheritedOutput:
    """Everything goes to this process's stderr; the function writes there itself, so in the right
    order.
    """

    descriptor = STDERR
    variables: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def write(self, line: str, *, ends: bool = False) -> None:
        """A line of Lambda's."""
        print(line, file=sys.stderr, flush=True)

    def drain(self) -> None:
        """Nothing is ever on the way."""

    async def pump(self) -> None:
        """Nothing is to be moved."""

    def close(self) -> None:
        """Nothing is to be closed."""


@attrs.define(eq=False)
class LineOutput:
    """Every line goes to a function of the caller's; the process writes into a pipe.

    Args:
        sink: takes one line without its end.
    """

    sink: Callable[[str], None]
    # As on Lambda; a shell may say what its terminal has.
    variables: ClassVar[Mapping[str, str]] = MappingProxyType({"PYTHONIOENCODING": "utf-8"})
    descriptor: int = attrs.field(init=False)
    _reading_end: int = attrs.field(init=False)
    _unfinished: bytes = attrs.field(default=b"", init=False)

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
            self._finish()
        self.sink(line)

    def drain(self) -> None:
        """Pass on what is in the pipe.

        A runtime writes an invocation's lines before its answer. So whoever has the answer and
        drains has all of them, and END never stands before them.
        """
        while True:
            try:
                data = os.read(self._reading_end, _READ_SIZE)
            except BlockingIOError:
                return
            if not data:
                return
            *lines, self._unfinished = (self._unfinished + data).split(b"\n")
            for line in lines:
                self.sink(line.decode("utf-8", "replace"))

    async def pump(self) -> None:
        """Drain whenever something comes, until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._reading_end)
            self.drain()

    def close(self) -> None:
        """Pass on the rest; the process must be dead."""
        self.drain()
        self._finish()
        os.close(self._reading_end)
        os.close(self.descriptor)

    def _finish(self) -> None:
        unfinished, self._unfinished = self._unfinished, b""
        if unfinished:
            self.sink(unfinished.decode("utf-8", "replace"))


Output = InheritedOutput | LineOutput


def open_output(sink: Callable[[str], None] | None) -> Output:
    """The output for a sink, or this process's stderr where there is none."""
    return InheritedOutput() if sink is None else LineOutput(sink)
