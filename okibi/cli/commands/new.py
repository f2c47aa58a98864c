"""The subcommand `okibi new`."""

from typing import Annotated

import typer

__all__ = ["EXAMPLES", "new"]

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi new hello"""

ProjectName = Annotated[
    str, typer.Argument(metavar="NAME", help="Folder, project and function, e.g. hello.")
]


def new(name: ProjectName) -> None:
    """Write a small tested project into a new folder.

    It has a handler, an actor, their tree, a test, and a pyproject.toml that okibi dev, package,
    template and deploy read.

    Exit code: 0, or 2 for bad input.
    """
    from ..new.command import new

    raise typer.Exit(new(name))
