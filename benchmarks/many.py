"""Many events at once (AWS_LAMBDA_MAX_CONCURRENCY): one process of okibi's beside one a slot.

A handler that waits 20 ms, on AWS's emulator where that can run (Linux, root), else on okibi's
local server; fewer clients than slots, which keep asking. It is what `make concurrent` measures, at
both ends.
"""

import statistics
import tempfile
from pathlib import Path

from tests.runtime.concurrent import OFFICIAL, OKIBI, PLAIN, Figures, Server, measure, server_of
from tests.runtime.managed import Contender

from .contenders import Absent
from .rows import Row, ratios

SLOTS = {16: 14, 64: 56}
"""Clients by slots."""
CONTENDERS = (OKIBI, OFFICIAL, PLAIN)
THROUGHPUT, MEMORY, TAIL = (1.0, 1.0), (0.4, 0.35), (1.2, 1.0)
Found = dict[Contender, list[Figures]]


def many(rounds: int, count: int) -> list[Row]:
    """Both in turn, at 16 and at 64 slots.

    Raises:
        Absent: one of them does not serve, or answers wrongly.
    """
    where, server = server_of("any")
    rows: list[Row] = []
    for slots, clients in SLOTS.items():
        found = _take_turns(server, rounds, count, clients, slots)
        _print(f"{slots} slots, {clients} clients, a handler that waits 20 ms, on {where}", found)
        rows += rows_of(slots, found)
    return rows


def _take_turns(server: Server, rounds: int, count: int, clients: int, slots: int) -> Found:
    found: Found = {each: [] for each in CONTENDERS}
    with tempfile.TemporaryDirectory(prefix="okibi-many-") as temporary:
        folder = Path(temporary)
        for each in CONTENDERS:
            # Compiles what it imports.
            measure(server, each, 50, clients, slots, folder)
        for _ in range(rounds):
            for each, figures in found.items():
                try:
                    one = measure(server, each, count, clients, slots, folder)
                except TimeoutError as error:
                    raise Absent(f"{each.name}: {error}") from None
                if one.fault:
                    raise Absent(f"{each.name}: {one.fault}")
                figures.append(one)
    return found


def _print(title: str, found: Found) -> None:
    print(f"\n{title}")
    print(f"{'':22}  a second    p50 ms    p99 ms   PSS MiB  processes")
    for each, figures in found.items():
        told = (
            statistics.median(one.throughput for one in figures),
            statistics.median(one.percentile(0.5) for one in figures),
            statistics.median(one.percentile(0.99) for one in figures),
            statistics.median(one.memory for one in figures) / 2**20,
        )
        print(f"  {each.name:20}{''.join(f'{x:10.1f}' for x in told)} {figures[-1].processes:10}")


def rows_of(slots: int, found: Found) -> list[Row]:
    """Throughput, memory and the tail of both of okibi's against the official client's."""
    rows: list[Row] = []
    theirs = found[OFFICIAL]
    for ours, name in ((found[OKIBI], "async def"), (found[PLAIN], "plain def")):
        speeds = [[one.throughput for one in each] for each in (ours, theirs)]
        memory = [[one.memory / 2**20 for one in each] for each in (ours, theirs)]
        tails = [[one.percentile(0.99) for one in each] for each in (ours, theirs)]
        rows += [
            _row(slots, f"throughput, {name}", speeds, THROUGHPUT, "a second", at_least=True),
            _row(slots, f"memory (PSS), {name}", memory, MEMORY, "MiB"),
            _row(slots, f"p99, {name}", tails, TAIL, "ms"),
        ]
    return rows


def _row(
    slots: int, what: str, pair: list[list[float]], bars: tuple[float, float], unit: str,
    at_least: bool = False,
) -> Row:  # fmt: skip
    ours, theirs = pair
    told = f"{statistics.median(ours):.1f} of {statistics.median(theirs):.1f} {unit}"
    return Row(
        f"{slots} slots", f"{what} / awslambdaric", ratios(ours, theirs), *bars, told, at_least
    )
