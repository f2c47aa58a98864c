"""What a crash costs: from the bad event's start to the next good answer, on the local Lambda.

Of the official client all but the first are a cold start, of okibi the death of the process.
"""

import os
import statistics
import sys

import trio

from runtime.cli.bench.crashes import crash_times
from runtime.cli.bench.functions import CRASHING, FUNCTIONS
from runtime.cli.bench.record import CrashTimes

from .contenders import Absent
from .rows import Row, ratios

OKIBI = (sys.executable, "-P", "-m", "runtime")
OFFICIAL = (sys.executable, "-m", "awslambdaric", CRASHING)
# Seconds that an event has whose time runs out.
LIMIT = 0.5
WAYS = ("exception", "exit", "death", "timeout")


def crashes(rounds: int) -> list[Row]:
    """Both in turn.

    Raises:
        Absent: one of them does not serve.
    """
    found: dict[tuple[str, ...], list[CrashTimes]] = {OKIBI: [], OFFICIAL: []}
    path = os.pathsep.join(filter(None, [str(FUNCTIONS), os.environ.get("PYTHONPATH")]))
    for _ in range(rounds):
        for command, times in found.items():
            try:
                times.append(trio.run(crash_times, command, {"PYTHONPATH": path}, LIMIT))
            except (RuntimeError, trio.TooSlowError) as error:
                raise Absent(f"crashes of {' '.join(command[1:])}: {error}") from None
    rows: list[Row] = []
    print(f"\na crash, until the next good answer, ms (a time-out of {LIMIT:g} s)")
    for way in WAYS:
        ours, theirs = ([float(getattr(t, way)) for t in found[c]] for c in (OKIBI, OFFICIAL))
        told = f"{statistics.median(ours):.1f} of {statistics.median(theirs):.1f} ms"
        rows.append(Row("crashes", f"{way} / awslambdaric", ratios(ours, theirs), told=told))
        print(f"  {way:22}okibi {statistics.median(ours):8.1f}   awslambdaric "
              f"{statistics.median(theirs):8.1f}")  # fmt: skip
    return rows
