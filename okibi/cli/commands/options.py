"""Arguments and options of several subcommands."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from ...project.arguments import parse_seconds


def complete_function(incomplete: str) -> list[str]:
    """Return the functions of pyproject.toml that begin as typed, for the shell's completion.

    Args:
        incomplete: the typed part of a name or handler.
    """
    from ...project.bad_input import BadInput
    from ...project.reader import read_project

    found = dict[str, None]()
    with suppress(BadInput, OSError):
        for name, function in read_project(Path.cwd()).functions.items():
            found |= {name: None, function.handler: None}
    return [text for text in found if text.startswith(incomplete)]


Handler = Annotated[
    str,
    typer.Argument(
        metavar="HANDLER|NAME",
        help="module.name, e.g. app.handler, or a name in [tool.okibi.functions].",
        autocompletion=complete_function,
    ),
]
Event = Annotated[
    str | None,
    typer.Argument(metavar="EVENT", help="JSON, a JSON file, or - for stdin. Default: {}."),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        metavar="S",
        parser=lambda text: parse_seconds("--timeout", text, example="3"),
        help="Time-out of each event in seconds, e.g. 0.5. Default: the function's, or 3.",
    ),
]
Region = Annotated[
    str | None,
    typer.Option(metavar="REGION", help="AWS region, e.g. eu-central-1. Default: the SDK's."),
]
EndpointUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="An emulator of AWS, e.g. http://127.0.0.1:4566."),
]
DeployedStack = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="NAME",
        help="Stack of okibi deploy --stack, e.g. visits-test. Default: the function's name.",
    ),
]
TargetPython = Annotated[
    str | None,
    typer.Option(
        "--python",
        metavar="X.Y",
        help="Python of the function, e.g. 3.13. Default: as in pyproject.toml, else the Python"
        " that runs okibi.",
    ),
]
Record = Annotated[
    bool,
    typer.Option(
        "--record/--no-record", help="Run the function's init twice, to find what a start imports."
    ),
]
DeployedFunction = Annotated[
    str | None,
    typer.Argument(
        metavar="HANDLER|NAME",
        help="module.name, or a name in [tool.okibi.functions]. Default: the only one there.",
        autocompletion=complete_function,
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option(
        metavar="RUNTIME",
        help="What starts okibi: managed (AWS's Python), provided.al2023 (the zip has a Python) or"
        " custom (runtime_config in pyproject.toml). Default: that in pyproject.toml, or managed.",
    ),
]
MadePackage = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="A package that has been made, e.g. function.zip."),
]
