"""Kill any actor at any step: the engine, and `python -m tests.endurance.sweep` for its full size.

The whole production tree runs against a platform in memory (`support.memory_platform`). Every task
step is counted, and actors are killed at chosen steps (`support.killer`); a run is a point.
`support.judge` checks the run.

Scheduling is seeded: a failed point fails again.
"""

import contextlib
import itertools
import logging
import math
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import trio
import trio.testing

from okibi.actors.start import spawn, wait_started
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.handlers.function import Function
from okibi.runtime.handlers.handler import Handler
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.settings import Settings
from okibi.runtime.tree import ServedFunction, build_tree
from okibi.supervisors import Supervisor
from tests.support.judge import Result, judge
from tests.support.killer import Killer
from tests.support.memory_platform import (
    ALL,
    Echo,
    NoWatchdog,
    Point,
    RecordingLedger,
    Stream,
    World,
)

KINDS = ("poller", "dispatcher", "worker", "responder")
# Seconds after which a run hangs.
LIMIT = 600.0

Judge = Callable[[Any, Any, RecordingLedger], Result]


def run(
    point: Point,
    killer: Killer | None = None,
    world: Callable[[Point], World] = World,
    handler: type[Handler[dict[str, int]]] | None = None,
    judge: Judge = judge,
) -> Result:
    """Run one point. `wrong` lists every violation."""
    killer = killer or Killer(point)
    handler = handler or (Stream if point.streams else Echo)
    random_of_trio().seed(point.seed)
    clock = trio.testing.MockClock(autojump_threshold=0)
    try:
        # Deadlines are wall-clock times; real time must not influence the run.
        with patch.object(time, "time", clock.current_time):
            seen = trio.run(_main, killer, world, handler, clock=clock, instruments=[killer])
    except BaseException as error:
        return Result(killer.steps, Counter(), (f"the run raised {error!r}",))
    return judge(killer, *seen)


def random_of_trio() -> random.Random:
    """Return trio's random number generator, which orders its tasks."""
    scheduler: Any = trio._core._run
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    source: random.Random = scheduler._r
    return source


async def _main(
    killer: Killer, make_world: Callable[[Point], World], handler: type[Handler[dict[str, int]]]
) -> tuple[World, RecordingLedger]:
    point = killer.point
    world = make_world(point)
    lanes = [Lane(n, b"api", point.pipelined) for n in range(point.lanes)]

    def fail(why: str) -> None:
        world.failures.append(why)
        for lane in lanes:
            lane.stop_asking()
        world.done.set()

    ledger = RecordingLedger(lanes, fail, NoWatchdog())
    settings = Settings("api:80", "app.handler", ".")
    serving = ServedFunction(Function(handler), settings, ledger, DeadlineInterrupt())
    flags = build_tree(serving, world.connect, world.registration)
    async with trio.open_nursery() as nursery:
        root = spawn(
            nursery, partial(Supervisor, flags), path="/function", grace=math.inf, supervised=True
        )
        async with trio.open_nursery() as beside:
            world.begin(beside, ledger)
            await wait_started(root, math.inf)
            killer.root, killer.ledger = root, ledger
            with trio.move_on_after(LIMIT) as limit:
                await world.done.wait()
                await trio.sleep(0 if world.failures else world.rest)
            killer.root = None
            if limit.cancelled_caught:
                world.failures.append("it hangs")
            beside.cancel_scope.cancel()
        root.stop()
        await root.wait_dead()
    return world, ledger


def points(every: int, seed: int = 1) -> Iterator[Point]:
    """Yield each `every`-th point of a sweep."""
    numbers = random.Random(seed)
    shapes = [
        *itertools.product((1, 3), (7, 11, 40, ALL), (True, False), (False,)),
        *itertools.product((1, 3), (11, ALL), (True, False), (True,)),
    ]
    counter = itertools.count()
    for lanes, piece, pipelined, streams in shapes:
        whole = run(Point(lanes, piece, pipelined, (), seed, streams))
        assert not whole.wrong, whole.wrong
        for step, kind in itertools.product(range(1, whole.steps + 1), KINDS):
            first = (step, kind)
            pairs = [(first, (step + numbers.randint(1, 6), other)) for other in KINDS]
            for kills in ((first,), numbers.choice(pairs), numbers.choice(pairs)):
                if next(counter) % every == 0:
                    chosen = numbers.randint(0, 1 << 20)
                    yield Point(lanes, piece, pipelined, kills, chosen, streams)


def sweep(every: int, seed: int = 1) -> tuple[Counter[str], list[str]]:
    """Run a sweep; return counts, and a line per failed point."""
    counts: Counter[str] = Counter()
    failures: list[str] = []
    for point in points(every, seed):
        result = run(point)
        counts["points"] += 1
        counts[f"{len(point.kills)} killed"] += 1
        counts["of streams"] += point.streams
        counts["results lost with their worker"] += result.lost.total()
        failures += [f"{point}: {wrong}" for wrong in result.wrong]
    return counts, failures


def main() -> int:
    every = int(os.environ.get("OKIBI_SWEEP_EVERY", "1"))
    began = time.perf_counter()
    # The errors of handlers are written to standard output, as in a function.
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        counts, failures = sweep(every)
    print(", ".join(f"{count} {what}" for what, count in counts.items()), end="; ")
    print(f"{len(failures)} wrong; {time.perf_counter() - began:.0f} s")
    print("\n".join(failures[:20]))
    return 1 if failures else 0


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main())
