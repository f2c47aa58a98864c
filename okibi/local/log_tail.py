"""The end of an invocation's log, for an invoker that asks for it (Lambda Invoke, LogType Tail)."""

import base64

import attrs
import trio

__all__ = ["TAIL_SIZE", "LogTail"]

TAIL_SIZE = 4096
"""Bytes of the log that the invoker is given."""


@attrs.define(eq=False)
class LogTail:
    """Keeps the last TAIL_SIZE bytes of the lines that it is given."""

    complete: trio.Event = attrs.field(factory=trio.Event, init=False)
    """Set when the invocation's last line is there."""
    _log: bytes = attrs.field(default=b"", init=False)

    def add(self, line: str) -> None:
        """Add a line, given without its end."""
        self.extend(line[-TAIL_SIZE:].encode("utf-8", "replace") + b"\n")

    def extend(self, data: bytes) -> None:
        """Add what follows, with the ends of its lines."""
        self._log = (self._log + data[-TAIL_SIZE:])[-TAIL_SIZE:]

    def encoded(self) -> str:
        """The log so far in Base64, as `X-Amz-Log-Result` has it."""
        begin = 0
        # The bytes of a character but its first begin with the bits 10.
        while begin < len(self._log) and self._log[begin] & 0xC0 == 0x80:
            begin += 1
        return base64.b64encode(self._log[begin:]).decode()
