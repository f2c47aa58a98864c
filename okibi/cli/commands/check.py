"""The subcommand `okibi check` and its options."""

from typing import Annotated

import typer

from .options import Handler

__all__ = ["EXAMPLES", "check"]

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi check app.handler
  okibi check folder/app.handler --imports"""

Imports = Annotated[
    bool,
    typer.Option(
        "--imports", help="Show the time of each package's import, and which could be lazy."
    ),
]


def check(handler: Handler, imports: Imports = False) -> None:
    """Check that a function of the current folder loads.

    The module is imported in a process of its own, with the environment of a local Lambda.

    Exit code: 0 if the function loads, 1 if it does not, 2 for bad input.
    """
    from ..check.command import check

    raise typer.Exit(check(handler, imports=imports))
