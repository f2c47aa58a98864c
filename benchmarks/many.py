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

        def one(contender: Contender, asked: int) -> Figures:
            try:
                figures = measure(server, contender, asked, clients, slots, folder)
            except OSError as error:
                raise Absent(f"{contender.name} with {slots} slots: {error}") from None
            if figures.fault:
                raise Absent(f"{contender.name} with {slots} slots: {figures.fault}")
            return figures

        for each in CONTENDERS:
            one(each, 50)  # compiles what it imports
        for _ in range(rounds):
            for each, figures in found.items():
                figures.append(one(each, count))
    return found


def _print(title: str, found: Found) -> None:
    print(f"\n{title}")
    print(f"{'':52} CPU us: {'':27}asked")
    head = ("a second", "p50 ms", "p99 ms", "PSS MiB", "runtime", "server", "clients")
    print(f"{'':22}{''.join(f'{each:>10}' for each in head)}    again  processes")
    for each, figures in found.items():
        told = (
            statistics.median(one.throughput for one in figures),
            statistics.median(one.percentile(0.5) for one in figures),
            statistics.median(one.percentile(0.99) for one in figures),
            statistics.median(one.memory for one in figures) / 2**20,
            *(
                statistics.median(getattr(one, whose) for one in figures) * 1e6
                for whose in ("cpu", "server_cpu", "client_cpu")
            ),
        )
        asked_again = sum(one.refused for one in figures) / sum(one.asked for one in figures)
        row = "".join(f"{x:10.1f}" for x in told)
        print(f"  {each.name:20}{row} {asked_again:8.1%} {figures[-1].processes:10}")


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
