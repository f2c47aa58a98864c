"""The subcommand `okibi logs` and its options."""

from typing import Annotated

import typer

from .options import DeployedFunction, DeployedStack, EndpointUrl, Region

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi logs visits
  okibi logs visits -f --since 1h
  okibi logs visits --stack visits-test"""


def logs(
    function: DeployedFunction = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Wait for new lines until Ctrl-C.")
    ] = False,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="How far back to begin, e.g. 30s, 10m or 2h.")
    ] = "10m",
    stack: DeployedStack = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Print the log of a deployed function.

    The function is found by its stack; any function's name or ARN on Lambda is good too.

    Exit code: 0, 2 for bad input, 130 after Ctrl-C.
    """
    from ..remote_logs import print_logs

    code = print_logs(
        function, follow=follow, since=since, stack=stack, region=region, endpoint_url=endpoint_url
    )
    raise typer.Exit(code)
