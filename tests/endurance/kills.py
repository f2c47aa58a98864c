"""Random kills, seeded: `python -m tests.endurance.kills [RUNS [SEED]]`, or `make kills`.

Where `endurance.sweep` goes through every step with one kill or two, a run here serves 20 events,
one or eight at once, of handlers that answer, raise and wait, while up to six of the tree are
killed at random steps: poller, dispatcher, worker, responder, clock, extension, or one of the
supervisors with all below it. Two of the events are late, and are ended at their deadline by their
worker; a third's handler is shielded, so that only the dispatcher can answer, and abandons the
worker. The watchdog, a thread, is played by a task in virtual time. The tree and the verdict are
the sweep's.

No supervisor's intensity is exceeded: what comes then is the end of the process, of which others
tell. A run is its seed: one that failed fails again.
"""

import contextlib
import functools
import io
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

import attrs
import trio

from okibi.actors.process import Phase, Process
from okibi.local.classic_mode import ClassicPlatform
from okibi.local.connection import Connection
from okibi.local.journal import Journal
from okibi.runtime.handlers.context import Context
from okibi.runtime.in_flight.delivery import Delivery
from okibi.runtime.in_flight.handover import tell
from okibi.runtime.in_flight.ledger import DISPATCHER
from okibi.runtime.protocol.runtime_api import register_request
from okibi.runtime.serving.extension import NAME, Registration
from okibi.runtime.tree import INTENSITY
from tests.endurance.sweep import run
from tests.support.judge import Result
from tests.support.killer import EXITED, Killer, Pause, living
from tests.support.memory_platform import ALL, Echo, MemoryTransport, Point, RecordingLedger, World

EVENTS = 20
LAMBDA = "/function/lambda"
LOST, AS_LATE = "lost by", "of all as an event was late"
LANES = (1, 8)
PIECES = (7, 40, ALL)
Once = Callable[[int], tuple[Result, Counter[str]]]
# As often as a fault is likely to be there; the supervisors now and then.
STOPPED = "Runtime.Stopped"
KINDS = (
    *("poller", "dispatcher", "worker", "responder") * 4,
    *("clock", "extension") * 2,
    *("workers", "responders", "pollers", "lambda"),
)


# Events that run past their deadline. The shielded one's handler goes on for a while after it, in
# which the late ones still have time to begin, whoever waits for its end.
LATE, SHIELDED = (6, 16), 11
SHORT = {**dict.fromkeys(LATE, 2.0), SHIELDED: 1.0}
BEYOND = 0.2
MARGIN = 0.1


@attrs.define(eq=False)
class Mixed(Echo):
    """Answers, raises, waits before it does either, or waits for too long."""

    # Whether the shielded one's event has come, and its handler has not ended. (One whose worker is
    # cancelled as it is about to begin does begin.)
    shielded: ClassVar[bool] = False

    async def handle(self, event: dict[str, int], context: Context) -> object:
        number = event["n"]
        if number in LATE:
            await trio.sleep_forever()
        if number == SHIELDED:
            with trio.CancelScope(shield=True):
                await trio.sleep(SHORT[number] + BEYOND)
            Mixed.shielded = False
        if number % 5 >= 3:
            await trio.sleep(pause_of(number))
        return await super().handle(event, context)


def pause_of(number: int) -> float:
    """Seconds that a handler waits before it answers in time."""
    return 0.01 * (number % 4) if number % 5 >= 3 else 0.0


