"""Arguments and options of several subcommands."""

from typing import Annotated

import typer

__all__ = [
    "DeployedFunction",
    "DeployedStack",
    "EndpointUrl",
    "Event",
    "Handler",
    "MadePackage",
    "Record",
    "Region",
    "Runtime",
    "TargetPython",
    "Timeout",
]

Handler = Annotated[str, typer.Argument(help="module.name, e.g. app.handler.")]
Event = Annotated[
    str | None, typer.Argument(help="JSON, a JSON file, or - for stdin. Default: {}.")
]
Timeout = Annotated[
    str, typer.Option(metavar="S", help="Time-out of each event in seconds, e.g. 0.5.")
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
        "--record/--no-record", help="Run the function's init once, to find what a start imports."
    ),
]
DeployedFunction = Annotated[
    str | None,
    typer.Argument(
        metavar="HANDLER|NAME",
        help="module.name, or a name in [tool.okibi.functions]. Default: the only one there.",
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
