"""The overhead of an invocation: an echo, fed as fast as it answers."""

import json
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import attrs

from okibi.bench.machine import this_machine

from .contenders import (
    ASYNC,
    BARE_TASKS,
    FLOOR,
    FLOOR_AWAKE,
    FLOOR_JSON,
    H11,
    HTTPX,
    OFFICIAL,
    ON_ASYNCIO,
    PARKED,
    PLAIN,
    PURE,
    ROOT,
    STATEFUL,
    STREAMED,
    TYPED,
    Absent,
    Contender,
    Run,
    check_installed,
    floor_in_c,
    node,
    run,
    running,
)
from .reporting.rows import LAPS, NO_BARS, Bars, RatioRow, compare

Laps = dict[Contender, list[Run]]
COLUMNS = ("cycle_us", "mean_us", "answer_us", "cpu_us", "server_us")


@attrs.frozen
class EventSize:
    """Events of one size.

    Args:
        name: the name in tables.
        payload: the event.
        share: the number of events per run, as a share of the number of small events.
        bars: bar and goal for a cycle's ratio to the official client's.
    """

    name: str
    payload: str
    share: float = 1.0
    bars: tuple[float, float] = (0.60, 0.50)


GATEWAY = ROOT / "examples" / "events" / "rest_api.json"
"""An event of API Gateway: many small texts."""
SMALL = (
    EventSize("20 B", '{"message": "hello"}'),
    EventSize("2.6 KB", json.dumps(json.loads(GATEWAY.read_bytes()))),
)
LARGE = (
    EventSize("100 KB", json.dumps({"body": "x" * 100_000}), 0.1, (0.60, 0.50)),
    EventSize("6 MB", json.dumps({"body": "x" * 6_000_000}), 0.007, (0.4, 0.3)),
)
BETWEEN = EventSize("1 MB", json.dumps({"body": "x" * 1_000_000}), 0.02, (0.5, 0.4))


