"""Write lines to stdout without blocking the server."""

from collections.abc import Sequence

import attrs
import trio

from ...project.bad_input import BadInput
from ..output import write_text

OUTPUT = "the log"


@attrs.define(eq=False)
class LinePrinter:
    """Collects lines, and writes them in a thread.

    A terminal that its user has paused, or a pager behind a pipe, then does not stop the server.
    """

    _pending: list[str] = attrs.field(init=False, factory=list[str])
    _some: trio.Event = attrs.field(init=False, factory=trio.Event)
    # Why nothing can be written any more.
    _failure: Exception | None = attrs.field(init=False, default=None)

    def write(self, lines: Sequence[str]) -> None:
        """Write lines soon."""
        if lines:
            self._pending += lines
            self._some.set()

    def write_first(self, lines: Sequence[str]) -> None:
        """Write lines before those that are pending."""
        self._pending[:0] = lines
        self._some.set()

    async def run(self, server: trio.CancelScope) -> None:
        """Write until cancelled. Cancel the server when nothing can be written any more."""
        while True:
            await self._some.wait()
            self._some = trio.Event()
            text, self._pending = _join(self._pending), []
            try:
                await trio.to_thread.run_sync(write_text, text, OUTPUT, abandon_on_cancel=True)
            except (BrokenPipeError, BadInput) as error:
                self._failure = error
                server.cancel()
                return

    def flush(self) -> None:
        """Write what is pending.

        Raises:
            BrokenPipeError: the reader has exited.
            BadInput: the disk is full.
        """
        if self._failure is not None:
            raise self._failure
        text, self._pending = _join(self._pending), []
        write_text(text, OUTPUT)


def _join(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
