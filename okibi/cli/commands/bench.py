"""The subcommand `okibi bench` and its options."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ...project.arguments import parse_integer, parse_seconds
from .options import Event, Handler, Timeout

# The cycles of all rounds stay in memory until the report.
MAX_ROUNDS = 1000

RICH_MISSING = "okibi: {} is not installed; run: pip install 'okibi[cli]'"

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi bench app.handler event.json --quick
  okibi bench app.handler event.json --peer awslambdaric --concurrency 1,16
  okibi bench app.handler event.json --rate 20k/day --markdown report.md"""


def parse_memory_size(text: str) -> int:
    """Parse `--memory-size`.

    Args:
        text: the text of the option.

    Raises:
        BadInput: the text is no memory size of Lambda.
    """
    # Imported here: every command declares its options, and `okibi.local` is large.
    from ...local.limits import MAX_MEMORY, MIN_MEMORY

    return parse_integer("--memory-size", text, MIN_MEMORY, MAX_MEMORY, example=512, unit="MB")


Rounds = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        parser=lambda text: parse_integer("--rounds", text, 1, MAX_ROUNDS, example=10),
        help="Number of rounds, e.g. 10. Default: 5, or 2 with --quick.",
    ),
]
Duration = Annotated[
    float | None,
    typer.Option(
        metavar="S",
        parser=lambda text: parse_seconds("--duration", text, example="0.5"),
        help="Seconds of each round, e.g. 0.5. Default: 1, or 0.2 with --quick.",
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="Measure roughly, in a few seconds.")]
Concurrency = Annotated[
    str, typer.Option(metavar="N,N", help="Numbers of events at once, e.g. 1,4,16,64.")
]
Peer = Annotated[
    str | None, typer.Option(metavar="NAME", help="Runtime to compare with, e.g. awslambdaric.")
]
PeerHandler = Annotated[
    str | None,
    typer.Option(
        metavar="HANDLER", help="Handler of the peer, e.g. app.plain. Default: the same handler."
    ),
]
AllowErrors = Annotated[
    bool, typer.Option("--allow-errors", help="Measure a function whose answers are errors.")
]
Rate = Annotated[
    str,
    typer.Option(metavar="RATE", help="Rate of the cost estimate, e.g. 10/s, 20k/day, 3M/month."),
]
MemorySize = Annotated[
    int | None,
    typer.Option(
        metavar="MB",
        parser=parse_memory_size,
        help="Memory of the cost estimate, e.g. 512. Default: as measured.",
    ),
]
PriceFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Price list, e.g. prices.toml. Default: okibi's own."),
]
JsonFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the report as JSON, e.g. report.json.")
]
MarkdownFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the report as Markdown, e.g. report.md.")
]
PlotFolder = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="Draw plots as SVG and PNG, e.g. in plots.")
]


def bench(
    handler: Handler,
    event: Event = None,
    rounds: Rounds = None,
    duration: Duration = None,
    quick: Quick = False,
    timeout: Timeout = None,
    concurrency: Concurrency = "1",
    peer: Peer = None,
    peer_handler: PeerHandler = None,
    allow_errors: AllowErrors = False,
    rate: Rate = "1M/month",
    memory_size: MemorySize = None,
    prices: PriceFile = None,
    json: JsonFile = None,
    markdown: MarkdownFile = None,
    plots: PlotFolder = None,
) -> None:
    """Measure a function of the current folder.

    A real bootstrap process serves the function. The report goes to stdout.

    Exit code: 0 if all answers are good, 1 after a function error (0 with --allow-errors), 2 if
    the function cannot be measured.
    """
    try:
        import rich as rich
    except ImportError as error:
        print(RICH_MISSING.format(error.name), file=sys.stderr)
        raise typer.Exit(1) from error
    from ...bench.options import parse_options
    from ..run_bench import bench

    parse = partial(
        parse_options, handler, event, rounds=rounds, duration=duration, quick=quick,
        timeout=timeout, concurrency=concurrency, peer=peer, peer_handler=peer_handler,
        allow_errors=allow_errors, rate=rate, memory_size=memory_size, prices=prices, json=json,
        markdown=markdown, plots=plots,
    )  # fmt: skip
    raise typer.Exit(bench(parse))
