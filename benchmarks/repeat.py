"""Run `make bench` three times, and compare the ratios.

A ratio is a claim if its medians lie within a tenth of each other. Otherwise it is printed with the
spread of all rounds.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import attrs

from .contenders import ROOT
from .reporting.results import KeptResults, newest, read
from .reporting.rows import at_least_one

AGREED = 0.10


@attrs.frozen
class Repeated:
    """One ratio of several runs.

    Args:
        group, name: the group of rows, and the compared operation.
        medians: the median of each run.
        least, most: the smallest and largest round of all runs.
    """

    group: str
    name: str
    medians: tuple[float, ...]
    least: float
    most: float

    @property
    def apart(self) -> float:
        """The spread of the medians, largest minus smallest, as a share of the smallest."""
        return max(self.medians) / min(self.medians) - 1 if min(self.medians) > 0 else float("inf")

    @property
    def agrees(self) -> bool:
        """Whether the ratio is a claim."""
        return self.apart <= AGREED

    def __str__(self) -> str:
        said = f"  {self.name:42}" + "".join(f"{each:8.3f}" for each in self.medians)
        said += f"  {self.apart:6.1%} apart"
        if self.agrees:
            return said
        return f"{said}: spread {self.least:.2f} to {self.most:.2f}, no claim"


def compare(runs: Sequence[KeptResults]) -> list[Repeated]:
    """Return the ratios that all runs have."""
    found: list[Repeated] = []
    for key in runs[0].rows:
        rows = [run.rows[key] for run in runs if key in run.rows and run.rows[key].rounds]
        if len(rows) == len(runs):
            medians = tuple(row.median for row in rows)
            least, most = min(row.least for row in rows), max(row.most for row in rows)
            found.append(Repeated(*key, medians, least, most))
    return found


def run(arguments: Sequence[str]) -> KeptResults:
    """Run `make bench` once, as a process."""
    with tempfile.TemporaryDirectory(prefix="okibi-repeat-") as folder:
        command = [sys.executable, "-m", "benchmarks", "--into", folder, *arguments]
        if code := subprocess.run(command, cwd=ROOT).returncode:
            # The process has printed the reason.
            sys.exit(code)
        kept = newest(Path(folder))
        assert kept is not None  # the run succeeded
        return read(kept)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks.repeat",
        description=__doc__,
        epilog="other options are passed to make bench",
    )
    parser.add_argument("--times", type=at_least_one, default=3)
    options, arguments = parser.parse_known_args()
    runs = [run(arguments) for _ in range(options.times)]
    found = compare(runs)
    print(f"\n{options.times} runs: their medians, and the distance between them")
    for group, of_it in groupby(found, lambda each: each.group):
        print("\n".join([group, *map(str, of_it)]))
    agreed = sum(each.agrees for each in found)
    print(f"{agreed} of {len(found)} ratios agree within {AGREED:.0%}")


if __name__ == "__main__":
    main()
