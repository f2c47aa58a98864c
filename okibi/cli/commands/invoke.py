"""The subcommand `okibi invoke` and its options."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

import typer

from ...project.arguments import parse_integer
from .event import complete_sample
from .options import DeployedStack, EndpointUrl, Event, Handler, Region, Timeout

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


Repeat = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=lambda text: parse_integer("--repeat", text, 1, example=10),
        help="Number of invocations, e.g. 10.",
    ),
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
    repeat: Repeat = 1,
    timeout: Timeout = None,
    remote: Remote = False,
    stack: DeployedStack = None,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
    snap_start: Annotated[
        bool, typer.Option("--snap-start", help="Start from a snapshot, as with SnapStart.")
    ] = False,
) -> int:
    """Invoke a function on a local Lambda, or with --remote on AWS.

    The module is found in the current folder. Answers go to stdout, one per line. Logs go to
    stderr. With --remote, the function is found by its stack; any function's name or ARN on Lambda
    is good too.

    Exit code: 0 if all answers are good, 1 after a function error, 2 for bad input.
    """
    if remote:
        from ..remote_invoke import invoke_remote

        return invoke_remote(
            handler,
            event,
            sample=sample,
            repeat=repeat,
            stack=stack,
            region=region,
            endpoint_url=endpoint_url,
        )
    from ..invoke_function import OUTPUT, choose_settings, invoke_all
    from ..print_event import read_event_or_sample
    from ..until_signal import run_command

    def prepare() -> Callable[[], Awaitable[int]]:
        settings = choose_settings(handler, timeout, snap_start=snap_start)
        return partial(invoke_all, settings, read_event_or_sample(event, sample), repeat)

    return run_command(OUTPUT, prepare)
