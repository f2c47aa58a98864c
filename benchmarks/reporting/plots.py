"""Draw kept results as SVG, as `make bench-full` does. Needs matplotlib."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from okibi.bench.plots import OTHER

from ..crashes import LIMIT, PAST, WAYS
from .results import KeptResults, KeptRow

OKIBI, PALE, GREY = "#c8551b", "#e8a87c", "#9a9a9a"
SIZE, WIDE_SIZE = (6.4, 3.2), (8.2, 3.2)
"""Inches. The second is for eight groups of bars, whose figures would touch at the first size."""
SIZES = ("20 B", "2.6 KB", "100 KB", "1 MB", "6 MB")
PEERS = ("bare trio", "triotp", "Pykka", "Thespian", "xoscar", "gen_server", "supervisor")


def draw(results: KeptResults, folder: Path) -> list[Path]:
    """Draw all pictures for which there are rows.

    Args:
        results: the rows.
        folder: the target; existing pictures are replaced.

    Returns:
        The files.
    """
    pictures: dict[str, Callable[[KeptResults, Any], bool]] = {
        "overhead": overhead,
        "crashes": crashes,
        "starts": starts,
        "actors": actors,
    }
    made: Any = import_module("matplotlib.figure")
    matplotlib: Any = import_module("matplotlib")
    files: list[Path] = []
    # Text stays text. Without dates and random names, the same rows give the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "okibi"}):
        for name, picture in pictures.items():
            figure = made.Figure(figsize=SIZE)
            axes = figure.subplots()
            axes.grid(visible=True, axis="y", alpha=0.3)
            axes.set_axisbelow(True)
            if picture(results, axes):
                files.append(folder / f"{name}.svg")
                figure.savefig(files[-1], bbox_inches="tight", metadata={"Date": None})
    return files


def overhead(results: KeptResults, axes: Any) -> bool:
    """Draw a warm cycle by event size, as a share of the official client's."""
    kinds = {"async def": OKIBI, "plain def": PALE, "floor": GREY}
    names = {"floor": "a bare socket"}
    found = {
        kind: [results.rows.get((f"overhead, {size}", f"{kind} / awslambdaric")) for size in SIZES]
        for kind in kinds
    }
    if not any(any(rows) for rows in found.values()):
        return False
    for number, (kind, rows) in enumerate(found.items()):
        label = names.get(kind, f"okibi, {kind}")
        _bars(axes, number, len(found), rows, label, kinds[kind])
    axes.axhline(1, color=OTHER, label="awslambdaric")
    axes.set_xticks(range(len(SIZES)), SIZES)
    axes.set_ylabel("a cycle, of awslambdaric's")
    axes.set_title("A warm invocation by the size of its event")
    _legend(axes)
    return True


def _bars(
    axes: Any, number: int, of: int, rows: list[KeptRow | None], label: str, colour: str
) -> None:
    known = [(at, row) for at, row in enumerate(rows) if row is not None]
    middle = [row.median for _, row in known]
    width = 0.8 / of
    axes.bar(
        [at + (number - (of - 1) / 2) * width for at, _ in known],
        middle,
        width,
        yerr=[[row.median - row.least for _, row in known],
              [row.most - row.median for _, row in known]],
        label=label,
        color=colour,
        error_kw={"elinewidth": 0.8, "capsize": 2},
    )  # fmt: skip


def crashes(results: KeptResults, axes: Any) -> bool:
    """Draw the milliseconds from a crash to the next good response."""
    rows = [(way, results.rows.get(("crashes", f"{way} / awslambdaric"))) for way in WAYS]
    known = [(way, row.pair) for way, row in rows if row is not None]
    if not known:
        return False
    _pairs(axes, known, ("okibi", "awslambdaric"))
    if past := _past(results):
        # Text, because the value may be negative, and the axis is logarithmic.
        axes.set_xlabel(f"{PAST}: {past}", fontsize=8)
    axes.set_ylabel("ms, log")
    axes.set_title("From a bad event to the next good answer")
    return True


