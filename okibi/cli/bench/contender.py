"""A runtime that is measured, with the handler that it serves."""

import sys

import attrs

from .order import PEER

__all__ = ["Contender"]


@attrs.frozen
class Contender:
    """One runtime with what it serves.

    Args:
        name: of the runtime.
        handler: as `_HANDLER` has it.
    """

    name: str
    handler: str

    def command(self, handler: str) -> tuple[str, ...]:
        """What starts it."""
        if self.name == PEER:
            return (sys.executable, "-m", PEER, handler)
        return (sys.executable, "-P", "-m", "okibi.runtime")
