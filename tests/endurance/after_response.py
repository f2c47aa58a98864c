"""Kill actors at any step of an event with follow-ups: `python -m tests.endurance.after_response`.

The handlers register functions with `Context.after_response`: functions that return, raise, wait,
cancel their instance, run past the deadline, or hang in a shield past it. One lane: each actor is
killed at each step. Sixteen lanes: up to four actors are killed at random steps. Tree and checks
are those of `endurance.sweep`. In addition, a function begins after its event is answered, at most
once, and exactly once if its worker was not killed; log and caller are still those of its event.

This is a part of `make sweep` and `make kills`. A seed determines a run.
"""

import contextlib
import io
import itertools
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import attrs
import trio

from okibi.runtime.handlers.context import Context
from okibi.runtime.logs.invocation_context import invocation
from tests.endurance.kills import MARGIN, WatchedWorld
from tests.endurance.sweep import KINDS, run
from tests.support.judge import Result
from tests.support.judge import judge as judge_events
from tests.support.killer import Killer
from tests.support.memory_platform import ALL, Echo, Point, RecordingLedger

LANES = (1, 16)
PIECES = (7, ALL)
# What a function does, by the number of its event.
DOES = ("nothing", "returns", "raises", "waits", "cancels", "is late", "registers", "hangs")
ROUNDS = {1: 1, 16: 6}
# Seconds: the time-out of an event whose function runs past it, and how long a function hangs then.
SHORT, BEYOND, PAUSE = 1.0, 0.2, 0.01
TAKES = {"waits": PAUSE, "is late": SHORT - MARGIN, "hangs": SHORT - MARGIN / 2}


def does(number: int) -> str:
    """Return what the function of an event does."""
    return DOES[number % len(DOES)]


@attrs.define(eq=False)
class Following(Echo):
    """Registers a function, then answers or raises as `Echo` does."""

    world: ClassVar["FollowUpWorld"]

    async def handle(self, event: dict[str, int], context: Context) -> object:
        number = event["n"]
        if does(number) != "nothing":
            context.after_response(self.follow, number, context)
        return await super().handle(event, context)

    async def follow(self, number: int, context: Context, depth: int = 0) -> None:
        """Run after the response."""
        self.world.note_begin(number, context.aws_request_id, depth)
        await trio.lowlevel.checkpoint()
        match does(number):
            case "raises":
                raise ValueError(f"the function of {number}")
            case "waits":
                await trio.sleep(PAUSE)
            case "cancels":
                self.nursery.cancel_scope.cancel()
            case "is late":
                await trio.sleep_forever()
            case "registers" if depth == 0:
                context.after_response(self.follow, number, context, 1)
            case "hangs":
                with trio.CancelScope(shield=True):
                    await trio.sleep(SHORT + BEYOND)
            case _:
                pass
        await trio.lowlevel.checkpoint()


@attrs.define(eq=False)
class FollowUpWorld(WatchedWorld):
    """The events of a run, each for the next free lane; notes the functions that begin."""

    begun: Counter[tuple[int, int]] = attrs.field(factory=Counter[tuple[int, int]], init=False)
    wrong: list[str] = attrs.field(factory=list[str], init=False)
    shortest = SHORT

    def __attrs_post_init__(self) -> None:
        Following.world = self
        count = events_of(self.point)
        self._serve([iter(range(count))] * self.point.lanes, count)

    def note_begin(self, number: int, request_id: str, depth: int) -> None:
        """Note that a function of an event begins."""
        self.begun[number, depth] += 1
        mine = next(each for each in self.invocations if each.request_id == request_id)
        if mine.outcome is None:
            self.wrong.append(f"the function of {number} began before the answer")
        if invocation().request_id != request_id or not invocation().alive:
            self.wrong.append(f"the function of {number} ran for {invocation()!r}")

    def timeout(self, number: int) -> float:
        return SHORT if does(number) in ("is late", "hangs") else super().timeout(number)

    def takes(self, number: int) -> float:
        return TAKES.get(does(number), 0.0)


def events_of(point: Point) -> int:
    """Return the number of events of a run."""
    return len(DOES) * ROUNDS[point.lanes]


def judge(killer: Killer, world: FollowUpWorld, ledger: RecordingLedger) -> Result:
    """Check a run that has ended: its events, and the functions after their responses."""
    result = judge_events(killer, world, ledger)
    wrong = [*result.wrong, *world.wrong]
    numbers = {each.request_id: json.loads(each.payload)["n"] for each in world.invocations}
    for delivery in ledger.deliveries:
        number = numbers[delivery.request_id]
        worker = delivery.worker.process() if delivery.worker is not None else None
        spared = worker not in killer.killed
        for depth in range({"nothing": 0, "registers": 2}.get(does(number), 1)):
            times = world.begun[number, depth]
            if times > 1 or (spared and times == 0):
                wrong.append(f"function {depth} of {number} began {times} times")
    return Result(result.steps, result.lost, tuple(wrong))


def run_point(point: Point) -> Result:
    """Run one point."""
    return run(point, Killer(point), FollowUpWorld, Following, judge)


def points(every: int, runs: int, seed: int) -> Iterator[Point]:
    """Yield each `every`-th point of one lane, and random points of sixteen lanes."""
    numbers = random.Random(seed)
    counter = itertools.count()
    for piece, pipelined in itertools.product(PIECES, (True, False)):
        whole = run_point(Point(1, piece, pipelined, (), seed))
        assert not whole.wrong, whole.wrong
        for step, kind in itertools.product(range(1, whole.steps + 1), KINDS):
            if next(counter) % every == 0:
                yield Point(1, piece, pipelined, ((step, kind),), numbers.randint(0, 1 << 20))
    steps = run_point(Point(16, ALL, True, (), seed)).steps
    for _ in range(runs):
        kills = [
            (numbers.randint(1, steps), numbers.choice(KINDS)) for _ in range(numbers.randint(1, 4))
        ]
        shape = 16, numbers.choice(PIECES), numbers.random() < 0.7
        yield Point(*shape, tuple(sorted(kills)), numbers.randint(0, 1 << 20))


def sweep(every: int, runs: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Run the points; return counts, and a line per violation."""
    counts, failures = Counter[str](), list[str]()
    for point in points(every, runs, seed):
        result = run_point(point)
        counts["points"] += 1
        counts[f"events, {point.lanes} at once"] += events_of(point)
        counts["results lost with their worker"] += result.lost.total()
        failures += [f"{point}: {wrong}" for wrong in result.wrong]
    return counts, failures


def main() -> int:
    every, runs, seed = (*map(int, sys.argv[1:]), *(1, 250, int(time.time()))[len(sys.argv) - 1 :])
    began = time.perf_counter()
    # The functions' log would hide the figures.
    with contextlib.redirect_stdout(io.StringIO()):
        counts, failures = sweep(every, runs, seed)
    print(f"seed {seed}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    print(f"{len(failures)} wrong; {time.perf_counter() - began:.0f} s")
    print("\n".join(failures[:20]))
    return 1 if failures else 0


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main())
