"""What an invocation costs beside the handler's own work: an echo, fed as fast as it answers."""

import json
import statistics
from collections.abc import Callable, Sequence

import attrs

from .contenders import (
    ASYNC,
    FLOOR,
    H11,
    HTTPX,
    OFFICIAL,
    PLAIN,
    PURE,
    TYPED,
    Absent,
    Contender,
    Run,
    floor_in_c,
    installed,
    run,
)
from .rows import Row, ratios

Rounds = dict[Contender, list[Run]]
COLUMNS = ("cycle_us", "answer_us", "cpu_us", "server_us")


@attrs.frozen
class Size:
    """Events of one size.

    Args:
        name: of it.
        payload: the event.
        share: of the rounds and of the events of a run that the small ones have.
        bars: what a cycle may be of the official client's, at most, and what it is to be one day.
    """

    name: str
    payload: str
    share: float = 1.0
    bars: tuple[float, float] = (0.60, 0.50)


SMALL = (
    Size("20 B", '{"message": "hello"}'),
    Size("2.6 KB", json.dumps({"body": "x" * 2600})),
)
LARGE = (
    Size("100 KB", json.dumps({"body": "x" * 100_000}), 0.25, (0.60, 0.50)),
    Size("1 MB", json.dumps({"body": "x" * 1_000_000}), 0.05, (0.5, 0.4)),
    Size("6 MB", json.dumps({"body": "x" * 6_000_000}), 0.01, (0.4, 0.3)),
)


def take_turns(contenders: Sequence[Contender], size: Size, rounds: int, count: int) -> Rounds:
    """A B C A B C ...: a machine that slows down slows all of them."""
    count = max(10, int(count * size.share))
    found: Rounds = {contender: [] for contender in contenders}
    for _ in range(max(3, int(rounds * max(size.share, 0.4)))):
        for contender in contenders:
            found[contender].append(run(contender, size.payload, count, max(5, count // 6)))
    return found


def print_medians(size: Size, found: Rounds) -> None:
    """Each contender's figures, and what share of a cycle is the server's work."""
    print(f"\nevent of {size.name:10} us a cycle   event to answer       CPU   the server's share")
    for contender, runs in found.items():
        cycle, answer, cpu, server = (statistics.median(r[c] for r in runs) for c in COLUMNS)
        print(
            f"  {contender.name:22}{cycle:10.1f} {answer:16.1f} {cpu:10.1f}"
            f" {server / cycle:12.0%} of a cycle"
        )


def row(
    size: Size,
    found: Rounds,
    pair: tuple[Contender, Contender],
    column: str,
    name: str,
    bars: tuple[float, float] | None,
) -> Row:
    """One contender against another, by one of their figures."""
    ours, theirs = ([r[column] for r in found[each]] for each in pair)
    told = f"{statistics.median(ours):.1f} of {statistics.median(theirs):.1f} us"
    bar, goal = bars or (None, None)
    made = ratios(ours, theirs)
    return Row(f"overhead, {size.name}", name, made, bar, goal, told)


def small(rounds: int, count: int) -> list[Row]:
    """The warm overhead of small events, against the official client and the floor."""
    rows: list[Row] = []
    for size in SMALL:
        found = take_turns((OFFICIAL, ASYNC, PLAIN, TYPED, FLOOR), size, rounds, count)
        print_medians(size, found)
        rows += [
            row(size, found, (ASYNC, OFFICIAL), "cycle_us", "async def / awslambdaric", size.bars),
            row(size, found, (PLAIN, OFFICIAL), "cycle_us", "plain def / awslambdaric", size.bars),
            row(size, found, (TYPED, OFFICIAL), "cycle_us", "Handler / awslambdaric", None),
            row(size, found, (ASYNC, OFFICIAL), "cpu_us", "CPU, async def", (0.85, 0.7)),
            row(
                size, found, (ASYNC, OFFICIAL), "answer_us", "event to answer, async", (0.85, 0.75)
            ),
            row(
                size, found, (PLAIN, OFFICIAL), "answer_us", "event to answer, plain", (0.85, 0.75)
            ),
            row(size, found, (ASYNC, FLOOR), "cycle_us", "async def / floor", (1.55, 1.35)),
            row(size, found, (PLAIN, FLOOR), "cycle_us", "plain def / floor", (1.55, 1.35)),
        ]
    return rows


def large(rounds: int, count: int) -> list[Row]:
    """The same with large events, where what is copied and decoded counts."""
    rows: list[Row] = []
    for size in LARGE:
        found = take_turns((OFFICIAL, ASYNC, PLAIN, FLOOR), size, rounds, count)
        print_medians(size, found)
        rows += [
            row(size, found, (each, OFFICIAL), "cycle_us", f"{name} / awslambdaric", size.bars)
            for each, name in ((ASYNC, "async def"), (PLAIN, "plain def"))
        ]
    return rows


def peers(rounds: int, count: int) -> list[Row]:
    """Other ways to serve the same event: what is there of them."""
    there: list[Contender] = [ASYNC]
    ways: tuple[Callable[[], Contender], ...] = (floor_in_c, _pure, lambda: H11, lambda: HTTPX)
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
    return [row(size, found, (ASYNC, each), "cycle_us", f"async def / {each.name}", None)
            for each in there[1:]]  # fmt: skip


def _pure() -> Contender:
    installed("pure_lambda_ric", "make bench-full installs it")
    return PURE
