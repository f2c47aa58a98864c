"""The results of a run that are kept: a small dated file, a row a line."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import attrs

from okibi.cli.bench.machine import Machine

from .rows import Row, is_met

RESULTS = Path(__file__).parents[1] / "results"
# Shown with two, they are as printed: what had been rounded to three could be a hundredth off.
DIGITS = 6


@attrs.frozen
class Kept:
    """A row, as a file has it.

    Args:
        group, name: as `Row`.
        median, least, most: of its rounds; 0 where there are none.
        rounds: how many have a ratio.
        wide: whether it claims no more than its spread.
        bar, goal: what was held against it.
        of: the medians that it was made of, in words.
        at_least: whether the bar is what it has to reach instead.
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
        """Whether it is as good as its bar."""
        return self.bar is None or is_met(self.median, self.bar, self.at_least)

    @property
    def pair(self) -> tuple[float, float]:
        """The two medians that it was made of.

        Raises:
            ValueError: it was not made of two.
        """
        ours, of, theirs = self.of.split()[:3]
        if of != "of":
            raise ValueError(f"not two figures: {self.of}")
        return float(ours), float(theirs)


@attrs.frozen
class Results:
    """What a file tells.

    Args:
        date: of the run.
        machine: in words.
        rows: by group and name.
    """

    date: str
    machine: str
    rows: dict[tuple[str, str], Kept]


def write(rows: Sequence[Row], about: Machine, folder: Path = RESULTS) -> Path:
    """Keep the rows in a dated file; one a day, the last."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{date.today().isoformat()}.json"
    told = [_kept(row) for row in rows]
    lines = ",\n".join(_json(attrs.asdict(row)) for row in told)
    path.write_text(f'{{"machine": {_json(attrs.asdict(about))},\n"rows": [\n{lines}\n]}}\n')
    return path


def _kept(row: Row) -> Kept:
    ratios = row.ratios
    found = (row.median, min(ratios), max(ratios)) if ratios else (0.0, 0.0, 0.0)
    median, least, most = (round(each, DIGITS) for each in found)
    return Kept(
        row.group, row.name, median, least, most, len(ratios), row.wide, row.bar, row.goal,
        row.told, row.at_least,
    )  # fmt: skip


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def read(path: Path) -> Results:
    """Read such a file."""
    told = json.loads(path.read_text())
    # Before it was kept: of throughput more was better, and of nothing else.
    kept = [Kept(**{"at_least": row["name"].startswith("throughput"), **row})
            for row in told["rows"]]  # fmt: skip
    machine = Machine(**told["machine"])
    return Results(path.stem, machine.describe(), {(row.group, row.name): row for row in kept})


def newest(folder: Path = RESULTS) -> Path | None:
    """The file of the last day that has one."""
    return max(folder.glob("*.json"), default=None)
