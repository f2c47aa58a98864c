"""The end of an invocation's log, as returned to an invoker (Lambda Invoke, LogType Tail)."""

import base64

import attrs
import trio

# Bytes of the log at most.
TAIL_SIZE = 4096


@attrs.define(eq=False)
class LogTail:
    """Keeps the last TAIL_SIZE bytes of a log."""

    # Set when the last line of the invocation has been added.
    complete: trio.Event = attrs.field(factory=trio.Event, init=False)
    _log: bytes = attrs.field(default=b"", init=False)

    def add(self, line: str) -> None:
        """Add a line, given without line break."""
        self.extend(line[-TAIL_SIZE:].encode("utf-8", "replace") + b"\n")

    def extend(self, data: bytes) -> None:
        """Add bytes, given with line breaks."""
        self._log = (self._log + data[-TAIL_SIZE:])[-TAIL_SIZE:]

    def encoded(self) -> str:
        """Return the log so far in Base64, as in `X-Amz-Log-Result`."""
        begin = 0
        # Skip the rest of a cut character: continuation bytes of UTF-8 begin with the bits 10.
        while begin < len(self._log) and self._log[begin] & 0xC0 == 0x80:
            begin += 1
        return base64.b64encode(self._log[begin:]).decode()
