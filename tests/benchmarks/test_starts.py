"""The cold start, timed to the first GET /next."""

import os
import sys

import pytest

from benchmarks.contenders import OFFICIAL, PLAIN, Absent, Contender
from benchmarks.starts import BARE, IMPORT_AND_ASK, TRIO, rows_of, to_first_next


@pytest.mark.parametrize("contender", [PLAIN, TRIO, BARE], ids=lambda c: c.name)
def test_a_start_is_timed_and_the_affinity_is_restored(contender: Contender) -> None:
    cores = os.sched_getaffinity(0)

    assert 10 < to_first_next(contender) < 20_000
    assert os.sched_getaffinity(0) == cores


def test_a_process_that_never_calls_next_is_absent() -> None:
    asks_for_nothing = IMPORT_AND_ASK.replace("invocation/next", "").replace("recv(1)", "close()")
    with pytest.raises(Absent, match="nobody did not call /next"):
        to_first_next(Contender("nobody", (sys.executable, "-P", "-c", asks_for_nothing)))


def test_a_start_has_two_readings_beyond_trio() -> None:
    rows = rows_of({PLAIN: [100.0], OFFICIAL: [25.0], TRIO: [80.0], BARE: [18.0]})

    assert {row.name: (row.median, row.told, row.met) for row in rows} == {
        "to the first GET /next / awslambdaric": (4.0, "100.0 of 25.0 ms", True),
        "less a process that imports trio / 40 ms": (0.5, "20.0 ms", True),
        "less trio's own import / 40 ms": (0.95, "38.0 ms", True),
    }
