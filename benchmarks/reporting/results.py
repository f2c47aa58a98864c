"""Results that are kept: a small dated file, with one row per line."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import attrs

from okibi.bench.machine import Machine

from .rows import RatioRow, is_met

RESULTS = Path(__file__).parents[1] / "results"
# Printed with two digits, rows look as in the run. Three kept digits could be a hundredth off.
DIGITS = 6


@attrs.frozen
class KeptRow:
    """A row as kept in a file.

    Args:
        group, name: the group of rows, and the compared operation.
        median, least, most: the ratios of the rounds; 0 without rounds.
        rounds: the number of rounds with a ratio.
        wide: whether the row claims no more than its spread.
        bar, goal: the limit of the median, and the aim for the future; None for none.
        of: the medians of both sides, as text.
        at_least: whether the bar is a minimum.
    """

    group: str
    name: str
    median: float
    least: float
    most: float
    rounds: int
    wide: bool
    bar: float | None
    goal: float | None
    of: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the median meets the bar."""
        return self.bar is None or is_met(self.median, self.bar, self.at_least)

    @property
    def pair(self) -> tuple[float, float]:
        """The medians of both sides.

        Raises:
            ValueError: the row does not compare two figures.
        """
        ours, of, theirs = self.of.split()[:3]
        if of != "of":
            raise ValueError(f"not two figures: {self.of}")
        return float(ours), float(theirs)


@attrs.frozen
class KeptResults:
    """The contents of a file.

    Args:
        date: the date of the run.
        machine: the machine, as text.
        rows: the rows, by group and name.
    """

    date: str
    machine: str
    rows: dict[tuple[str, str], KeptRow]


def write(rows: Sequence[RatioRow], about: Machine, folder: Path = RESULTS) -> Path:
    """Write rows to the file of today, replacing an earlier one."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{date.today().isoformat()}.json"
    told = [_kept(row) for row in rows]
    lines = ",\n".join(_json(attrs.asdict(row)) for row in told)
    path.write_text(f'{{"machine": {_json(attrs.asdict(about))},\n"rows": [\n{lines}\n]}}\n')
    return path


def _kept(row: RatioRow) -> KeptRow:
    ratios = row.ratios
    found = (row.median, min(ratios), max(ratios)) if ratios else (0.0, 0.0, 0.0)
    median, least, most = (round(each, DIGITS) for each in found)
    return KeptRow(
        row.group, row.name, median, least, most, len(ratios), row.wide, row.bar, row.goal,
        row.told, row.at_least,
    )  # fmt: skip


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def read(path: Path) -> KeptResults:
    """Read a file of results."""
    told = json.loads(path.read_text())
    # Older files lack `at_least`, which was true for throughput only.
    kept = [KeptRow(**{"at_least": row["name"].startswith("throughput"), **row})
            for row in told["rows"]]  # fmt: skip
    machine = Machine(**told["machine"])
    return KeptResults(path.stem, machine.describe(), {(row.group, row.name): row for row in kept})


def newest(folder: Path = RESULTS) -> Path | None:
    """Return the newest file, or None."""
    return max(folder.glob("*.json"), default=None)
