"""What a row of ratios claims, and what it does not."""

import pytest

from benchmarks.reporting.rows import LAPS, Row, of_rounds, ratios


def row(*found: float, bar: float | None = None, at_least: bool = False) -> Row:
    return Row("overhead", "one / other", found, bar, at_least=at_least)


def test_round_by_round_one_is_divided_by_the_other() -> None:
    assert ratios([1.0, 4.0], [2.0, 2.0]) == (0.5, 2.0)
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


def test_of_a_round_the_median_of_its_laps_counts() -> None:
    assert LAPS == 5
    assert of_rounds([1, 9, 2, 3, 0, 4, 4, 4, 9, 9]) == (2, 4)


@pytest.mark.parametrize(
    ("found", "bar", "at_least", "met"),
    [
        ((0.5, 0.6, 0.9), 0.6, False, True),
        ((0.5, 0.61, 0.7), 0.6, False, False),
        # A difference that comes out below nothing is noise, and no figure.
        ((-0.1, -0.2, 0.3), 0.6, False, False),
        ((0.9, 1.0, 1.1), 1.0, True, True),
        ((0.9, 0.99, 1.1), 1.0, True, False),
        ((7.0,), None, False, True),
    ],
)
def test_the_median_is_held_against_the_bar(
    found: tuple[float, ...], bar: float | None, at_least: bool, met: bool
) -> None:
    made = row(*found, bar=bar, at_least=at_least)

    assert made.met is met
    assert ("MISSED" in str(made)) is not met


def test_the_rounds_are_told_with_as_many_digits_as_their_median() -> None:
    assert " 0.032  (0.025 to 0.036)" in str(row(0.025, 0.032, 0.036))


def test_where_a_ratio_would_say_nothing_the_figures_are_told_alone() -> None:
    made = Row("crashes", "time-out", (), told="okibi -98.0, awslambdaric 31.9 ms")

    assert str(made).split(maxsplit=1) == ["time-out", "okibi -98.0, awslambdaric 31.9 ms"]
    assert made.met


def test_what_lies_apart_by_more_than_a_tenth_is_marked() -> None:
    assert not row(0.60, 0.61, 0.62, 0.63, 0.9).wide
    assert row(0.50, 0.55, 0.62, 0.70, 0.75).wide
    assert row(0.6, 0.6).wide
    assert str(row(0.50, 0.55, 0.62, 0.70, 0.75)).endswith(", wide")
