"""A cold start is timed to the first GET /next, whoever starts; and what it imports is told."""

import os
import sys

import pytest

from benchmarks.contenders import OFFICIAL, PLAIN, Absent, Contender
from benchmarks.starts import BARE, IMPORT_AND_ASK, TRIO, rows_of, to_first_next


@pytest.mark.parametrize("contender", [PLAIN, TRIO, BARE], ids=lambda c: c.name)
def test_it_is_timed_and_this_process_has_its_cores_again(contender: Contender) -> None:
    cores = os.sched_getaffinity(0)

    assert 10 < to_first_next(contender) < 20_000
    assert os.sched_getaffinity(0) == cores


def test_one_that_ends_before_it_asks_is_said_to() -> None:
    asks_for_nothing = IMPORT_AND_ASK.replace("invocation/next", "").replace("recv(1)", "close()")
    with pytest.raises(Absent, match="nobody has not come to its first /next"):
        to_first_next(Contender("nobody", (sys.executable, "-P", "-c", asks_for_nothing)))


def test_a_start_is_told_less_a_whole_process_with_trio_and_less_the_import_alone() -> None:
    rows = rows_of({PLAIN: [100.0], OFFICIAL: [25.0], TRIO: [80.0], BARE: [18.0]})

    assert {row.name: (row.median, row.told, row.met) for row in rows} == {
        "to the first GET /next / awslambdaric": (4.0, "100.0 of 25.0 ms", True),
        "less a process that imports trio / 40 ms": (0.5, "20.0 ms", True),
        "less trio's own import / 40 ms": (0.95, "38.0 ms", True),
    }
