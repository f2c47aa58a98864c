"""The subcommand `okibi tree` and its options."""

from typing import Annotated

import typer

from .options import DeployedFunction

__all__ = ["EXAMPLES", "tree"]

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi tree app.function
  okibi tree --json"""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of text.")]


def tree(function: DeployedFunction = None, json: AsJson = False) -> None:
    """Print the supervision tree of a function.

    The tree has your actors and okibi's. The module is imported from the current folder in a
    process of its own, and nothing is started.

    Exit code: 0, 1 if the function does not load, 2 for bad input.
    """
    from ..tree.command import tree

    raise typer.Exit(tree(function, json=json))