def _past(results: KeptResults) -> str:
    """Return the time after a time-out, or "" if not measured."""
    row = results.rows.get(("crashes", PAST))
    if row is not None:
        return row.of
    # Older files measure from the start of the event.
    whole = results.rows.get(("crashes", "timeout / awslambdaric"))
    if whole is None:
        return ""
    okibi, official = (each - LIMIT * 1000 for each in whole.pair)
    return f"okibi {okibi:.1f}, awslambdaric {official:.1f} ms"


def _pairs(
    axes: Any, known: list[tuple[str, tuple[float, float]]], labels: tuple[str, str]
) -> None:
    for number, (label, colour) in enumerate(zip(labels, (OKIBI, OTHER), strict=True)):
        values = [pair[number] for _, pair in known]
        at = [place + (number - 0.5) * 0.4 for place in range(len(known))]
        drawn = axes.bar(at, values, 0.4, label=label, color=colour)
        axes.bar_label(drawn, fmt="%.3g", fontsize=8)
    axes.set_yscale("log")
    axes.set_xticks(range(len(known)), [name for name, _ in known])
    _legend(axes)


def starts(results: KeptResults, axes: Any) -> bool:
    """Draw the milliseconds of a cold start."""
    whole = results.rows.get(("cold start", "to the first GET /next / awslambdaric"))
    # Including the name in older files.
    beyond = ("less a process that imports trio", "less the import of trio")
    less = next((row for (group, name), row in results.rows.items()
                 if group == "cold start" and name.startswith(beyond)), None)  # fmt: skip
    if whole is None or less is None:
        return False
    okibi, official = whole.pair
    own = float(less.of.split()[0])
    axes.bar(["okibi"], [okibi - own], color=PALE, label="a process that imports trio")
    drawn = axes.bar(["okibi"], [own], bottom=[okibi - own], color=OKIBI, label="okibi besides")
    axes.bar_label(drawn, [f"{okibi:.0f}"], fontsize=8)
    drawn = axes.bar(["awslambdaric"], [official], color=OTHER, label="awslambdaric")
    axes.bar_label(drawn, fmt="%.0f", fontsize=8)
    axes.set_ylabel("ms")
    axes.set_title("A cold start, to the first GET /next")
    _legend(axes)
    return True


def actors(results: KeptResults, axes: Any) -> bool:
    """Draw actors and supervisors beside their peers, in microseconds."""
    columns = {"call": OKIBI, "cast": OTHER, "start": GREY}
    table = {
        column: {peer: row.pair for peer in PEERS
                 if (row := results.rows.get(("peers", f"{column}, okibi / {peer}")))}
        for column in columns
    }  # fmt: skip
    # OTP's supervisor starts and stops children, and is not called.
    peers = [peer for peer in PEERS if peer in table["start"]]
    if not peers or not table["call"]:
        return False
    labels = {"call": "a call and its reply", "cast": "a cast, handled",
              "start": "start and stop of a child"}  # fmt: skip
    for number, (column, colour) in enumerate(columns.items()):
        pairs = {place: table[column][peer] for place, peer in enumerate(peers, 1)
                 if peer in table[column]}  # fmt: skip
        first = next(iter(pairs.values()))[0]
        values = [first, *(peer for _, peer in pairs.values())]
        at = [place + (number - 1) * 0.27 for place in (0, *pairs)]
        drawn = axes.bar(at, values, 0.27, label=labels[column], color=colour)
        axes.bar_label(drawn, [f"{value:{'.0f' if value > 20 else '.2g'}}" for value in values],
                       fontsize=7)  # fmt: skip
    axes.figure.set_size_inches(WIDE_SIZE)
    axes.set_yscale("log")
    axes.set_xticks(range(len(peers) + 1), ["okibi", *peers], fontsize=7)
    axes.set_ylabel("us, log")
    axes.set_title("Actors and supervisors beside their peers")
    _legend(axes)
    return True


def _legend(axes: Any) -> None:
    low, high = axes.get_ylim()
    # Space above the bars.
    axes.set_ylim(low, high**1.4 / low**0.4 if axes.get_yscale() == "log" else high * 1.35)
    axes.legend(fontsize=8, ncols=3, loc="upper center")
