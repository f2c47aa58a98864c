"""The subcommand `okibi tree` and its options."""

from typing import Annotated

import typer

from .options import DeployedFunction

__all__ = ["EXAMPLES", "tree"]

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi tree app.function
  okibi tree --json
  okibi tree visits --live"""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of text.")]
Live = Annotated[
    bool,
    typer.Option(
        "--live",
        help="Print the tree of each sandbox of a running okibi dev: since when, restarts, and"
        " messages that wait. Default: those of all its functions.",
    ),
]
Port = Annotated[str, typer.Option(metavar="PORT", help="Port of okibi dev, for --live.")]


def tree(
    function: DeployedFunction = None,
    json: AsJson = False,
    live: Live = False,
    port: Port = "9000",
) -> None:
    """Print the supervision tree of a function.

    The tree has your actors and okibi's. The module is imported from the current folder in a
    process of its own, and nothing is started. With --live, a running okibi dev is asked.

    Exit code: 0, 1 if the function does not load or a sandbox does not answer, 2 for bad input.
    """
    if live:
        from ..tree.live import print_live

        raise typer.Exit(print_live(function, port=port, json=json))
    from ..tree.command import tree

    raise typer.Exit(tree(function, json=json))
