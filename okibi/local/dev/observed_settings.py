"""The settings of a function whose sandboxes can be asked for their trees."""

from pathlib import Path

import attrs

from ..settings import FunctionSettings

__all__ = ["observed_settings"]

PLAIN = ("-P", "-m", "okibi.runtime")
"""The arguments of an ordinary start (`FunctionSettings.command`)."""


def observed_settings(settings: FunctionSettings, folder: Path) -> FunctionSettings:
    """Return the settings of a function whose sandboxes answer with their trees.

    A function with a command of its own is left as it is.

    Args:
        settings: the function.
        folder: for the sockets: a folder of this user only, with a short path.
    """
    if tuple(settings.command[1:]) != PLAIN:
        return settings
    command = (settings.command[0], "-P", "-m", "okibi.runtime.observed", str(folder))
    return attrs.evolve(settings, command=command)
