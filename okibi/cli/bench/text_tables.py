"""A report's values as text: tables of it, for the terminal and as Markdown."""

from collections.abc import Sequence

import attrs

from .figures import Figure, counted
from .report import Report
from .rows import Row

__all__ = [
    "RECKONED",
    "Table",
    "cost_table",
    "figure_table",
    "heading",
    "markdown",
    "number",
]

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
    """With two or three digits; a whole number without a point.

    >>> [number(value) for value in (0.0123, 0.123, 1.234, 12.34, 123.4, 12345.6, 1.0)]
    ['0.012', '0.12', '1.23', '12.3', '123', '12,346', '1']
    """
    if value == int(value):
        return f"{int(value):,}"
    size = abs(value)
    digits = 3 if size < 0.1 else 2 if size < 10 else 1 if size < 100 else 0
    return f"{value:,.{digits}f}"


def heading(report: Report) -> list[str]:
    """What was measured, where and when, in lines."""
    beside = f" beside {report.peer_handler} on {report.peer}" if report.peer else ""
    sizes = f"an event of {report.event_bytes:,} bytes, an answer of {report.answer_bytes:,}"
    return [
        f"{report.handler} on okibi {report.okibi}{beside}, {report.taken}",
        f"{sizes}; {counted(report.rounds, 'round')} of {report.seconds:g} s",
        report.machine.in_words(),
    ]


def figure_table(report: Report, *, wide: bool = True) -> Table:
    """All rows, in their sections.

    Args:
        report: of it.
        wide: whether okibi's and the peer's spreads stand beside the ratio's.
    """
    heads, spreads = ["okibi"], [True]
    if report.peer:
        heads += [report.peer.partition(" ")[0], "ratio"]
        spreads = [wide, wide, True]
    columns = [""]
    for head, spread in zip(heads, spreads, strict=True):
        columns += [head, SPREAD] if spread else [head]
    sections: dict[str, list[Sequence[str]]] = {}
    for row in report.rows:
        sections.setdefault(row.section, []).append(_cells(row, spreads))
    return Table(columns, list(sections.items()))


def _cells(row: Row, spreads: Sequence[bool]) -> list[str]:
    cells = [f"{row.name} ({row.unit})" if row.unit else row.name]
    # Without a peer the first alone.
    for figure, spread in zip((row.okibi, row.peer, row.ratio), spreads, strict=False):
        cells += _texts(figure)[: 1 + spread]
    return cells


def _texts(figure: Figure | None) -> tuple[str, str]:
    if figure is None:
        return MISSING, ""
    return number(figure.median), f"{number(figure.low)} to {number(figure.high)}"


def cost_table(report: Report) -> Table:
    """What a month costs, and what that was reckoned from: with a peer, of each."""
    asked = f"{_monthly(report.monthly)} events a month"
    if not report.peer:
        found = [[cost.where, _dollars(cost.okibi), cost.how] for cost in report.costs]
        return Table([asked, "okibi", RECKONED], [("", found)])
    found = [
        [cost.where, _dollars(cost.okibi), cost.how, _dollars(cost.peer), cost.peer_how]
        for cost in report.costs
    ]
    peer = report.peer.partition(" ")[0]
    return Table([asked, "okibi", RECKONED, peer, RECKONED], [("", found)])


def _monthly(events: float) -> str:
    return number(events) if events < 1e5 else f"{number(events / 1e6)} million"


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
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
