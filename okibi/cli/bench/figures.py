"""From samples to figures: percentiles, medians of rounds with their spread, ratios.

A percentile is by nearest rank (the smallest sample that at least that share of all samples does
not exceed): it is always a time that was measured, never one between two. Where there are too few
samples for a share, so that the largest one would stand for it, there is no figure.

A figure is the median of the rounds' values, with the smallest and the largest. A ratio is taken in
each round, where both had the same machine, and is a figure like any other.
"""

import math
import statistics
from collections.abc import Sequence

import attrs

__all__ = ["Figure", "distribution", "figure", "needed", "percentile", "ratio", "remainder"]

# Shares of the samples that a drawn distribution has a point for: each percent, and the tail finer.
SHARES = (*(n / 100 for n in range(1, 100)), 0.995, 0.999, 0.9999)


@attrs.frozen
class Figure:
    """What was measured, of several rounds.

    Args:
        median, low, high: of the rounds.
    """

    median: float
    low: float
    high: float


def counted(count: int, what: str) -> str:
    """So many of what is named, in words."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def needed(share: float) -> int:
    """How many samples a percentile needs: so many that one lies past it; for a median one will do.

    >>> needed(0.5), needed(0.9), needed(0.99), needed(0.999)
    (1, 10, 100, 1000)
    """
    # In ten-thousandths: of 0.999 no float is quite the rest to 1.
    return 1 if share <= 0.5 else math.ceil(10_000 / (10_000 - round(share * 10_000)))


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The sample that this share of all samples does not exceed, or None where there are too few.

    Args:
        ordered: samples, the smallest first.
        share: more than 0, less than 1.

    >>> percentile([10.0, 20.0, 30.0, 40.0], 0.5)
    20.0
    >>> percentile([10.0, 20.0, 30.0, 40.0], 0.99) is None
    True
    """
    if len(ordered) < needed(share):
        return None
    return ordered[math.ceil(round(share * len(ordered), 6)) - 1]


def figure(values: Sequence[float | None]) -> Figure | None:
    """The median of the rounds' values with its spread; None where a round has none."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return Figure(statistics.median(known), min(known), max(known))


def remainder(values: Sequence[float | None]) -> Figure | None:
    """As `figure`, of what is left of a time; None where its median is not more than nothing.

    No time is less than nothing, whatever a difference in noise says.

    >>> remainder([-1.0, 2.0, 3.0])
    Figure(median=2.0, low=0.0, high=3.0)
    >>> remainder([-1.0, -2.0, 3.0]) is None
    True
    """
    found = figure(values)
    if found is None or found.median <= 0:
        return None
    return attrs.evolve(found, low=max(0.0, found.low))


def ratio(ours: Sequence[float | None], theirs: Sequence[float | None]) -> Figure | None:
    """Of each round's two values their ratio; None where one of them is missing, or 0.

    >>> ratio([1.0, 2.0, 9.0], [2.0, 4.0, 6.0])
    Figure(median=0.5, low=0.5, high=1.5)
    """
    return figure(
        [
            own / other if own is not None and other else None
            for own, other in zip(ours, theirs, strict=True)
        ]
    )


def distribution(rounds: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Points of the rounds' distribution: a share, and the time that it kept within; as a row's,
    the median of the rounds.
    """
    ordered = [sorted(samples) for samples in rounds]
    points = ((share, figure([percentile(each, share) for each in ordered])) for share in SHARES)
    return [(share, at.median) for share, at in points if at is not None]
