"""A runtime to measure, and its handler."""

import sys

import attrs

OFFICIAL_CLIENT = "awslambdaric"
OKIBI_COMMAND = (sys.executable, "-P", "-m", "okibi.runtime")


def start_command(name: str, handler: str) -> tuple[str, ...]:
    """Return the command that starts a runtime with a handler.

    Args:
        name: OFFICIAL_CLIENT, or any other name for okibi.
        handler: `module.name`. okibi reads it from `_HANDLER`.
    """
    if name == OFFICIAL_CLIENT:
        return (sys.executable, "-m", OFFICIAL_CLIENT, handler)
    return OKIBI_COMMAND


@attrs.frozen
class MeasuredRuntime:
    """A runtime and its handler.

    Args:
        name: the name of the runtime.
        handler: `module.name`, as in `_HANDLER`.
    """

    name: str
    handler: str
