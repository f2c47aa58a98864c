"""Rows of ratios: medians, bars and spreads."""

import pytest

from benchmarks.reporting.rows import LAPS, RatioRow, of_rounds, ratios


def row(*found: float, bar: float | None = None, at_least: bool = False) -> RatioRow:
    return RatioRow("overhead", "one / other", found, bar, at_least=at_least)


def test_ratios_are_divided_round_by_round() -> None:
    assert ratios([1.0, 4.0], [2.0, 2.0]) == (0.5, 2.0)
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


def test_the_median_lap_counts_in_a_round() -> None:
    assert LAPS == 5
    assert of_rounds([1, 9, 2, 3, 0, 4, 4, 4, 9, 9]) == (2, 4)


@pytest.mark.parametrize(
    ("found", "bar", "at_least", "met"),
    [
        ((0.5, 0.6, 0.9), 0.6, False, True),
        ((0.5, 0.61, 0.7), 0.6, False, False),
        # A difference below zero is noise.
        ((-0.1, -0.2, 0.3), 0.6, False, False),
        ((0.9, 1.0, 1.1), 1.0, True, True),
        ((0.9, 0.99, 1.1), 1.0, True, False),
        ((7.0,), None, False, True),
    ],
)
def test_the_median_is_compared_with_the_bar(
    found: tuple[float, ...], bar: float | None, at_least: bool, met: bool
) -> None:
    made = row(*found, bar=bar, at_least=at_least)

    assert made.met is met
    assert ("MISSED" in str(made)) is not met


def test_the_spread_has_as_many_digits_as_the_median() -> None:
    assert " 0.032  (0.025 to 0.036)" in str(row(0.025, 0.032, 0.036))


def test_a_row_without_ratios_prints_its_figures() -> None:
    made = RatioRow("crashes", "time-out", (), told="okibi -98.0, awslambdaric 31.9 ms")

    assert str(made).split(maxsplit=1) == ["time-out", "okibi -98.0, awslambdaric 31.9 ms"]
    assert made.met


def test_a_spread_above_a_tenth_is_marked_wide() -> None:
    assert not row(0.60, 0.61, 0.62, 0.63, 0.9).wide
    assert row(0.50, 0.55, 0.62, 0.70, 0.75).wide
    assert row(0.6, 0.6).wide
    assert str(row(0.50, 0.55, 0.62, 0.70, 0.75)).endswith(", wide")
