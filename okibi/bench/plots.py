"""Draw the plots of a report as SVG and PNG. Needs matplotlib: the extra `okibi[bench]`."""

import math
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .plan import OKIBI
from .report import BenchReport
from .rows import MEMORY, THROUGHPUT, ReportRow

COLOURS = {OKIBI: "#c8551b"}
OTHER = "#4a6fa5"
# Inches.
SIZE = (7.0, 4.2)
HEADROOM = 1.1


def draw(report: BenchReport, folder: Path) -> list[Path]:
    """Draw all plots of a report.

    Args:
        report: the report.
        folder: an existing folder; files of the same names are replaced.

    Returns:
        The files written.
    """
    files = _save(_draw_latency(report), folder / "latency")
    by_slots = group_by_slots(report)
    if len(by_slots) > 1:
        for name, title, unit in (
            (THROUGHPUT, "events a second", "a second"),
            (MEMORY, "memory of all processes", "MB"),
        ):
            files += _save(_draw_by_slots(report, name, title, unit), folder / name)
    return files


def group_by_slots(report: BenchReport) -> dict[int, dict[str, ReportRow]]:
    """Group the rows that are plotted by the number of events at once."""
    found: dict[int, dict[str, ReportRow]] = {}
    for row in report.rows:
        if row.key:
            found.setdefault(row.slots, {})[row.key] = row
    return dict(sorted(found.items()))


def _draw_latency(report: BenchReport) -> Any:
    """Draw percentiles on an axis where each nine (p90, p99, p99.9) has the same width."""
    picture, axes = _make_axes(report)
    for name, found in report.distribution.items():
        axes.plot(
            [_nines(share) for share, _ in found],
            [at for _, at in found],
            label=name,
            color=COLOURS.get(name, OTHER),
        )
    last = max((share for found in report.distribution.values() for share, _ in found), default=0.9)
    ticks = [share for share in (0.5, 0.9, 0.99, 0.999, 0.9999) if share <= last]
    axes.set_xticks([_nines(share) for share in ticks], [f"p{share * 100:g}" for share in ticks])
    ticker: Any = import_module("matplotlib.ticker")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.0f}"))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_ylabel("time of a cycle, us")
    axes.legend()
    return picture


def _nines(share: float) -> float:
    return -math.log10(1 - share)


def _make_axes(report: BenchReport) -> tuple[Any, Any]:
    # Not pyplot, which would look for a display.
    made: Any = import_module("matplotlib.figure")
    picture = made.Figure(figsize=SIZE)
    axes = picture.subplots()
    machine = report.machine
    # The time tells the plot from older ones in the same folder.
    axes.set_title(f"{report.handler}, {machine.python}, {machine.cores} cores\n{report.taken}")
    axes.grid(visible=True, alpha=0.3)
    return picture, axes


def _draw_by_slots(report: BenchReport, name: str, title: str, unit: str) -> Any:
    found = {slots: rows[name] for slots, rows in group_by_slots(report).items() if name in rows}
    picture, axes = _make_axes(report)
    _draw_line(axes, found, OKIBI, [row.okibi for row in found.values()])
    if report.peer:
        _draw_line(axes, found, report.peer, [row.peer for row in found.values()])
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(found), [str(slots) for slots in found])
    # Headroom keeps equal figures off the frame. Without figures, as for memory on macOS, the
    # axis still needs a length.
    axes.set_ylim(0, HEADROOM * (max(map(_highest, found.values()), default=0.0) or 1.0))
    axes.set_xlabel("events at once")
    axes.set_ylabel(f"{title}, {unit}" if unit == "MB" else title)
    axes.legend()
    return picture


def _highest(row: ReportRow) -> float:
    return max((each.high for each in (row.okibi, row.peer) if each is not None), default=0.0)


def _draw_line(axes: Any, found: dict[int, ReportRow], name: str, figures: Sequence[Any]) -> None:
    known = [(slots, each) for slots, each in zip(found, figures, strict=True) if each is not None]
    middle = [each.median for _, each in known]
    axes.errorbar(
        [slots for slots, _ in known],
        middle,
        yerr=[[each.median - each.low for _, each in known],
              [each.high - each.median for _, each in known]],
        marker="o",
        capsize=3,
        label=name,
        color=COLOURS.get(name, OTHER),
    )  # fmt: skip


def _save(picture: Any, path: Path) -> list[Path]:
    files = [path.with_suffix(suffix) for suffix in (".svg", ".png")]
    for file in files:
        # Without a date: equal figures give equal files.
        metadata = {"Date": None} if file.suffix == ".svg" else None
        picture.savefig(file, bbox_inches="tight", dpi=120, metadata=metadata)
    return files