@attrs.define(eq=False)
class Busy(World):
    """The events of a run, each to the next lane that is free, and a platform for the extension."""

    _beside: trio.Nursery = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        Mixed.shielded = False
        self._serve([iter(range(EVENTS))] * self.point.lanes, EVENTS)
        transport = MemoryTransport(ALL)
        apart = ClassicPlatform(trio.current_time, time.time, Journal())
        transport.connection = Connection(apart, "arn", transport.deliver)
        self.registration = Registration(b"api")
        self.registration.transport = transport
        transport.send(memoryview(register_request(b"api", NAME)))

    def begin(self, nursery: trio.Nursery, ledger: RecordingLedger) -> None:
        self._beside = nursery
        ledger.tell = self._received

    def _received(self, delivery: Delivery) -> None:
        if json.loads(delivery.body)["n"] == SHIELDED:
            Mixed.shielded = True
        if delivery.due - trio.current_time() <= max(SHORT.values()):
            self._beside.start_soon(self._watch, delivery)

    async def _watch(self, delivery: Delivery) -> None:
        """What the watchdog does about a delivery that is late, as far as it needs no thread."""
        await trio.sleep_until((delivery.limit + delivery.due) / 2)
        if delivery.unsettled:
            tell(DISPATCHER)
        await trio.sleep_until(delivery.due - (delivery.due - delivery.limit) / 4)
        if delivery.unsettled:
            self.failures.append("the watchdog would end the process")

    def timeout(self, number: int) -> float:
        return SHORT.get(number) or super().timeout(number)

    def takes(self, number: int) -> float:
        if number == SHIELDED:
            # The worker's own scope cannot end it; halfway from there to the deadline the
            # dispatcher answers.
            return SHORT[number] - MARGIN / 2
        return SHORT[number] - MARGIN if number in LATE else pause_of(number)

    def is_own(self, number: int, payload: bytes) -> bool:
        if number in SHORT:
            return b'"errorType": "Runtime.DeadlineExceeded"' in payload and b"it stood" in payload
        return super().is_own(number, payload)


@attrs.define(eq=False)
class RandomKiller(Killer):
    """Kills whoever bears a name, or one of those who bear it with a number.

    In every other run rather one that is just being started, if there is any. A step below 0 is
    counted from when an event is late: few steps are anywhere near that.
    """

    counts: Counter[str] = attrs.field(factory=Counter[str], init=False)
    _late: int = attrs.field(default=0, init=False)

    def _is_now(self, step: int) -> bool:
        if step > 0:
            return super()._is_now(step)
        # The first of the late ones, the second, or the third.
        if not self._late and len(self._past()) > self.point.seed % len(SHORT):
            self._late = self.steps
        return self._late > 0 and self.steps == self._late - step

    def _past(self) -> list[Delivery]:
        """The events that have reached their limit."""
        now, deliveries = trio.current_time(), self.ledger.deliveries if self.ledger else []
        return [each for each in deliveries if now >= each.limit]

    def _kill(self, root: Process, kind: str) -> None:
        names = [(process.path.rsplit("/", 1)[-1], process) for process in living(root)]
        found = [p for name, p in names if name == kind or name.rpartition("-")[0] == kind]
        if not found:
            return
        if self.point.seed % 2:
            found = [p for p in found if p.phase is Phase.STARTING] or found
        victim = found[(self.point.seed + self.steps) % len(found)]
        fallen = _fallen(root, victim)
        if _is_the_end(root, victim, fallen):
            self.counts["spared"] += 1
            return
        if fallen is not victim:
            # They are asked to end, and answer so; or the dispatcher sees that, and is sooner.
            for each in living(fallen):
                self.killed.setdefault(each, set()).update((STOPPED, EXITED))
        if kind == "workers" and Mixed.shielded:
            # It waits for that one, and meanwhile starts nobody.
            now = trio.current_time()
            until = now + SHORT[SHIELDED] + BEYOND
            self.pauses += [Pause(lane, now, until) for lane in range(self.point.lanes)]
        self.counts[kind] += 1
        self.counts[AS_LATE] += any(each.unsettled for each in self._past())
        self._cut(root, victim)


def _fallen(root: Process, victim: Process) -> Process:
    """Who ends with it: a supervisor whose start fails stops those that it has started."""
    above = {below: each for each in living(root) for below in living(each)[1:]}
    fallen = victim
    while victim.phase is Phase.STARTING and above[fallen].phase is Phase.STARTING:
        fallen = above[fallen]
    return fallen


def _is_the_end(root: Process, victim: Process, fallen: Process) -> bool:
    """Whether the process would end by it."""
    if victim is not fallen:
        # The one above `lambda` restarts it once.
        return fallen.path == LAMBDA or Mixed.shielded
    # It would wait for that handler, beyond its deadline, with nobody to answer.
    return Mixed.shielded and (victim.path == LAMBDA or _leaves_nobody(root, victim))


