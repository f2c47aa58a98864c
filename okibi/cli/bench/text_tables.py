"""Format a report as text tables and as Markdown."""

from collections.abc import Sequence

import attrs

from .figures import Figure, pluralize
from .report import Report
from .rows import ReportRow

__all__ = [
    "ESTIMATED_FROM",
    "TextTable",
    "format_number",
    "heading",
    "make_cost_table",
    "make_figure_table",
    "render_markdown",
]

MISSING = "-"
SPREAD = "low to high"
ESTIMATED_FROM = "estimated from"
"""The title of a text column, aligned to the left."""


@attrs.frozen
class TextTable:
    """A table of texts.

    Args:
        columns: the titles; the first column holds text, the others numbers.
        sections: for each section its title, which may be empty, and its rows.
    """

    columns: Sequence[str]
    sections: Sequence[tuple[str, Sequence[Sequence[str]]]]


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


def heading(report: Report) -> list[str]:
    """Describe in lines what was measured, when, and on which machine."""
    beside = f" beside {report.peer_handler} on {report.peer}" if report.peer else ""
    sizes = f"an event of {report.event_bytes:,} bytes, an answer of {report.answer_bytes:,}"
    return [
        f"{report.handler} on okibi {report.okibi}{beside}, {report.taken}",
        f"{sizes}; {pluralize(report.rounds, 'round')} of {report.seconds:g} s",
        report.machine.describe(),
    ]


def make_figure_table(report: Report, *, wide: bool = True) -> TextTable:
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
    sections: dict[str, list[Sequence[str]]] = {}
    for row in report.rows:
        sections.setdefault(row.section, []).append(_cells(row, spreads))
    return TextTable(columns, list(sections.items()))


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


def make_cost_table(report: Report) -> TextTable:
    """Make the table of the monthly costs and the numbers behind them."""
    title = f"{_monthly(report.monthly)} events a month"
    if not report.peer:
        found = [[cost.where, _dollars(cost.okibi), cost.how] for cost in report.costs]
        return TextTable([title, "okibi", ESTIMATED_FROM], [("", found)])
    found = [
        [cost.where, _dollars(cost.okibi), cost.how, _dollars(cost.peer), cost.peer_how]
        for cost in report.costs
    ]
    peer = report.peer.partition(" ")[0]
    return TextTable([title, "okibi", ESTIMATED_FROM, peer, ESTIMATED_FROM], [("", found)])


def _monthly(events: float) -> str:
    return format_number(events) if events < 1e5 else f"{format_number(events / 1e6)} million"


def _dollars(amount: float | None) -> str:
    return MISSING if amount is None else f"${amount:,.2f}"


# -- as Markdown


def render_markdown(report: Report) -> str:
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


def _table(table: TextTable) -> str:
    lines = [_line(table.columns), _line(["---"] + ["---:"] * (len(table.columns) - 1))]
    for title, found in table.sections:
        if title:
            lines.append(_line([f"**{title}**"] + [""] * (len(table.columns) - 1)))
        lines += [_line(cells) for cells in found]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
