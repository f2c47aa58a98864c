"""The time from a failing event to the next good response, on the local Lambda.

For the official client every crash but an exception is a cold start; for okibi only the death of
the process is. A time-out is reported in milliseconds after the end of the event's time. A ratio
would depend on the time-out, and okibi answers before its end.
"""

import os
import statistics

import trio

from okibi.bench.crashes import measure_crashes
from okibi.bench.functions import CRASHING, FUNCTIONS
from okibi.bench.measured_runtime import OFFICIAL_CLIENT, start_command
from okibi.bench.results import CrashTimes
from okibi.bench.turns import measure_in_turn

from .contenders import Absent
from .reporting.rows import RatioRow, compare

OKIBI = start_command("okibi", CRASHING)
OFFICIAL = start_command(OFFICIAL_CLIENT, CRASHING)
# The time-out of an event, in seconds.
LIMIT = 0.5
WAYS = ("exception", "exit", "death")
PAST = f"time-out, from {LIMIT:g} s to the next"


def crashes(rounds: int) -> list[RatioRow]:
    """Measure both runtimes in turn.

    Raises:
        Absent: a runtime does not serve.
    """
    path = os.pathsep.join(filter(None, [str(FUNCTIONS), os.environ.get("PYTHONPATH")]))

    def measure(command: tuple[str, ...]) -> CrashTimes:
        try:
            return trio.run(measure_crashes, command, {"PYTHONPATH": path}, LIMIT)
        except RuntimeError as error:
            raise Absent(f"crashes of {' '.join(command[1:])}: {error}") from None

    found = measure_in_turn((OKIBI, OFFICIAL), rounds, measure)
    print("\na crash, until the next good answer, okibi's time and awslambdaric's")
    return rows_of(found[OKIBI], found[OFFICIAL])


def rows_of(ours: list[CrashTimes], theirs: list[CrashTimes]) -> list[RatioRow]:
    """Build a row per kind of crash. The row of the time-out has no ratio."""
    rows: list[RatioRow] = []
    for way in WAYS:
        pair = [[float(getattr(times, way)) for times in each] for each in (ours, theirs)]
        rows.append(compare("crashes", f"{way} / awslambdaric", pair, "ms"))
    own, other = ([times.timeout - LIMIT * 1000 for times in each] for each in (ours, theirs))
    told = f"okibi {statistics.median(own):.1f}, awslambdaric {statistics.median(other):.1f} ms"
    return [*rows, RatioRow("crashes", PAST, (), told=told)]
