"""A benchmark's rows: ratios of one run on one machine, with their bars."""

import argparse
import statistics
from collections.abc import Iterable, Sequence

import attrs

# With a larger spread, a row claims nothing beyond its spread.
WIDE = 0.10
# Laps per round. A shared machine changes its speed within tenths of a second, so short laps are
# fair to both contenders.
LAPS = 5
Bars = tuple[float | None, float | None]
"""The bar and the goal of a row, each as in `RatioRow`."""
NO_BARS: Bars = (None, None)


@attrs.frozen
class RatioRow:
    """One ratio.

    Args:
        group: the group of rows.
        name: the compared operation.
        ratios: the ratio of each round; the median counts. Empty if only `told` is meaningful.
        bar: the maximum of the median, or None.
        goal: the aim for the future, or None.
        told: the medians of both sides, as text.
        at_least: whether the bar is a minimum.
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
        """The median of the rounds."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool:
        """Whether the median meets the bar."""
        return self.bar is None or is_met(self.median, self.bar, self.at_least)

    @property
    def wide(self) -> bool:
        """Whether the middle half of the rounds is further apart than WIDE."""
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
    """Whether a median meets its bar."""
    return median >= bar if at_least else 0 < median <= bar


def figure(ratio: float, bar: float | None = None) -> str:
    """Format a ratio with enough digits to see on which side of its bar it lies."""
    digits = 3 if ratio < 0.1 else 2
    if bar is not None and ratio != bar:
        while digits < 6 and f"{ratio:.{digits}f}" == f"{bar:.{digits}f}":
            digits += 1
    return f"{ratio:.{digits}f}"


def ratios(ours: Iterable[float], theirs: Iterable[float]) -> tuple[float, ...]:
    """Divide round by round, or lap by lap: a slow machine slows both."""
    return tuple(one / other for one, other in zip(ours, theirs, strict=True))


def compare(
    group: str,
    name: str,
    pair: Sequence[Sequence[float]],
    unit: str,
    bars: Bars = NO_BARS,
    *,
    laps: bool = False,
    digits: int = 1,
    at_least: bool = False,
) -> RatioRow:
    """Build the row that compares two figures.

    Args:
        group, name: the group of rows, and the compared operation.
        pair: the values of both sides, one per round or lap.
        unit: the unit of the values.
        bars: the bar and the goal.
        laps: whether there is a value per lap; then the median lap of each round counts.
        digits: decimal places of the printed medians.
        at_least: whether the bar is a minimum.
    """
    ours, theirs = pair
    told = f"{statistics.median(ours):.{digits}f} of {statistics.median(theirs):.{digits}f} {unit}"
    found = ratios(ours, theirs)
    return RatioRow(group, name, of_rounds(found) if laps else found, *bars, told, at_least)


def of_rounds(laps: Sequence[float]) -> tuple[float, ...]:
    """Return the median of the laps of each round."""
    return tuple(
        statistics.median(laps[first : first + LAPS]) for first in range(0, len(laps), LAPS)
    )


def at_least_one(text: str) -> int:
    """Parse a positive integer of a command line."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got {text}")
    return int(text)
