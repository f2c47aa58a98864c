"""What a benchmark says: rows of ratios, each from one run on one machine, with what is held
against it.
"""

import argparse
import statistics
from collections.abc import Iterable, Sequence

import attrs

# Rounds of one run that lie further apart than this say nothing: the row is shown, and claims no
# more than its spread.
WIDE = 0.10
# Parts of a round, where its contenders can wait for each other. A machine that others use changes
# its speed within tenths of a second: the shorter a lap, the more alike it is for both of a pair.
LAPS = 5


@attrs.frozen
class Row:
    """One ratio.

    Args:
        group: what it belongs to.
        name: what is compared with what.
        ratios: of each round; the median counts. None where a ratio would say nothing, and `told`
            says all there is.
        bar: what the median may be at most; None where nothing is held against it.
        goal: what it is to be one day.
        told: the medians that it was made of, in words.
        at_least: whether the bar is what it has to reach instead.
    """

    group: str
    name: str
    ratios: tuple[float, ...]
    bar: float | None = None
    goal: float | None = None
    told: str = ""
    at_least: bool = False

    @property
    def median(self) -> float:
        """What counts."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        """Whether it is as good as the bar."""
        return self.bar is None or is_met(self.median, self.bar, self.at_least)

    @property
    def wide(self) -> bool:
        """Whether the middle half of its rounds lies too far apart to be told to the percent."""
        if len(self.ratios) < 3:
            return True
        low, _, high = statistics.quantiles(self.ratios, n=4, method="inclusive")
        return high - low > WIDE * abs(self.median)

    def __str__(self) -> str:
        if not self.ratios:
            return f"  {self.name:41} {self.told}"
        spread = f"({figure(min(self.ratios))} to {figure(max(self.ratios))})"
        said = f"  {self.name:41} {self.told:24} {figure(self.median, self.bar):>6}  {spread}"
        if self.bar is not None:
            said += f"  bar {self.bar:.2f}: {'met' if self.met else 'MISSED'}"
        if self.wide:
            said += ", wide"
        return said.rstrip()


def is_met(median: float, bar: float, at_least: bool) -> bool:
    """Whether a median is as good as its bar."""
    return median >= bar if at_least else 0 < median <= bar


def figure(ratio: float, bar: float | None = None) -> str:
    """A ratio with as many digits as it takes to see on which side of its bar it lies."""
    digits = 3 if ratio < 0.1 else 2
    if bar is not None and ratio != bar:
        while digits < 6 and f"{ratio:.{digits}f}" == f"{bar:.{digits}f}":
            digits += 1
    return f"{ratio:.{digits}f}"


def ratios(ours: Iterable[float], theirs: Iterable[float]) -> tuple[float, ...]:
    """Round by round, or lap by lap: what slows the machine down slows both."""
    return tuple(one / other for one, other in zip(ours, theirs, strict=True))


def of_rounds(laps: Sequence[float]) -> tuple[float, ...]:
    """Of each round the median of its laps."""
    return tuple(
        statistics.median(laps[first : first + LAPS]) for first in range(0, len(laps), LAPS)
    )


def at_least_one(text: str) -> int:
    """A number of rounds, events or lines, as it is given on a command line."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return int(text)
