"""A report's values as text: tables of it, for the terminal and as Markdown."""

from collections.abc import Sequence

import attrs

from runtime.cli.bench.figures import Figure
from runtime.cli.bench.report import Cost, Report
from runtime.cli.bench.rows import Row

__all__ = ["RECKONED", "Table", "cost_table", "figure_table", "heading", "markdown", "number"]

MISSING = "-"
SPREAD = "low to high"
RECKONED = "reckoned from"
"""The head of a column of words."""


@attrs.frozen
class Table:
    """A table of texts.

    Args:
        columns: their heads; the first is of words, the others of numbers.
        sections: each with its title, or "" for none, and its rows.
    """

    columns: Sequence[str]
    sections: Sequence[tuple[str, Sequence[Sequence[str]]]]


def number(value: float) -> str:
    """With about three digits; a whole number without a point.

    >>> [number(value) for value in (0.123, 1.234, 12.34, 123.4, 12345.6, 1.0)]
    ['0.12', '1.23', '12.3', '123', '12,346', '1']
    """
    if value == int(value):
        return f"{int(value):,}"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f}"


def heading(report: Report) -> list[str]:
    """What was measured, where and when, in lines."""
    beside = f" beside {report.peer_handler} on {report.peer}" if report.peer else ""
    sizes = f"an event of {report.event_bytes:,} bytes, an answer of {report.answer_bytes:,}"
    return [
        f"{report.handler} on okibi {report.okibi}{beside}, {report.taken}",
        f"{sizes}; {report.rounds} rounds of {report.seconds:g} s",
        report.machine.in_words(),
    ]


def figure_table(report: Report, *, narrow: bool = False) -> Table:
    """All rows, in their sections.

    Args:
        report: where they stand.
        narrow: with a peer, show the spread of the ratios alone.
    """
    spread = [] if narrow and report.peer else [SPREAD]
    columns = ["", "okibi", *spread]
    if report.peer:
        columns += [report.peer.partition(" ")[0], *spread, "ratio", SPREAD]
    sections: dict[str, list[Sequence[str]]] = {}
    for row in report.rows:
        sections.setdefault(row.section, []).append(_cells(row, report, narrow))
    return Table(columns, list(sections.items()))


def _cells(row: Row, report: Report, narrow: bool) -> list[str]:
    name = f"{row.name} ({row.unit})" if row.unit else row.name
    if not report.peer:
        return [name, *_texts(row.okibi)]
    shown = 1 if narrow else 2
    measured = [text for figure in (row.okibi, row.peer) for text in _texts(figure)[:shown]]
    return [name, *measured, *_texts(row.ratio)]


def _texts(figure: Figure | None) -> tuple[str, str]:
    if figure is None:
        return MISSING, ""
    return number(figure.median), f"{number(figure.low)} to {number(figure.high)}"


def cost_table(report: Report) -> Table:
    """What a month costs, and what that was reckoned from: with a peer, of each."""
    asked = f"{number(report.monthly / 1e6)} million events a month"
    columns = [asked, "okibi", RECKONED]
    if report.peer:
        columns += [report.peer.partition(" ")[0], RECKONED]
    return Table(columns, [("", [_cost_cells(cost, report) for cost in report.costs])])


def _cost_cells(cost: Cost, report: Report) -> list[str]:
    peer = [_dollars(cost.peer), cost.peer_how] if report.peer else []
    return [cost.where, _dollars(cost.okibi), cost.how, *peer]


def _dollars(amount: float | None) -> str:
    return MISSING if amount is None else f"${amount:,.2f}"


# -- as Markdown


def markdown(report: Report) -> str:
    """The whole report, to be put on a page."""
    first, *others = heading(report)
    parts = [
        f"### {first}",
        "  \n".join(others),
        _table(figure_table(report)),
        _table(cost_table(report)),
        "\n".join(f"* {note}" for note in report.notes),
    ]
    return "\n\n".join(parts) + "\n"


def _table(table: Table) -> str:
    lines = [_line(table.columns), _line(["---"] + ["---:"] * (len(table.columns) - 1))]
    for title, found in table.sections:
        if title:
            lines.append(_line([f"**{title}**"] + [""] * (len(table.columns) - 1)))
        lines += [_line(cells) for cells in found]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
