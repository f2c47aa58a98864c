"""The subcommand `okibi tree` and its options."""

from functools import partial
from typing import Annotated

import typer

from ...project.arguments import parse_integer
from .options import DeployedFunction

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
Port = Annotated[
    int,
    typer.Option(
        metavar="PORT",
        parser=lambda text: parse_integer("--port", text, 1, 65_535, example=9000),
        help="Port of okibi dev, for --live.",
    ),
]


def tree(
    function: DeployedFunction = None,
    json: AsJson = False,
    live: Live = False,
    port: Port = 9000,
) -> int:
    """Print the supervision tree of a function.

    The tree has your actors and okibi's. The module is imported from the current folder in a
    process of its own, and nothing is started. With --live, a running okibi dev is asked.

    Exit code: 0, 1 if the function does not load or a sandbox does not answer, 2 for bad input.
    """
    from ...project.local_settings import read_function
    from .. import live_tree as running
    from .. import planned_tree as static
    from ..until_signal import run_command

    if live:
        ask = partial(running.print_trees, function, port, json=json)
        return run_command(running.OUTPUT, lambda: ask)
    return run_command(
        static.OUTPUT, lambda: partial(static.print_tree, read_function(function), json=json)
    )
