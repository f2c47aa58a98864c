"""The subcommand `okibi invoke` and its options."""

from typing import Annotated

import typer

from .event import complete_sample
from .options import DeployedStack, EndpointUrl, Event, Handler, Region, Timeout

__all__ = ["EXAMPLES", "invoke"]

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi invoke app.handler '{"name": "Ada"}'
  okibi invoke app.handler event.json --repeat 10 --timeout 0.5
  echo '{"name": "Ada"}' | okibi invoke folder/app.handler -
  okibi invoke app.handler --sample sqs
  okibi invoke --remote visits event.json"""

Remote = Annotated[
    bool, typer.Option("--remote", help="Invoke the deployed function: its name, e.g. visits.")
]


def invoke(
    handler: Handler,
    event: Event = None,
    sample: Annotated[
        str | None,
        typer.Option(
            metavar="SAMPLE",
            help="A sample event, e.g. sqs. okibi event lists and changes them.",
            autocompletion=complete_sample,
        ),
    ] = None,
    repeat: Annotated[str, typer.Option(metavar="N", help="Number of invocations, e.g. 10.")] = "1",
    timeout: Timeout = None,
    remote: Remote = False,
    stack: DeployedStack = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    snap_start: Annotated[
        bool, typer.Option("--snap-start", help="Start from a snapshot, as with SnapStart.")
    ] = False,
) -> None:
    """Invoke a function on a local Lambda, or with --remote on AWS.

    The module is found in the current folder. Answers go to stdout, one per line. Logs go to
    stderr. With --remote, the function is found by its stack; any function's name or ARN on Lambda
    is good too.

    Exit code: 0 if all answers are good, 1 after a function error, 2 for bad input.
    """
    if remote:
        from ..remote_invoke import invoke_remote

        code = invoke_remote(
            handler,
            event,
            sample=sample,
            repeat=repeat,
            stack=stack,
            region=region,
            endpoint_url=endpoint_url,
        )
        raise typer.Exit(code)
    from ..invoke import invoke

    code = invoke(
        handler, event, sample=sample, repeat=repeat, timeout=timeout, snap_start=snap_start
    )
    raise typer.Exit(code)
