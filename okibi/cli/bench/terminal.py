"""What is seen on a terminal: a bar while it runs, and the report at the end."""

import io
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import cast

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

from .plan import Step
from .report import Report
from .text_tables import RECKONED, Table, cost_table, figure_table, heading

__all__ = ["progress", "table"]

WIDTH = 130
"""Columns of what goes to a file or a pipe."""
LEAST, ALL = 75, 105
"""Columns that the spreads of the ratios need beside a peer, and those that all spreads need."""
LEFT_OUT = "There is no room here for each spread: --markdown FILE writes all of them."


@contextmanager
def progress() -> Generator[Callable[[Step, int, int], None]]:
    """A bar on stderr, if that is a terminal; what is given is told of each step.

    It is drawn between two steps only: a thread that draws would take time of what is measured.
    """
    # A shell's `2>&-` leaves None here, whatever the annotation says.
    watched = cast("object", sys.stderr) is not None and sys.stderr.isatty()
    console = Console(stderr=True)
    # On one that cannot go back in a line rich draws none, but ends it all the same.
    if not watched or console.is_dumb_terminal:
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

        def tell(step: Step, number: int, total: int) -> None:
            bar.update(task, description=step.in_words(), completed=number, total=total)
            bar.refresh()

        bar.refresh()
        yield tell


def table(report: Report) -> str:
    """A report as it is printed, for the terminal that stdout is, or for a file."""
    is_terminal = sys.stdout.isatty()
    drawn = _Drawn()
    # Not printed by rich itself, which leaves by `sys.exit` where a reader has left.
    console = Console(
        file=drawn,
        width=None if is_terminal else WIDTH,
        force_terminal=is_terminal or None,
        highlight=False,
        markup=False,
    )
    # In less a figure would lose digits; COLUMNS may say 0.
    console.width = max(console.width, LEAST)
    wide = console.width >= ALL
    for line in heading(report):
        console.print(line)
    console.print()
    console.print(_rich(figure_table(report, wide=wide)))
    console.print()
    console.print(_rich(cost_table(report)))
    console.print()
    left_out = [LEFT_OUT] if report.peer and not wide else []
    for note in (*report.notes, *left_out):
        console.print(note)
    # What fills up to the right edge is nothing to keep.
    return "".join(f"{line.rstrip()}\n" for line in drawn.getvalue().splitlines())


class _Drawn(io.StringIO):
    """What is drawn, in characters that stdout has."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return sys.stdout.encoding


def _rich(table: Table) -> RichTable:
    drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False)
    for number, column in enumerate(table.columns):
        words = number == 0 or column == RECKONED
        drawn.add_column(column, justify="left" if words else "right")
    for title, found in table.sections:
        if title:
            drawn.add_row(title, style="bold")
        for cells in found:
            drawn.add_row(f"  {cells[0]}" if title else cells[0], *cells[1:])
    return drawn
