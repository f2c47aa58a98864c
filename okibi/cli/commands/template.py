"""The subcommand `okibi template` and its options."""

from typing import Annotated

import typer

from .options import DeployedFunction, MadePackage, Runtime

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi template app.handler
  okibi template --sam -o template.yaml
  okibi template visits --runtime provided.al2023 -o template.json"""


def template(
    function: DeployedFunction = None,
    sam: Annotated[
        bool, typer.Option("--sam", help="For sam deploy, which uploads the package itself.")
    ] = False,
    runtime: Runtime = None,
    package: MadePackage = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="File to write, e.g. template.yaml or .json."
        ),
    ] = None,
) -> None:
    """Write a CloudFormation template of a function.

    The function's table in pyproject.toml says what belongs to it. Without a table it gets good
    defaults. The template goes to stdout, as YAML, or to a file.

    Exit code: 0, or 2 for bad input.
    """
    from ..write_template import template

    code = template(function, sam=sam, runtime=runtime, package=package, output=output)
    raise typer.Exit(code)
