"""The commands of `okibi` with their options, as typer reads them.

A command imports what it runs when it is called: `okibi invoke` needs nothing of `okibi bench`.
Numbers are read by the commands themselves, whose errors are one sentence each.
"""

import sys
from typing import Annotated

import typer

__all__ = ["app"]

RICH_MISSING = "okibi: okibi bench needs {}, which is not installed; pip install 'okibi[cli]'"

app = typer.Typer(
    name="okibi", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)

Handler = Annotated[str, typer.Argument(help="module.name, as app.function")]
Event = Annotated[
    str | None, typer.Argument(help="JSON, or a file of it, or - for stdin; {} without it")
]
Timeout = Annotated[str, typer.Option(metavar="S", help="seconds for each event")]


def _print_version(asked: bool) -> None:
    if asked:
        from .version import tell

        raise typer.Exit(tell())


Version = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="print okibi's version"),
]


@app.callback()
def okibi(_version: Version = False) -> None:
    """An AWS Lambda runtime for Python made of actors."""


@app.command()
def invoke(
    handler: Handler,
    event: Event = None,
    repeat: Annotated[str, typer.Option(metavar="N", help="how many invocations")] = "1",
    timeout: Timeout = "3",
) -> None:
    """Invoke a function of the current folder on a local Lambda.

    Answers go to stdout, one a line; logs and reports to stderr. The exit code is 0 if all
    answers are good, 1 if one is a function error, 2 if the input is bad.
    """
    from .invoke import invoke

    raise typer.Exit(invoke(handler, event, repeat=repeat, timeout=timeout))


Rounds = Annotated[
    str | None, typer.Option(metavar="N", help="how often all is measured; 5 without it")
]
Duration = Annotated[
    str | None, typer.Option(metavar="S", help="seconds of each round; 1 without it")
]
Quick = Annotated[bool, typer.Option("--quick", help="a look, in a few seconds")]
Concurrency = Annotated[str, typer.Option(metavar="N,N", help="events at once, as 1,4,16,64")]
Peer = Annotated[str | None, typer.Option(metavar="NAME", help="beside it, in turn: awslambdaric")]
PeerHandler = Annotated[
    str | None, typer.Option(metavar="HANDLER", help="what the peer serves, if another")
]
AllowErrors = Annotated[
    bool, typer.Option("--allow-errors", help="measure answers that are errors too")
]
Rate = Annotated[str, typer.Option(help="of the costs, as 10/s, 20k/day, 3M/month")]
MemorySize = Annotated[
    str | None, typer.Option(metavar="MB", help="of the costs; what it takes, without it")
]
PriceFile = Annotated[str | None, typer.Option(metavar="FILE", help="in the place of okibi's own")]
ReportFile = Annotated[str | None, typer.Option(metavar="FILE", help="write the report")]
PlotFolder = Annotated[str | None, typer.Option(metavar="FOLDER", help="draw it, as SVG and PNG")]


@app.command()
def bench(
    handler: Handler,
    event: Event = None,
    rounds: Rounds = None,
    duration: Duration = None,
    quick: Quick = False,
    timeout: Timeout = "3",
    concurrency: Concurrency = "1",
    peer: Peer = None,
    peer_handler: PeerHandler = None,
    allow_errors: AllowErrors = False,
    rate: Rate = "1M/month",
    memory_size: MemorySize = None,
    prices: PriceFile = None,
    json: ReportFile = None,
    markdown: ReportFile = None,
    plots: PlotFolder = None,
) -> None:
    """Measure a function of the current folder, served by a real bootstrap process.

    The table goes to stdout. The exit code is 0, 1 if answers were errors (unless they are
    allowed), 2 if it cannot be measured.
    """
    try:
        import rich as rich
    except ImportError as error:
        print(RICH_MISSING.format(error.name), file=sys.stderr)
        raise typer.Exit(1) from error
    from .bench.command import bench
    from .bench.order import Given

    given = Given(
        rounds=rounds, duration=duration, quick=quick, timeout=timeout, concurrency=concurrency,
        peer=peer, peer_handler=peer_handler, allow_errors=allow_errors, rate=rate,
        memory_size=memory_size, prices=prices, json=json, markdown=markdown, plots=plots,
    )  # fmt: skip
    raise typer.Exit(bench(handler, event, given))
