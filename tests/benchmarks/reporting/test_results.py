"""Kept results, and what docs/performance.md shows of them."""

import re
from pathlib import Path

import attrs
import pytest

from benchmarks.reporting.performance_table import PAGE, ROWS, table, written
from benchmarks.reporting.plots import draw
from benchmarks.reporting.results import KeptResults, KeptRow, newest, read, write
from benchmarks.reporting.rows import RatioRow
from okibi.bench.machine import this_machine

KEPT = newest()


def cycle(*found: float) -> RatioRow:
    told = "6.0 of 10.0 us"
    return RatioRow("overhead, 20 B", "async def / awslambdaric", found, 0.6, 0.5, told)


def test_results_are_kept_in_a_dated_file_with_the_machine(tmp_path: Path) -> None:
    path = write([cycle(0.5, 0.6, 0.7)], this_machine(), tmp_path / "results")

    told = read(path)
    assert told.date == path.stem
    assert told.machine == this_machine().describe()
    (kept,) = told.rows.values()
    assert (kept.median, kept.least, kept.most, kept.rounds) == (0.6, 0.5, 0.7, 3)
    assert kept.pair == (6.0, 10.0)
    assert write([], this_machine(), tmp_path / "results") == path
    assert newest(tmp_path / "results") == path


def test_the_table_has_measured_rows_only_and_wide_rows_claim_nothing(
    tmp_path: Path,
) -> None:
    narrow = table(read(write([cycle(0.6, 0.6, 0.6)], this_machine(), tmp_path)))
    wide = table(read(write([cycle(0.3, 0.6, 0.9)], this_machine(), tmp_path)))

    assert "| a warm cycle, 20 B, `async def` | 0.60 | 0.60 to 0.60 | 0.60 |" in narrow
    assert "| (0.60) | 0.30 to 0.90, no claim | 0.60 |" in wide
    assert narrow.count("\n| ") == 2


def test_a_ratio_is_shown_as_printed(tmp_path: Path) -> None:
    row = cycle(0.3849, 0.3849, 0.3849)
    shown = table(read(write([row], this_machine(), tmp_path)))

    assert "| 0.38 | 0.38 to 0.38 |" in shown
    assert " 0.38  (0.38 to 0.38) " in str(row)


def test_a_ratio_near_its_bar_has_enough_digits_to_show_its_side(tmp_path: Path) -> None:
    (kept,) = read(write([cycle(0.602, 0.602, 0.602)], this_machine(), tmp_path)).rows.values()
    shown = table(KeptResults("", "", {(kept.group, kept.name): kept}))

    assert "| a warm cycle, 20 B, `async def` | 0.602 | 0.60 to 0.60 | 0.60 |" in shown


@pytest.mark.parametrize(
    ("median", "at_least", "shown"),
    [(0.59, False, ""), (0.61, False, " **missed** |"),
     (0.61, True, ""), (0.59, True, " **missed** |")],
)  # fmt: skip
def test_a_missed_bar_is_marked_also_if_it_is_a_minimum(
    tmp_path: Path, median: float, at_least: bool, shown: str
) -> None:
    row = attrs.evolve(cycle(median), at_least=at_least)

    assert f" | 0.60 |{shown}\n" in table(read(write([row], this_machine(), tmp_path)))


@pytest.mark.slow
def test_the_same_rows_give_the_same_picture(tmp_path: Path) -> None:
    (path,) = draw(read(write([cycle(0.5, 0.6, 0.7)], this_machine(), tmp_path)), tmp_path)
    first = path.read_text()
    draw(read(write([cycle(0.5, 0.6, 0.7)], this_machine(), tmp_path)), tmp_path)

    assert path.name == "overhead.svg"
    assert path.read_text() == first


def test_only_the_table_of_the_page_is_replaced() -> None:
    before = PAGE.read_text("utf-8")

    after = written(written(before, "|x|"), "|y|")
    assert "|y|" in after
    assert "|x|" not in after
    assert after.replace("|y|", "|z|") == written(before, "|z|")
    with pytest.raises(ValueError, match=r"docs/performance\.md has no"):
        written("nothing", "|x|")


@pytest.mark.skipif(KEPT is None, reason="no results are kept")
def test_the_page_shows_the_newest_results() -> None:
    assert KEPT is not None
    results = read(KEPT)

    assert table(results) in PAGE.read_text("utf-8")
    assert {(group, name) for _, group, name in ROWS} <= set(results.rows)
    assert all(isinstance(row, KeptRow) for row in results.rows.values())


TEXT = re.compile(r"<text[^>]*>([^<]+)</text>")


@pytest.mark.slow
@pytest.mark.skipif(KEPT is None, reason="no results are kept")
def test_the_pictures_match_the_newest_results(tmp_path: Path) -> None:
    assert KEPT is not None
    drawn = draw(read(KEPT), tmp_path)

    assert {path.name for path in drawn} == {path.name for path in KEPT.parent.glob("*.svg")}
    for path in drawn:
        # Another release of matplotlib may place the text differently.
        kept = (KEPT.parent / path.name).read_text()
        assert TEXT.findall(kept) == TEXT.findall(path.read_text()), path.name
