"""Random kills, seeded: `python -m tests.runtime.kills [RUNS [SEED]]`, or `make kills`.

Where room `sweep` goes through every step with one kill or two, a run here serves 20 events, one
or eight at once, of handlers that answer, raise and wait, while up to six of the tree are killed
at random steps: poller, dispatcher, worker, responder, clock, extension, or one of the supervisors
with all below it. The tree, the platform and the verdict are the sweep's.

No supervisor's intensity is exceeded: what comes then is the end of the process, of which others
tell. A run is its seed: one that failed fails again.
"""

import contextlib
import functools
import io
import logging
import random
import sys
import time
from collections import Counter

import attrs
import trio

from actors.process import Phase, Process
from runtime.context import Context
from runtime.extension import NAME, Registration
from runtime.local.connection import Connection
from runtime.local.exchange import Exchange
from runtime.local.journal import Journal
from runtime.tree import INTENSITY
from runtime.wire import register_request
from tests.runtime.sweep import (
    ALL,
    Echo,
    Killer,
    MemoryTransport,
    Point,
    Result,
    World,
    living,
    run,
)

EVENTS = 20
LAMBDA = "/function/lambda"
LANES = (1, 8)
PIECES = (7, 40, ALL)
# As often as a fault is likely to be there; the supervisors now and then.
KINDS = (
    *("poller", "dispatcher", "worker", "responder") * 4,
    *("clock", "extension") * 2,
    *("workers", "responders", "pollers", "lambda"),
)


@attrs.define(eq=False)
class Mixed(Echo):
    """Answers, raises, or waits before it does either."""

    async def handle(self, event: dict[str, int], context: Context) -> object:
        if event["n"] % 5 >= 3:
            await trio.sleep(0.01 * (event["n"] % 4))
        return await super().handle(event, context)


@attrs.define(eq=False)
class Busy(World):
    """The events of a run, each to the next lane that is free, and a platform for the extension."""

    def __attrs_post_init__(self) -> None:
        self._left = EVENTS
        numbers = iter(range(EVENTS))
        for lane in range(self.point.lanes):
            ended = functools.partial(self._ended, lane, numbers)
            exchange = Exchange(trio.current_time, time.time, self.journal, on_end=ended)
            self._exchanges.append(exchange)
            self._offer(lane, numbers)
        transport = MemoryTransport(ALL)
        apart = Exchange(trio.current_time, time.time, Journal())
        transport.connection = Connection(apart, "arn", transport.deliver)
        self.registration = Registration(b"api")
        self.registration.connected(transport)
        transport.send(memoryview(register_request(b"api", NAME)))


@attrs.define(eq=False)
class RandomKiller(Killer):
    """Kills whoever bears a name, or one of those who bear it with a number."""

    counts: Counter[str] = attrs.field(factory=Counter[str], init=False)

    def _kill(self, root: Process, kind: str) -> None:
        above = {below: each for each in living(root) for below in living(each)[1:]}
        names = [(process.path.rsplit("/", 1)[-1], process) for process in living(root)]
        found = [p for name, p in names if name == kind or name.rpartition("-")[0] == kind]
        if found:
            victim = found[(self.point.seed + self.steps) % len(found)]
            fallen = victim
            while victim.phase is Phase.STARTING and above[fallen].phase is Phase.STARTING:
                # A supervisor whose start fails stops those that it has started.
                fallen = above[fallen]
            if fallen.path == LAMBDA and victim is not fallen:
                # It would be the end of the process: the one above restarts this one once.
                self.counts["spared"] += 1
                return
            # Of a supervisor all below it are cut.
            self.killed += living(fallen)
            self.counts[kind] += 1
            victim.kill()


@functools.cache
def _steps(lanes: int, piece: int, pipelined: bool) -> int:
    """About how many steps a run of this shape has."""
    return run(Point(lanes, piece, pipelined, (), 0), world=Busy, handler=Mixed).steps


def point(seed: int) -> Point:
    """The run that a seed stands for."""
    numbers = random.Random(seed)
    shape = numbers.choice(LANES), numbers.choice(PIECES), numbers.random() < 0.7
    kinds = [numbers.choice(KINDS) for _ in range(numbers.randint(1, INTENSITY + 1))]
    # The one above `lambda` restarts it once.
    spared = [k for n, k in enumerate(kinds) if k != "lambda" or k not in kinds[:n]]
    # And `lambda` each of those below it as often as this.
    spared = spared[: INTENSITY + ("lambda" in spared[:INTENSITY])]
    steps = _steps(*shape)
    kills = sorted((numbers.randint(1, steps), kind) for kind in spared)
    return Point(*shape, tuple(kills), seed)


def once(seed: int) -> tuple[Result, Counter[str]]:
    """One run: what it came to, and who was killed."""
    killer = RandomKiller(point(seed))
    return run(killer.point, killer, Busy, Mixed), killer.counts


def many(runs: int, seed: int) -> tuple[Counter[str], Counter[str], list[str]]:
    """Runs with seeds from this one on: counts, kills by kind, a line for each that went wrong."""
    counts, killed, failures = Counter[str](), Counter[str](), list[str]()
    for each in range(seed, seed + runs):
        result, kills = once(each)
        counts["runs"] += 1
        counts["events"] += EVENTS
        counts["kills"] += kills.total()
        counts["answered with an error, their worker killed"] += result.lost_with_worker
        killed += kills
        failures += [f"seed {each}: {wrong}; {point(each)}" for wrong in result.wrong]
    lost = counts["answered with an error, their worker killed"]
    counts["answered with their own result"] = counts["events"] - lost - len(failures)
    return counts, killed, failures


def main() -> int:
    runs, seed = (*map(int, sys.argv[1:]), *(2000, int(time.time()))[len(sys.argv) - 1 :])
    began = time.perf_counter()
    # The functions' own log, which goes there, would hide the figures.
    with contextlib.redirect_stdout(io.StringIO()):
        counts, killed, failures = many(runs, seed)
    print(f"seed {seed}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    print("killed: " + ", ".join(f"{count} {kind}" for kind, count in killed.most_common()))
    print(f"{len(failures)} wrong; {time.perf_counter() - began:.0f} s")
    print("\n".join(failures[:20]))
    return 1 if failures else 0


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main())
