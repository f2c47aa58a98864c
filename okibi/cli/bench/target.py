"""A runtime to measure, and its handler."""

import sys

import attrs

from .options import PEER

__all__ = ["Target"]


@attrs.frozen
class Target:
    """A runtime and its handler.

    Args:
        name: the name of the runtime.
        handler: `module.name`, as in `_HANDLER`.
    """

    name: str
    handler: str

    def command(self, handler: str) -> tuple[str, ...]:
        """The command that starts the runtime with a handler."""
        if self.name == PEER:
            return (sys.executable, "-m", PEER, handler)
        return (sys.executable, "-P", "-m", "okibi.runtime")
