"""Percentiles, medians with their spread, and ratios."""

import pytest

from okibi.bench.figures import Figure, figure, percentile, ratio

HUNDRED = [float(n) for n in range(1, 101)]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.01, 1.0), (0.5, 50.0), (0.9, 90.0), (0.99, 99.0)]
)
def test_a_percentile_is_the_sample_of_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile(HUNDRED, share) == expected


@pytest.mark.parametrize(
    ("count", "share", "is_known"),
    [
        (0, 0.5, False),
        (1, 0.5, True),
        (9, 0.9, False),
        (10, 0.9, True),
        (99, 0.99, False),
        (100, 0.99, True),
        (999, 0.999, False),
        (1000, 0.999, True),
    ],
)
def test_a_percentile_of_too_few_samples_is_none(count: int, share: float, is_known: bool) -> None:
    assert (percentile([1.0] * count, share) is not None) is is_known


def test_a_figure_is_the_median_with_minimum_and_maximum() -> None:
    assert figure([9.0, 1.0, 2.0]) == Figure(2.0, 1.0, 9.0)


@pytest.mark.parametrize("values", [[], [None], [1.0, None]])
def test_a_round_without_a_value_gives_no_figure(values: list[float | None]) -> None:
    assert figure(values) is None


def test_a_ratio_is_computed_per_round_before_the_median() -> None:
    # The ratio of the medians would be 2 / 4.
    assert ratio([1.0, 2.0, 8.0], [10.0, 4.0, 4.0]) == Figure(0.5, 0.1, 2.0)
