"""The folder in which a package is put together."""

from pathlib import Path

import attrs

from .targets import Target

__all__ = ["Staged"]


@attrs.frozen
class Staged:
    """A package that is complete except for its start image.

    Args:
        folder: becomes /var/task.
        lib: `folder / "lib"`: okibi and what okibi needs.
        handler: `module.name`; "" if none was given.
        target: what the package runs on.
        interpreter: a Python of the target's version on this machine. It compiles the bytecode.
            None if this machine has none.
    """

    folder: Path
    lib: Path
    handler: str
    target: Target
    interpreter: Path | None
