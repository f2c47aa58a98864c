"""What a crash costs is told by ratios, but for a time-out."""

from benchmarks.crashes import LIMIT, rows_of
from okibi.cli.bench.record import CrashTimes


def test_a_time_out_is_told_from_the_end_of_its_time_by_figures_alone() -> None:
    ours = CrashTimes(exception=2.0, exit=1.5, death=150.0, timeout=LIMIT * 1000 - 98)
    theirs = CrashTimes(exception=4.0, exit=50.0, death=50.0, timeout=LIMIT * 1000 + 32)

    rows = {row.name: (row.ratios, row.told) for row in rows_of([ours], [theirs])}

    assert rows == {
        "exception / awslambdaric": ((0.5,), "2.0 of 4.0 ms"),
        "exit / awslambdaric": ((0.03,), "1.5 of 50.0 ms"),
        "death / awslambdaric": ((3.0,), "150.0 of 50.0 ms"),
        "time-out, from 0.5 s to the next": ((), "okibi -98.0, awslambdaric 32.0 ms"),
    }
