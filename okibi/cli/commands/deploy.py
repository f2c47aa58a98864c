"""The subcommand `okibi deploy` and its options."""

from typing import Annotated

import typer

from .options import (
    DeployedFunction,
    EndpointUrl,
    MadePackage,
    Record,
    Region,
    Runtime,
    TargetPython,
)

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi deploy
  okibi deploy app.handler --stack visits --region eu-central-1 --dry-run
  okibi deploy --runtime provided.al2023 --endpoint-url http://127.0.0.1:4566"""

DeployedArchitecture = Annotated[
    str | None,
    typer.Option(
        "--arch",
        metavar="ARCH",
        help="Processor: x86_64 or arm64, e.g. arm64. Default: that in pyproject.toml, or x86_64.",
    ),
]


def deploy(
    function: DeployedFunction = None,
    stack: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Stack, e.g. visits-test. Default: the function's name."),
    ] = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    bucket: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="S3 bucket for packages. Default: okibi makes one."),
    ] = None,
    runtime: Runtime = None,
    python: TargetPython = None,
    arch: DeployedArchitecture = None,
    package: MadePackage = None,
    record: Record = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Deploy a function by a CloudFormation stack.

    Shows account, region and the difference, and asks. The outputs of the stack go to stdout, one
    per line. A stack that okibi has not made for this project is refused. Without --package, okibi
    package builds the zip; it runs the function's init twice on this machine.

    Exit code: 0 if the function is deployed or nothing has changed, 1 if the deployment failed, the
    function does not start or you said no, 2 for bad input.
    """
    from ..deploy_function import deploy

    code = deploy(
        function,
        {
            "stack": stack, "region": region, "endpoint_url": endpoint_url, "bucket": bucket,
            "runtime": runtime, "python": python, "arch": arch, "package": package,
            "record": record, "dry_run": dry_run, "yes": yes,
        },
    )  # fmt: skip
    raise typer.Exit(code)
