"""Show a progress bar while the benchmark runs, and the report at the end."""

import io
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .plan import Step
from .report import BenchReport
from .tables import heading, make_cost_table, make_figure_table

# Columns of the report in a file or pipe.
WIDTH = 130
# Columns needed with a peer: for the spreads of the ratios only, and for all spreads.
MIN_WIDTH, FULL_WIDTH = 75, 105
LEFT_OUT = "The terminal is too narrow for all spreads; --markdown report.md writes all of them."


@contextmanager
def show_progress() -> Generator[Callable[[Step, int, int], None]]:
    """Show a progress bar on stderr, if stderr is a terminal; yields a function to call per step.

    The bar is drawn between steps only: a drawing thread would disturb the measurement.
    """
    # A shell's `2>&-` makes sys.stderr None, in spite of its annotation.
    is_terminal = cast("object", sys.stderr) is not None and sys.stderr.isatty()
    console = Console(stderr=True)
    # On a dumb terminal rich draws no bar, but still writes an empty line.
    if not is_terminal or console.is_dumb_terminal:
        yield lambda step, number, total: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns,
        console=console,
        auto_refresh=False,
        transient=True,
    ) as bar:
        task = bar.add_task("the function itself", total=None)

        def on_step(step: Step, number: int, total: int) -> None:
            bar.update(task, description=step.describe(), completed=number, total=total)
            bar.refresh()

        bar.refresh()
        yield on_step


def render_table(report: BenchReport) -> str:
    """Render a report as text, for the terminal of stdout or for a file."""
    is_terminal = sys.stdout.isatty()
    buffer = _StdoutBuffer()
    # rich itself would call `sys.exit` on a closed pipe.
    console = Console(
        file=buffer,
        width=None if is_terminal else WIDTH,
        force_terminal=is_terminal or None,
        highlight=False,
        markup=False,
    )
    # Narrower tables would lose digits. COLUMNS may be 0.
    console.width = max(console.width, MIN_WIDTH)
    wide = console.width >= FULL_WIDTH
    for line in heading(report):
        console.print(line)
    console.print()
    console.print(make_figure_table(report, wide=wide))
    console.print()
    console.print(make_cost_table(report))
    console.print()
    left_out = [LEFT_OUT] if report.peer and not wide else []
    for note in (*report.notes, *left_out):
        console.print(note)
    # Without the padding up to the right edge.
    return "".join(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


class _StdoutBuffer(io.StringIO):
    """A text buffer with the encoding of stdout, from which rich chooses its characters."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return sys.stdout.encoding