def _leaves_nobody(root: Process, victim: Process) -> bool:
    """Whether no dispatcher is started before those workers have ended that are being started.

    While a child is being started its supervisor starts no other (OTP: supervisor).
    """
    found = {each.path: each for each in living(root)}
    ends = {path for path, each in found.items() if each is victim or each.doom is not None}
    workers, dispatcher = f"{LAMBDA}/workers", f"{LAMBDA}/dispatcher"
    starting = workers in ends and found[workers].phase is Phase.STARTING
    # One that has ended and is to be started has no process.
    return starting and (dispatcher in ends or dispatcher not in found)


@functools.cache
def steps_of(world: Callable[[Point], Busy], lanes: int, piece: int, pipelined: bool) -> int:
    """About how many steps a run of this shape has."""
    whole = run(Point(lanes, piece, pipelined, (), 0), world=world, handler=Mixed)
    assert not whole.wrong, whole.wrong
    return whole.steps


def point(seed: int, world: Callable[[Point], Busy] = Busy) -> Point:
    """The run that a seed stands for."""
    numbers = random.Random(seed)
    shape = numbers.choice(LANES), numbers.choice(PIECES), numbers.random() < 0.7
    kinds = [numbers.choice(KINDS) for _ in range(numbers.randint(1, INTENSITY + 1))]
    # The one above `lambda` restarts it once.
    spared = [k for n, k in enumerate(kinds) if k != "lambda" or k not in kinds[:n]]
    # And `lambda` each of those below it as often as this; `workers`, where they are two, besides
    # the one that the dispatcher abandons.
    most = INTENSITY - (shape[0] == 1)
    spared = spared[: most + ("lambda" in spared[:most])]
    kills = [(numbers.randint(1, steps_of(world, *shape)), kind) for kind in spared]
    if world is Busy and numbers.random() < 0.5:
        kills[0] = (-numbers.randint(0, 8), kills[0][1])
    started = next((step for step, kind in kills if kind == "workers"), 0)
    if started > 0:
        # While it is started again: a start that fails stops those that stand already.
        near = started + numbers.randint(50, 110)
        kills = [(near if kind == "worker" else step, kind) for step, kind in kills]
    return Point(*shape, tuple(sorted(kills)), seed)


def once(seed: int) -> tuple[Result, Counter[str]]:
    """One run: what it came to, and who was killed."""
    killer = RandomKiller(point(seed))
    return run(killer.point, killer, Busy, Mixed), killer.counts


def many(
    runs: int, seed: int, once: Once = once, events: int = EVENTS
) -> tuple[Counter[str], Counter[str], list[str]]:
    """Runs with seeds from this one on: counts, kills by kind, a line for each that went wrong."""
    counts, killed, failures = Counter[str](), Counter[str](), list[str]()
    for each in range(seed, seed + runs):
        result, kills = once(each)
        counts["runs"] += 1
        counts["events"] += events
        counts.update({f"{LOST} {kind}": times for kind, times in result.lost.items()})
        counts["kills"] += sum(kills[kind] for kind in {*KINDS})
        killed += kills
        failures += [f"seed {each}: {wrong}" for wrong in result.wrong]
    lost = sum(times for what, times in counts.items() if what.startswith(LOST))
    counts["answered with their own result"] = counts["events"] - lost - len(failures)
    return counts, killed, failures


def told(once: Once = once, events: int = EVENTS) -> int:
    """Do as many runs as the command line says, print what they came to; the exit code."""
    runs, seed = (*map(int, sys.argv[1:]), *(2000, int(time.time()))[len(sys.argv) - 1 :])
    began = time.perf_counter()
    # The functions' own log, which goes there, would hide the figures.
    with contextlib.redirect_stdout(io.StringIO()):
        counts, killed, failures = many(runs, seed, once, events)
    print(f"seed {seed}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    print("killed: " + ", ".join(f"{count} {kind}" for kind, count in killed.most_common()))
    print(f"{len(failures)} wrong; {time.perf_counter() - began:.0f} s")
    print("\n".join(failures[:20]))
    return 1 if failures else 0


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(told())
