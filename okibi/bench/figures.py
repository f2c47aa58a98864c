"""Compute figures from samples: percentiles, medians of rounds with their spread, ratios.

Percentiles use the nearest rank: a percentile is always a measured sample, never an interpolation.
With too few samples, where the largest sample would stand for the percentile, there is none.

A figure is the median of the rounds' values, with the smallest and the largest value. A ratio is
computed for each round, in which both runtimes had the same machine; then it is a figure too.
"""

import math
import statistics
from collections.abc import Sequence

import attrs

# The points of a plotted distribution: each percent, and a finer tail.
SHARES = (*(n / 100 for n in range(1, 100)), 0.995, 0.999, 0.9999)


@attrs.frozen
class Figure:
    """A measured value of several rounds.

    Args:
        median, low, high: median, minimum and maximum of the rounds.
    """

    median: float
    low: float
    high: float


def pluralize(count: int, noun: str) -> str:
    """Return a count with its noun: `1 round`, `3 rounds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def samples_needed(share: float) -> int:
    """Return how many samples a percentile needs: one sample must lie above it; a median needs 1.

    >>> samples_needed(0.5), samples_needed(0.9), samples_needed(0.99), samples_needed(0.999)
    (1, 10, 100, 1000)
    """
    # Integer arithmetic in ten-thousandths, because 1 - 0.999 is not exact.
    return 1 if share <= 0.5 else math.ceil(10_000 / (10_000 - round(share * 10_000)))


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return the percentile of sorted samples, or None if there are too few.

    Args:
        ordered: the samples in ascending order.
        share: the share of samples that do not exceed the percentile: > 0 and < 1.

    >>> percentile([10.0, 20.0, 30.0, 40.0], 0.5)
    20.0
    >>> percentile([10.0, 20.0, 30.0, 40.0], 0.99) is None
    True
    """
    if len(ordered) < samples_needed(share):
        return None
    return ordered[math.ceil(round(share * len(ordered), 6)) - 1]


def figure(values: Sequence[float | None]) -> Figure | None:
    """Return the median of the rounds' values and their spread; None if a round has no value."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return Figure(statistics.median(known), min(known), max(known))


def difference_figure(values: Sequence[float | None]) -> Figure | None:
    """Like `figure`, for differences of times: clamp `low` to 0; None if the median is <= 0.

    Noise can make such a difference negative.

    >>> difference_figure([-1.0, 2.0, 3.0])
    Figure(median=2.0, low=0.0, high=3.0)
    >>> difference_figure([-1.0, -2.0, 3.0]) is None
    True
    """
    found = figure(values)
    if found is None or found.median <= 0:
        return None
    return attrs.evolve(found, low=max(0.0, found.low))


def ratio(ours: Sequence[float | None], theirs: Sequence[float | None]) -> Figure | None:
    """Return the ratio of each round's two values; None if a value is missing, or a divisor is 0.

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
    """Return the points of a distribution: a share, and the median of the rounds' percentiles."""
    ordered = [sorted(samples) for samples in rounds]
    points = ((share, figure([percentile(each, share) for each in ordered])) for share in SHARES)
    return [(share, at.median) for share, at in points if at is not None]
