"""When the ratios of several runs are a claim."""

from pathlib import Path

import pytest

from benchmarks.repeat import compare
from benchmarks.reporting.results import KeptResults, read, write
from benchmarks.reporting.rows import RatioRow
from okibi.bench.machine import this_machine


def kept(folder: Path, **medians: float) -> KeptResults:
    rows = [RatioRow("group", name, (0.9 * it, it, 1.1 * it)) for name, it in medians.items()]
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
