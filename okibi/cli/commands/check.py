"""The subcommand `okibi check` and its options."""

from functools import partial
from typing import Annotated

import typer

from ...project.arguments import parse_integer
from .options import complete_function

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi check
  okibi check app.function
  okibi check folder/app.handler --imports
  okibi check app.function --sandboxes 100"""

CheckedFunction = Annotated[
    str | None,
    typer.Argument(
        metavar="HANDLER|NAME",
        help="module.name, or a name in [tool.okibi.functions]. Default: all functions there.",
        autocompletion=complete_function,
    ),
]
Imports = Annotated[
    bool,
    typer.Option(
        "--imports", help="Show the time of each package's import, and which could be lazy."
    ),
]


Sandboxes = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=lambda text: parse_integer("--sandboxes", text, 1, 1_000_000, example=100),
        help="Sandboxes of the function at once, for the connections of its resources: its reserved"
        " concurrency. Default: 1000, the limit of a new account.",
    ),
]


def check(
    function: CheckedFunction = None, imports: Imports = False, sandboxes: Sandboxes = 1000
) -> int:
    """Load a function, and explain all its mistakes.

    The module is imported from the current folder in a process of its own, with the environment
    of a local Lambda. Then the event type, the factories of the tree's children and the names are
    checked. Nothing is started. A name that no actor has is a warning, and so are more connections
    to a server than the server allows.

    Exit code: 0 if the function loads and has no mistake, 1 if it does not, 2 for bad input.
    """
    from ...project.local_settings import read_functions
    from ..check_functions import OUTPUT, check_functions
    from ..until_signal import run_command

    return run_command(
        OUTPUT, lambda: partial(check_functions, read_functions(function), imports, sandboxes)
    )
