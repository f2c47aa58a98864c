"""A report as Markdown."""

from collections.abc import Sequence

from runtime.cli.bench.report import Report
from runtime.cli.bench.words import Table, cost_table, figure_table, heading

__all__ = ["markdown"]


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
