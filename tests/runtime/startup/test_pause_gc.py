"""During the import of the user's code, the garbage collector runs less often."""

import gc
from collections.abc import Iterator

import pytest

from okibi.runtime.startup.pause_gc import IMPORT_THRESHOLD, fewer_collections


@pytest.fixture(autouse=True)
def threshold() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.parametrize(
    ("before", "during"), [(700, IMPORT_THRESHOLD), (500_000, 500_000), (0, 0)]
)
def test_the_threshold_is_raised_until_the_block_ends(before: int, during: int) -> None:
    gc.set_threshold(before, 10, 10)

    with fewer_collections():
        assert gc.get_threshold()[0] == during

    assert gc.get_threshold()[0] == before


def test_a_failed_import_lowers_the_threshold() -> None:
    gc.set_threshold(700, 10, 10)

    with pytest.raises(ImportError), fewer_collections():
        raise ImportError

    assert gc.get_threshold()[0] == 700


def test_a_threshold_that_the_user_s_code_sets_stays() -> None:
    with fewer_collections():
        gc.set_threshold(50_000, 20, 20)

    assert gc.get_threshold()[0] == 50_000


def test_what_was_imported_is_not_looked_through_afterwards() -> None:
    gc.set_threshold(10_000, 10, 10)
    gc.collect()

    with fewer_collections():
        imported = [[each] for each in range(20_000)]
        before = gc.get_stats()[0]["collections"]
    later = [[each] for each in range(100)]

    assert gc.get_stats()[0]["collections"] == before
    assert (len(imported), len(later)) == (20_000, 100)
