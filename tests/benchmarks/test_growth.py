"""How a runtime's memory is held against what it was."""

import pytest

from benchmarks.contenders import ASYNC
from benchmarks.growth import grown, row_of


def test_memory_at_the_end_is_held_against_that_of_the_beginning() -> None:
    row = row_of("async def", [(20.0, 20.0), (20.6, 20.0), (20.5, 20.0)], (1.02, 1.0))

    assert row.median == 1.025
    assert not row.met
    assert row.told == "20.5 of 20.0 MiB"


@pytest.mark.slow
def test_both_figures_are_of_the_runtime_s_process_alone() -> None:
    last, first = grown(ASYNC, 5, 10)

    # The server's own would make it half as much again.
    assert 10 < first < 30
    assert 0.9 < last / first < 1.1
