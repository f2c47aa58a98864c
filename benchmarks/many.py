"""Many events at once (AWS_LAMBDA_MAX_CONCURRENCY): one okibi process, compared with a process per
slot.

The handler waits 20 ms. The server is AWS's emulator where that can run (Linux, root), otherwise
okibi's local server. The clients ask without pause. There are fewer clients than slots, as in `make
concurrent`, or one per slot, as in `okibi bench --concurrency`. The floors show what one process
can do with nothing but sockets: trio, a loop in Python, and a thread per slot.

Memory is measured with one contender alone, because PSS divides shared pages. For throughput all
contenders run, each with its server, and take turns of at most a second: the machine is then the
same for both of a pair.
"""

import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import attrs

from tests.endurance.concurrent import (
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
from tests.endurance.managed import ManagedContender, RunningContender

from .contenders import Absent
from .reporting.rows import LAPS, NO_BARS, Bars, RatioRow, compare

SLOTS = {16: 14, 64: 56}
"""Clients by slots. With fewer clients than slots, most events find an idle slot. AWS's emulator
refuses an event that finds none, and the client asks again. With a client per slot more events are
refused, the more the later a runtime asks for its next event. The local server refuses few.
"""
LANES = ("-P", "-m", "benchmarks.peers.lanes")
BARE_TRIO = ManagedContender("bare trio", (*LANES, "trio"), "waits_on_loop.handler")
BARE_LOOP = ManagedContender("a bare loop", (*LANES, "loop"), "waits_on_loop.handler")
BARE_THREADS = ManagedContender("bare threads", (*LANES, "threads"), "waits_in_thread.handler")
# These loops need Linux's timerfd and epoll.
LOOPS = (BARE_TRIO, BARE_LOOP) if sys.platform == "linux" else ()
CONTENDERS = (OKIBI, OFFICIAL, PLAIN, *LOOPS)
WHERE_ALL_ARE_TAKEN = (*CONTENDERS, BARE_THREADS)
THROUGHPUT, MEMORY, TAIL = (1.0, 1.0), (0.4, 0.35), (1.2, 1.0)
# Runs with one contender alone. Its memory varies by a few percent only.
ALONE = 3
# Events per lap and slot. With fewer, the last clients' share of a lap is too large.
LAP = 25
Run = dict[ManagedContender, "Measured"]


@attrs.frozen
class Measured:
    """The figures of one contender.

    Args:
        alone: runs without other contenders.
        laps: laps in turn with others, LAPS per round.
    """

    alone: list[Figures] = attrs.field(factory=list[Figures])
    laps: list[Figures] = attrs.field(factory=list[Figures])

    def tails(self) -> list[float]:
        """Return the p99 of each round, in milliseconds."""
        return [
            Figures(latencies=[one for each in self.laps[at : at + LAPS] for one in each.latencies])
            .percentile(0.99)
            for at in range(0, len(self.laps), LAPS)
        ]  # fmt: skip


def many(rounds: int, count: int) -> list[RatioRow]:
    """Measure all contenders at 16 and at 64 slots.

    Raises:
        Absent: a contender does not serve, or answers wrongly.
    """
    where, server = server_of("any")
    rows: list[RatioRow] = []
    for slots, clients in SLOTS.items():
        found, taken = _measure_slots(server, rounds, count, clients, slots)
        told = f"a handler that waits 20 ms, on {where}"
        _print(f"{slots} slots, {clients} clients, {told}", found)
        _print(f"{slots} slots, {slots} clients, {told}; memory with {clients}", taken)
        rows += [*rows_of(slots, found), *rows_alone(slots, found), *rows_of_taken(slots, taken)]
    return rows


def _measure_slots(
    server: Server, rounds: int, count: int, clients: int, slots: int
) -> tuple[Run, Run]:
    """Measure with `clients` clients, and with one per slot. Both share the runs alone."""
    taken = {each: Measured() for each in WHERE_ALL_ARE_TAKEN}
    found = {each: Measured(taken[each].alone) for each in CONTENDERS}
    with tempfile.TemporaryDirectory(prefix="okibi-many-") as temporary:
        folders = {each: Path(temporary, str(at)) for at, each in enumerate(taken)}
        for each, folder in folders.items():
            folder.mkdir()
            try:
                measure(server, each, 50, clients, slots, folder)  # compiles the imports
                alone = [measure(server, each, count, clients, slots, folder) for _ in range(ALONE)]
            except OSError as error:
                raise Absent(f"{each.name} with {slots} slots: {error}") from None
            taken[each].alone.extend(_check(each, slots, one) for one in alone)
        try:
            _take_turns(server, rounds, max(-(-count // LAPS), LAP * slots), slots, folders,
                        {clients: found, slots: taken})  # fmt: skip
        except OSError as error:
            raise Absent(f"{slots} slots, all contenders running: {error}") from None
    return found, taken


def _take_turns(
    server: Server,
    rounds: int,
    count: int,
    slots: int,
    folders: dict[ManagedContender, Path],
    by_clients: dict[int, Run],
) -> None:
    with ExitStack() as there:
        served: dict[ManagedContender, RunningContender] = {}
        for each, folder in folders.items():
            served[each] = there.enter_context(server(each, slots, folder))
            serve_some(served[each], min(by_clients), slots)
        # No contender has two turns in a row: it would still be warm.
        turns = [
            (clients, each, its.laps)
            for clients, run in by_clients.items()
            for each, its in run.items()
        ]
        for _ in range(rounds * LAPS):
            for clients, each, laps in turns:
                # Warm up.
                Load(served[each].address, 2 * slots).run(clients)
                laps.append(_check(each, slots, lap(served[each], count, clients)))


def _check(contender: ManagedContender, slots: int, figures: Figures) -> Figures:
    if figures.fault:
        raise Absent(f"{contender.name} with {slots} slots: {figures.fault}")
    return figures


def _print(title: str, found: Run) -> None:
    print(f"\n{title}")
    print(f"{'':52} CPU us: {'':27}asked")
    head = ("a second", "p50 ms", "p99 ms", "PSS MiB", "runtime", "server", "clients")
    print(f"{'':22}{''.join(f'{each:>10}' for each in head)}    again  processes")
    for each, its in found.items():
        told = (
            statistics.median(one.throughput for one in its.laps),
            statistics.median(one.percentile(0.5) for one in its.laps),
            statistics.median(its.tails()),
            statistics.median(one.memory for one in its.alone) / 2**20,
            *(
                statistics.median(getattr(one, whose) for one in its.laps) * 1e6
                for whose in ("cpu", "server_cpu", "client_cpu")
            ),
        )
        asked_again = sum(one.refused for one in its.laps) / sum(one.asked for one in its.laps)
        row = "".join(f"{x:10.1f}" for x in told)
        print(f"  {each.name:20}{row} {asked_again:8.1%} {its.alone[-1].processes:10}")


def rows_of(slots: int, found: Run) -> list[RatioRow]:
    """Build the rows for fewer clients than slots: throughput, memory, p99, and the floors."""
    group, rows, theirs = f"{slots} slots", list[RatioRow](), found[OFFICIAL]
    for ours, name in ((found[OKIBI], "async def"), (found[PLAIN], "plain def")):
        memory = [[one.memory / 2**20 for one in each.alone] for each in (ours, theirs)]
        rows += [
            _throughput(group, name, ours, theirs, THROUGHPUT),
            compare(group, f"memory (PSS), {name} / awslambdaric", memory, "MiB", MEMORY),
            _tail(group, name, ours, theirs),
        ]
    return rows + _floors(group, found)


def rows_alone(slots: int, found: Run) -> list[RatioRow]:
    """Build the rows of memory as in a sandbox.

    PSS divides pages shared on the machine, and okibi shares more with the benchmark's own
    processes.
    """
    theirs = found[OFFICIAL].alone
    return [
        compare(f"{slots} slots", f"memory alone, {name} / awslambdaric",
                [[one.memory_alone / 2**20 for one in each] for each in (ours, theirs)], "MiB")
        for ours, name in ((found[OKIBI].alone, "async def"), (found[PLAIN].alone, "plain def"))
        if all(one.memory_alone for one in (*ours, *theirs))
    ]  # fmt: skip


def rows_of_taken(slots: int, taken: Run) -> list[RatioRow]:
    """Build the rows for a client per slot: throughput and p99."""
    group, rows, theirs = f"{slots} slots, all taken", list[RatioRow](), taken[OFFICIAL]
    for ours, name in ((taken[OKIBI], "async def"), (taken[PLAIN], "plain def")):
        rows += [
            _throughput(group, name, ours, theirs, THROUGHPUT),
            _tail(group, name, ours, theirs),
        ]
    return rows + _floors(group, taken)


def _floors(group: str, run: Run) -> list[RatioRow]:
    return [
        _throughput(group, each.name, its, run[OFFICIAL], NO_BARS)
        for each, its in run.items()
        if each not in (OKIBI, OFFICIAL, PLAIN)
    ]


def _tail(group: str, name: str, ours: Measured, theirs: Measured) -> RatioRow:
    tails = [each.tails() for each in (ours, theirs)]
    return compare(group, f"p99, {name} / awslambdaric", tails, "ms", TAIL)


def _throughput(group: str, name: str, ours: Measured, theirs: Measured, bars: Bars) -> RatioRow:
    speeds = [[one.throughput for one in each.laps] for each in (ours, theirs)]
    what = f"throughput, {name} / awslambdaric"
    return compare(group, what, speeds, "a second", bars, laps=True, at_least=True)
