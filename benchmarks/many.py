"""Many events at once (AWS_LAMBDA_MAX_CONCURRENCY): one process of okibi's beside one a slot.

A handler that waits 20 ms, on AWS's emulator where that can run (Linux, root), else on okibi's
local server; clients that keep asking, fewer than slots, as `make concurrent` has them, and as many
as slots, as `okibi bench --concurrency` keeps them. Beside them what one process can do at most:
trio, a loop of Python's, and a thread for each slot, each with nothing but sockets.

Memory is measured of each alone, since what several processes share is divided between them. Then
all are there, each with its server, and take turns, a second or less at a time: so far the machine
is the same for both of a pair.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from operator import attrgetter
from pathlib import Path

import attrs

from tests.runtime.concurrent import (
    OFFICIAL,
    OKIBI,
    PLAIN,
    Figures,
    Load,
    Server,
    lap,
    measure,
    serve_some,
    server_of,
)
from tests.runtime.managed import Contender, Managed

from .contenders import Absent
from .rows import LAPS, Row, of_rounds, ratios

SLOTS = {16: 14, 64: 56}
"""Clients by slots: fewer, so that most events find an idle slot. AWS's emulator refuses one that
finds none, and its client asks again. With a client for each slot more are refused, and the more
the later a runtime asks for its next event. The local server refuses few.
"""
LANES = ("-P", "-m", "benchmarks.peers.lanes")
BARE_TRIO = Contender("bare trio", (*LANES, "trio"), "waits_on_loop.handler")
BARE_LOOP = Contender("a bare loop", (*LANES, "loop"), "waits_on_loop.handler")
BARE_THREADS = Contender("bare threads", (*LANES, "threads"), "waits_in_thread.handler")
# They count time by Linux's timerfd, and wait by its epoll.
LOOPS = (BARE_TRIO, BARE_LOOP) if sys.platform == "linux" else ()
CONTENDERS = (OKIBI, OFFICIAL, PLAIN, *LOOPS)
WHERE_ALL_ARE_TAKEN = (*CONTENDERS, BARE_THREADS)
THROUGHPUT, MEMORY, TAIL = (1.0, 1.0), (0.4, 0.35), (1.2, 1.0)
# Runs of each alone; its memory is the same each time within some percent.
ALONE = 3
# Events of a lap for each slot, or the last clients' share of it is too large.
LAP = 25
Bars = tuple[float | None, float | None]
Turns = Callable[["Found"], Sequence[Figures]]


@attrs.frozen
class Found:
    """What was measured of one.

    Args:
        alone: its runs with nobody else there.
        laps: its turns, LAPS of them a round.
        taken: the same with a client for each slot.
    """

    alone: list[Figures] = attrs.field(factory=list[Figures])
    laps: list[Figures] = attrs.field(factory=list[Figures])
    taken: list[Figures] = attrs.field(factory=list[Figures])


def many(rounds: int, count: int) -> list[Row]:
    """All of them, at 16 and at 64 slots.

    Raises:
        Absent: one of them does not serve, or answers wrongly.
    """
    where, server = server_of("any")
    rows: list[Row] = []
    for slots, clients in SLOTS.items():
        found = _measured(server, rounds, count, clients, slots)
        told = f"a handler that waits 20 ms, on {where}"
        _print(f"{slots} slots, {clients} clients, {told}", found, attrgetter("laps"))
        _print(f"{slots} slots, {slots} clients, {told}; memory as above", found,
               attrgetter("taken"))  # fmt: skip
        rows += [*rows_of(slots, found), *rows_of_taken(slots, found)]
    return rows


def _measured(
    server: Server, rounds: int, count: int, clients: int, slots: int
) -> dict[Contender, Found]:
    found = {each: Found() for each in WHERE_ALL_ARE_TAKEN}
    with tempfile.TemporaryDirectory(prefix="okibi-many-") as temporary:
        folders = {each: Path(temporary, str(at)) for at, each in enumerate(WHERE_ALL_ARE_TAKEN)}
        for each, folder in folders.items():
            folder.mkdir()
            try:
                measure(server, each, 50, clients, slots, folder)  # compiles what it imports
                alone = [measure(server, each, count, clients, slots, folder) for _ in range(ALONE)]
            except OSError as error:
                raise Absent(f"{each.name} with {slots} slots: {error}") from None
            found[each].alone.extend(_right(each, slots, one) for one in alone)
        try:
            _take_turns(server, rounds, max(-(-count // LAPS), LAP * slots), clients, slots,
                        folders, found)  # fmt: skip
        except OSError as error:
            raise Absent(f"{slots} slots, all of them there: {error}") from None
    return found


def _take_turns(
    server: Server,
    rounds: int,
    count: int,
    clients: int,
    slots: int,
    folders: dict[Contender, Path],
    found: dict[Contender, Found],
) -> None:
    def turn(contender: Contender, at_once: int) -> Figures:
        managed = served[contender]
        # Awake before it counts.
        Load(managed.address, 2 * slots).run(at_once)
        return _right(contender, slots, lap(managed, count, at_once))

    with ExitStack() as there:
        served: dict[Contender, Managed] = {}
        for each, folder in folders.items():
            served[each] = there.enter_context(server(each, slots, folder))
            serve_some(served[each], clients, slots)
        for _ in range(rounds * LAPS):
            # Nobody has two turns in a row: whoever has just served is warm.
            for each in CONTENDERS:
                found[each].laps.append(turn(each, clients))
            for each in WHERE_ALL_ARE_TAKEN:
                found[each].taken.append(turn(each, slots))


def _right(contender: Contender, slots: int, figures: Figures) -> Figures:
    if figures.fault:
        raise Absent(f"{contender.name} with {slots} slots: {figures.fault}")
    return figures


def _print(title: str, found: dict[Contender, Found], turns: Turns) -> None:
    print(f"\n{title}")
    print(f"{'':52} CPU us: {'':27}asked")
    head = ("a second", "p50 ms", "p99 ms", "PSS MiB", "runtime", "server", "clients")
    print(f"{'':22}{''.join(f'{each:>10}' for each in head)}    again  processes")
    for each, its in found.items():
        laps = turns(its)
        if not laps:
            continue
        told = (
            statistics.median(one.throughput for one in laps),
            statistics.median(one.percentile(0.5) for one in laps),
            statistics.median(_tails(laps)),
            statistics.median(one.memory for one in its.alone) / 2**20,
            *(
                statistics.median(getattr(one, whose) for one in laps) * 1e6
                for whose in ("cpu", "server_cpu", "client_cpu")
            ),
        )
        asked_again = sum(one.refused for one in laps) / sum(one.asked for one in laps)
        row = "".join(f"{x:10.1f}" for x in told)
        print(f"  {each.name:20}{row} {asked_again:8.1%} {its.alone[-1].processes:10}")


def rows_of(slots: int, found: dict[Contender, Found]) -> list[Row]:
    """Throughput, memory and the tail of both of okibi's against the official client's; and the
    throughput of the floors. With fewer clients than slots.
    """
    group, rows = f"{slots} slots", list[Row]()
    for ours, name in ((OKIBI, "async def"), (PLAIN, "plain def")):
        throughput, tail = _speeds(group, name, found, ours, attrgetter("laps"))
        memory = [[one.memory / 2**20 for one in found[each].alone] for each in (ours, OFFICIAL)]
        rows += [throughput, _row(group, f"memory (PSS), {name}", memory, MEMORY, "MiB"), tail]
    return rows + _floors(group, found, attrgetter("laps"), LOOPS)


def rows_of_taken(slots: int, found: dict[Contender, Found]) -> list[Row]:
    """Throughput and tail again, with a client for each slot."""
    group, rows = f"{slots} slots, all taken", list[Row]()
    for ours, name in ((OKIBI, "async def"), (PLAIN, "plain def")):
        rows += _speeds(group, name, found, ours, attrgetter("taken"))
    return rows + _floors(group, found, attrgetter("taken"), (*LOOPS, BARE_THREADS))


def _speeds(
    group: str, name: str, found: dict[Contender, Found], contender: Contender, turns: Turns
) -> tuple[Row, Row]:
    ours, theirs = turns(found[contender]), turns(found[OFFICIAL])
    tails = [_tails(each) for each in (ours, theirs)]
    return (
        _throughput(group, name, ours, theirs, THROUGHPUT),
        _row(group, f"p99, {name}", tails, TAIL, "ms"),
    )


def _floors(
    group: str, found: dict[Contender, Found], turns: Turns, floors: Sequence[Contender]
) -> list[Row]:
    theirs, no = turns(found[OFFICIAL]), (None, None)
    return [_throughput(group, each.name, turns(found[each]), theirs, no) for each in floors]


def _tails(laps: Sequence[Figures]) -> list[float]:
    """The p99 of each round, in milliseconds."""
    return [
        Figures(latencies=[one for each in laps[at : at + LAPS] for one in each.latencies])
        .percentile(0.99)
        for at in range(0, len(laps), LAPS)
    ]  # fmt: skip


def _throughput(
    group: str, name: str, ours: Sequence[Figures], theirs: Sequence[Figures], bars: Bars
) -> Row:
    speeds = [[one.throughput for one in each] for each in (ours, theirs)]
    row = _row(group, f"throughput, {name}", speeds, bars, "a second", at_least=True)
    return attrs.evolve(row, ratios=of_rounds(row.ratios))


def _row(
    group: str, what: str, pair: Sequence[list[float]], bars: Bars, unit: str,
    at_least: bool = False,
) -> Row:  # fmt: skip
    ours, theirs = pair
    told = f"{statistics.median(ours):.1f} of {statistics.median(theirs):.1f} {unit}"
    return Row(group, f"{what} / awslambdaric", ratios(ours, theirs), *bars, told, at_least)
