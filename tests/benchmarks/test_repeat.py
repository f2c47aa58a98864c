"""When the ratios of several runs are a claim."""

from pathlib import Path

import pytest

from benchmarks.repeat import compare
from benchmarks.reporting.results import Results, read, write
from benchmarks.reporting.rows import Row
from okibi.cli.bench.machine import this_machine


def kept(folder: Path, **medians: float) -> Results:
    rows = [Row("group", name, (0.9 * it, it, 1.1 * it)) for name, it in medians.items()]
    return read(write(rows, this_machine(), folder))


@pytest.mark.parametrize(
    ("medians", "agrees"),
    [((1.0, 1.05, 1.09), True), ((1.09, 1.0, 1.05), True), ((1.0, 1.0, 1.11), False)],
)
def test_medians_within_a_tenth_of_the_smallest_agree(
    tmp_path: Path, medians: tuple[float, ...], agrees: bool
) -> None:
    (found,) = compare([kept(tmp_path, one=it) for it in medians])

    assert found.agrees is agrees
    assert ("no claim" in str(found)) is not agrees


def test_the_spread_is_that_of_all_rounds(tmp_path: Path) -> None:
    (found,) = compare([kept(tmp_path, one=1.0), kept(tmp_path, one=2.0)])

    assert str(found).endswith("100.0% apart: spread 0.90 to 2.20, no claim")


def test_a_ratio_that_one_run_lacks_is_not_compared(tmp_path: Path) -> None:
    runs = [kept(tmp_path, one=1.0, two=1.0), kept(tmp_path, one=1.0)]

    assert [each.name for each in compare(runs)] == ["one"]


def test_a_row_without_a_ratio_is_not_compared(tmp_path: Path) -> None:
    rows = [Row("group", "one", (1.0,)), Row("group", "time-out", (), told="okibi -98.0 ms")]
    run = read(write(rows, this_machine(), tmp_path))

    assert [each.name for each in compare([run, run])] == ["one"]


def test_a_difference_below_nothing_agrees_with_nothing(tmp_path: Path) -> None:
    (found,) = compare([kept(tmp_path, one=-0.1), kept(tmp_path, one=-0.1)])

    assert not found.agrees