def take_turns(contenders: Sequence[Contender], size: EventSize, rounds: int, count: int) -> Laps:
    """Let contenders take turns (A B C A B C ...) in laps of a fraction of a second.

    Each round starts new processes. All of them run; those without a lap wait.
    """
    count = max(10, int(count * size.share))
    lap = -(-count // LAPS)
    found: Laps = {contender: [] for contender in contenders}
    for _ in range(rounds):
        with ExitStack() as stack:
            there = [stack.enter_context(running(each, size.payload)) for each in contenders]
            for one in there:
                # The next contenders start meanwhile.
                one.lap(1, max(5, count // 6))
            for _ in range(LAPS):
                for one in there:
                    found[one.contender].append(one.lap(lap, max(1, lap // 10)))
    return found


def print_medians(size: EventSize, found: Laps) -> None:
    """Print each contender's figures, and the server's share of a cycle."""
    print(
        f"\nevent of {size.name:9} us a cycle,        mean   event to answer"
        "      CPU  the server's CPU"
    )
    for contender, runs in found.items():
        cycle, mean, answer, cpu, server = (statistics.median(r[c] for r in runs) for c in COLUMNS)
        print(
            f"  {contender.name:22}{cycle:8.1f} {mean:11.1f} {answer:17.1f} {cpu:8.1f}"
            f" {server:8.1f}, {server / mean:.0%} of the mean"
        )


def print_server(found: Laps) -> None:
    """Print the server's share of the figures above."""
    told = ", ".join(
        f"{statistics.median(r['server_us'] / r['mean_us'] for r in found[each]):.0%} of {name}"
        for each, name in ((ASYNC, "okibi's"), (OFFICIAL, "awslambdaric's"), (FLOOR, "the floor's"))
    )
    print(describe_server(told, this_machine().cores))


def describe_server(told: str, cores: int) -> str:
    """Describe the server and its share of a mean cycle."""
    where = "its own core" if cores > 1 else "the runtime's core, the only one"
    return (
        f"the server: one blocking socket in Python with prepared responses, on {where}.\n"
        f"  Its CPU is {told} mean cycle. The rest is\n"
        "  the runtime's, and the kernel's for wake-ups: two a cycle if a runtime answers and\n"
        "  asks in one write, otherwise four."
    )


Figure = tuple[Contender, str]
"""A contender, and the name of one of its figures."""


def row(
    size: EventSize,
    found: Laps,
    pair: tuple[Figure, Figure],
    name: str,
    bars: Bars = NO_BARS,
) -> RatioRow:
    """Compare two figures."""
    both = [[r[column] for r in found[contender]] for contender, column in pair]
    return compare(f"overhead, {size.name}", name, both, "us", bars, laps=True)


def cycle(
    size: EventSize, found: Laps, ours: Contender, theirs: Contender, name: str,
    bars: Bars = NO_BARS,
) -> RatioRow:  # fmt: skip
    """Compare two cycles."""
    return row(size, found, ((ours, "cycle_us"), (theirs, "cycle_us")), name, bars)


ANSWER, CPU, AGAINST_FLOOR = (0.85, 0.75), (0.85, 0.7), (1.55, 1.35)


def against_official(size: EventSize, found: Laps) -> list[RatioRow]:
    """Build the rows that every small size has."""
    of = {
        what: (((ASYNC, what), (OFFICIAL, what)), ((PLAIN, what), (OFFICIAL, what)))
        for what in ("answer_us", "cpu_us")
    }
    return [
        cycle(size, found, ASYNC, OFFICIAL, "async def / awslambdaric", size.bars),
        cycle(size, found, PLAIN, OFFICIAL, "plain def / awslambdaric", size.bars),
        cycle(size, found, TYPED, OFFICIAL, "Handler / awslambdaric"),
        row(size, found, of["cpu_us"][0], "CPU, async def / awslambdaric", CPU),
        row(size, found, of["cpu_us"][1], "CPU, plain def / awslambdaric", CPU),
        row(size, found, of["answer_us"][0], "event to answer, async / awslambdaric", ANSWER),
        row(size, found, of["answer_us"][1], "event to answer, plain / awslambdaric", ANSWER),
        cycle(size, found, ASYNC, FLOOR, "async def / floor", AGAINST_FLOOR),
        cycle(size, found, PLAIN, FLOOR, "plain def / floor", AGAINST_FLOOR),
        cycle(size, found, FLOOR, OFFICIAL, "floor / awslambdaric"),
    ]


def of_handlers(size: EventSize, found: Laps) -> list[RatioRow]:
    """Build the rows of the smallest size only: other handlers, and four hops in bare trio."""
    first = ((STREAMED, "first_us"), (PLAIN, "answer_us"))
    loops = ((ON_ASYNCIO, "cpu_us"), (ASYNC, "cpu_us"))
    return [
        cycle(size, found, BARE_TASKS, FLOOR, "four bare trio tasks / floor"),
        cycle(size, found, ASYNC, BARE_TASKS, "async def / four bare trio tasks"),
        row(size, found, first, "a stream's first byte / plain's answer", (2.0, 1.0)),
        cycle(size, found, STREAMED, OFFICIAL, "streamed / awslambdaric, unstreamed"),
        cycle(size, found, STATEFUL, OFFICIAL, "calls an actor / awslambdaric"),
        cycle(size, found, STATEFUL, ASYNC, "calls an actor / async def"),
        row(size, found, loops, "CPU, async def on asyncio / on trio", (1.75, 1.5)),
    ]


def of_json(size: EventSize, found: Laps) -> list[RatioRow]:
    """Build the rows that show JSON's share above the floor."""
    return [
        cycle(size, found, FLOOR_JSON, FLOOR, "a bare socket and JSON / floor"),
        cycle(size, found, ASYNC, FLOOR_JSON, "async def / a bare socket and JSON"),
        cycle(size, found, PLAIN, FLOOR_JSON, "plain def / a bare socket and JSON"),
    ]


def small(rounds: int, count: int) -> list[RatioRow]:
    """Measure small events, compared with the official client and the floor."""
    rows: list[RatioRow] = []
    for size in SMALL:
        contenders = [OFFICIAL, ASYNC, PLAIN, TYPED, FLOOR]
        more = [BARE_TASKS, STREAMED, STATEFUL, ON_ASYNCIO] if size is SMALL[0] else [FLOOR_JSON]
        found = take_turns(contenders + more, size, rounds, count)
        print_medians(size, found)
        rows += against_official(size, found)
        if size is SMALL[0]:
            print_server(found)
            rows += of_handlers(size, found)
        else:
            rows += of_json(size, found)
    return rows


def awake(rounds: int, count: int) -> list[RatioRow]:
    """Measure the gain of the busy wait, and of a floor that does not sleep."""
    rows: list[RatioRow] = []
    for size in SMALL:
        found = take_turns([OFFICIAL, ASYNC, PARKED, FLOOR, FLOOR_AWAKE], size, rounds, count)
        print_medians(size, found)
        cpu = ((ASYNC, "cpu_us"), (PARKED, "cpu_us"))
        rows += [
            cycle(size, found, PARKED, OFFICIAL, "no busy wait / awslambdaric"),
            cycle(size, found, PARKED, FLOOR, "no busy wait / floor"),
            cycle(size, found, ASYNC, PARKED, "async def / no busy wait"),
            row(size, found, cpu, "CPU, async def / no busy wait"),
            cycle(size, found, FLOOR_AWAKE, FLOOR, "a floor that does not sleep / floor"),
            cycle(size, found, ASYNC, FLOOR_AWAKE, "async def / a floor that does not sleep"),
        ]
    return rows


def large(rounds: int, count: int, sizes: Sequence[EventSize] = LARGE) -> list[RatioRow]:
    """Measure large events, where copying and decoding dominate."""
    rows: list[RatioRow] = []
    for size in sizes:
        found = take_turns((OFFICIAL, ASYNC, PLAIN, FLOOR), size, rounds, count)
        print_medians(size, found)
        rows += [
            cycle(size, found, ASYNC, OFFICIAL, "async def / awslambdaric", size.bars),
            cycle(size, found, PLAIN, OFFICIAL, "plain def / awslambdaric", size.bars),
            cycle(size, found, FLOOR, OFFICIAL, "floor / awslambdaric"),
        ]
    return rows


def handlers(rounds: int, count: int) -> list[RatioRow]:
    """Measure typed handlers, streams and a handler that calls an actor, at the larger sizes."""
    rows: list[RatioRow] = []
    for size in (SMALL[1], LARGE[0], BETWEEN, LARGE[1]):
        typed = () if size in SMALL else (TYPED,)
        found = take_turns((OFFICIAL, *typed, STREAMED, STATEFUL), size, rounds, count)
        print_medians(size, found)
        rows += [cycle(size, found, each, OFFICIAL, "Handler / awslambdaric") for each in typed]
        rows += [
            cycle(size, found, STREAMED, OFFICIAL, "streamed / awslambdaric, unstreamed"),
            cycle(size, found, STATEFUL, OFFICIAL, "calls an actor / awslambdaric"),
        ]
    return rows


def peers(rounds: int, count: int) -> list[RatioRow]:
    """Compare with other ways to serve the same event, as far as they are installed."""
    there: list[Contender] = [ASYNC]
    ways: tuple[Callable[[], Contender], ...] = (
        floor_in_c, _pure, node, lambda: H11, lambda: HTTPX,
    )  # fmt: skip
    size = SMALL[0]
    for way in ways:
        try:
            contender = way()
            run(contender, size.payload, 20, 5)
        except Absent as why:
            print(f"  {why}")
            continue
        there.append(contender)
    found = take_turns(there, attrs.evolve(size, share=0.5), rounds, count)
    print_medians(size, found)
    return [cycle(size, found, ASYNC, each, f"async def / {each.name}") for each in there[1:]]


def _pure() -> Contender:
    check_installed("pure_lambda_ric", "make bench-full installs it")
    return PURE
