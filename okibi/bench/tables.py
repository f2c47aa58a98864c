"""Make the tables of a report, for the terminal and as Markdown."""

from collections.abc import Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .figures import Figure, pluralize
from .report import BenchReport
from .rows import ReportRow

MISSING = "-"
SPREAD = "low to high"
# The title of a text column, aligned to the left.
ESTIMATED_FROM = "estimated from"


def format_number(value: float) -> str:
    """Format a number with two or three digits; an integer without a decimal point.

    >>> [format_number(value) for value in (0.0123, 0.123, 1.234, 12.34, 123.4, 12345.6, 1.0)]
    ['0.012', '0.12', '1.23', '12.3', '123', '12,346', '1']
    """
    if value == int(value):
        return f"{int(value):,}"
    size = abs(value)
    digits = 3 if size < 0.1 else 2 if size < 10 else 1 if size < 100 else 0
    return f"{value:,.{digits}f}"


def heading(report: BenchReport) -> list[str]:
    """Describe in lines what was measured, when, and on which machine."""
    beside = f" beside {report.peer_handler} on {report.peer}" if report.peer else ""
    sizes = f"an event of {report.event_bytes:,} bytes, an answer of {report.answer_bytes:,}"
    return [
        f"{report.handler} on okibi {report.okibi}{beside}, {report.taken}",
        f"{sizes}; {pluralize(report.rounds, 'round')} of {report.seconds:g} s",
        report.machine.describe(),
    ]


def make_figure_table(report: BenchReport, *, wide: bool = True) -> Table:
    """Make the table of all rows.

    Args:
        report: the report.
        wide: whether to include the spreads of both runtimes, besides the spread of the ratio.
    """
    titles, spreads = ["okibi"], [True]
    if report.peer:
        titles += [report.peer.partition(" ")[0], "ratio"]
        spreads = [wide, wide, True]
    columns = [""]
    for title, spread in zip(titles, spreads, strict=True):
        columns += [title, SPREAD] if spread else [title]
    table, section = _new_table(columns), ""
    for row in report.rows:
        if row.section != section:
            section = row.section
            table.add_row(Text(section, style="bold"))
        name, *figures = _cells(row, spreads)
        table.add_row(f"  {name}", *figures)
    return table


def _new_table(columns: Sequence[str]) -> Table:
    """Make an empty table. The first column and the column of explanations hold text."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for number, column in enumerate(columns):
        is_text = number == 0 or column == ESTIMATED_FROM
        table.add_column(column, justify="left" if is_text else "right")
    return table


def _cells(row: ReportRow, spreads: Sequence[bool]) -> list[str]:
    cells = [f"{row.name} ({row.unit})" if row.unit else row.name]
    # Not strict: without a peer there is one spread.
    for figure, spread in zip((row.okibi, row.peer, row.ratio), spreads, strict=False):
        cells += _texts(figure)[: 1 + spread]
    return cells


def _texts(figure: Figure | None) -> tuple[str, str]:
    if figure is None:
        return MISSING, ""
    spread = f"{format_number(figure.low)} to {format_number(figure.high)}"
    return format_number(figure.median), spread


def make_cost_table(report: BenchReport) -> Table:
    """Make the table of the monthly costs and the numbers behind them."""
    columns = [f"{_monthly(report.monthly)} events a month", "okibi", ESTIMATED_FROM]
    if report.peer:
        columns += [report.peer.partition(" ")[0], ESTIMATED_FROM]
    table = _new_table(columns)
    for cost in report.costs:
        peer = [_dollars(cost.peer), cost.peer_how] if report.peer else []
        table.add_row(cost.where, _dollars(cost.okibi), cost.how, *peer)
    return table


def _monthly(events: float) -> str:
    return format_number(events) if events < 1e5 else f"{format_number(events / 1e6)} million"


def _dollars(amount: float | None) -> str:
    return MISSING if amount is None else f"${amount:,.2f}"


# -- as Markdown


def render_markdown(report: BenchReport) -> str:
    """Render a report as Markdown."""
    first, *others = heading(report)
    parts = [
        f"### {first}",
        "  \n".join(others),
        _table(make_figure_table(report)),
        _table(make_cost_table(report)),
        "\n".join(f"* {note}" for note in report.notes),
    ]
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    columns = table.columns
    lines = [
        _line([column.header for column in columns]),
        _line(["---:" if column.justify == "right" else "---" for column in columns]),
        *(_line(cells) for cells in zip(*(column.cells for column in columns), strict=True)),
    ]
    return "\n".join(lines)


def _line(cells: Sequence[RenderableType]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(cell: RenderableType) -> str:
    text = str(cell).strip().replace("|", "\\|")
    return f"**{text}**" if isinstance(cell, Text) else text
