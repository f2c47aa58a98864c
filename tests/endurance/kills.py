"""Random kills with seeds: `python -m tests.endurance.kills [RUNS [SEED]]`, or `make kills`.

`endurance.sweep` tries every step with one or two kills. Here a run serves 20 events, one or eight
at once, with handlers that answer, raise and wait, while up to six actors are killed at random
steps: poller, dispatcher, worker, responder, clock, extension, or a supervisor with its
descendants. Two events are late, and their worker ends them at the deadline. A third handler is
shielded, so that only the dispatcher can answer; it abandons the worker. A task in virtual time
plays the watchdog. Tree and checks are the sweep's.

No kill exceeds a supervisor's intensity, because other tests cover the end of the process. A seed
determines a run: a failed run fails again. Every fourth event has a function that runs after its
response.
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

from okibi.actors.life import Phase
from okibi.actors.process import Process
from okibi.local.platform.classic_mode import ClassicPlatform
from okibi.local.platform.journal import Journal
from okibi.local.server.connection import Connection
from okibi.runtime.handlers.context import Context
from okibi.runtime.in_flight.delivery import Delivery
from okibi.runtime.in_flight.handover import wake
from okibi.runtime.in_flight.ledger import DISPATCHER
from okibi.runtime.protocol.registration import NAME
from okibi.runtime.protocol.runtime_api import register_request
from okibi.runtime.serving.extension import ExtensionConnection
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
# Weighted by the likelihood of a fault; supervisors are rare.
STOPPED = "Runtime.Stopped"
KINDS = (
    *("poller", "dispatcher", "worker", "responder") * 4,
    *("clock", "extension") * 2,
    *("workers", "responders", "pollers", "lambda"),
)


# Events that run past their deadline. The shielded handler goes on for a while after its deadline,
# in which late events can begin, whatever waits for its end.
LATE, SHIELDED = (6, 16), 11
SHORT = {**dict.fromkeys(LATE, 2.0), SHIELDED: 1.0}
BEYOND = 0.2
MARGIN = 0.1


@attrs.define(eq=False)
class Mixed(Echo):
    """Answers, raises, waits before either, or waits too long."""

    # Whether the shielded event has arrived and its handler has not ended. (It begins even if its
    # worker is cancelled at that moment.)
    shielded: ClassVar[bool] = False

    async def handle(self, event: dict[str, int], context: Context) -> object:
        number = event["n"]
        if number in LATE:
            await trio.sleep_forever()
        if number == SHIELDED:
            with trio.CancelScope(shield=True):
                await trio.sleep(SHORT[number] + BEYOND)
            Mixed.shielded = False
        if number % 4 == 2:
            # `endurance.after_response` has the functions that fail or hang.
            context.after_response(trio.lowlevel.checkpoint)
        if number % 5 >= 3:
            await trio.sleep(pause_of(number))
        return await super().handle(event, context)


def pause_of(number: int) -> float:
    """Return the seconds that a handler waits before it answers in time."""
    return 0.01 * (number % 4) if number % 5 >= 3 else 0.0


@attrs.define(eq=False)
class WatchedWorld(World):
    """Events of which the late ones are watched."""

    # Seconds: events that have no longer may be late.
    shortest: ClassVar[float]

    _beside: trio.Nursery = attrs.field(init=False)

    def begin(self, nursery: trio.Nursery, ledger: RecordingLedger) -> None:
        self._beside = nursery
        ledger.tell = self.received

    def received(self, delivery: Delivery) -> None:
        """Watch an event that may be late."""
        if delivery.due - trio.current_time() <= self.shortest:
            self._beside.start_soon(self._watch, delivery)

    async def _watch(self, delivery: Delivery) -> None:
        """Do what the watchdog does about a late delivery, as far as it needs no thread."""
        await trio.sleep_until((delivery.limit + delivery.due) / 2)
        if delivery.unfinished:
            wake(DISPATCHER)
        await trio.sleep_until(delivery.due - (delivery.due - delivery.limit) / 4)
        if delivery.unfinished:
            self.failures.append("the watchdog would end the process")


@attrs.define(eq=False)
class BusyWorld(WatchedWorld):
    """The events of a run, each for the next free lane, and a platform for the extension."""

    shortest = max(SHORT.values())

    def __attrs_post_init__(self) -> None:
        Mixed.shielded = False
        self._serve([iter(range(EVENTS))] * self.point.lanes, EVENTS)
        transport = MemoryTransport(ALL)
        apart = ClassicPlatform(trio.current_time, time.time, Journal())
        transport.connection = Connection(apart, "arn", transport.deliver)
        self.registration = ExtensionConnection(b"api")
        self.registration.transport = transport
        transport.send(memoryview(register_request(b"api", NAME)))

    def received(self, delivery: Delivery) -> None:
        if json.loads(delivery.body)["n"] == SHIELDED:
            Mixed.shielded = True
        super().received(delivery)

    def timeout(self, number: int) -> float:
        return SHORT.get(number) or super().timeout(number)

    def takes(self, number: int) -> float:
        if number == SHIELDED:
            # The worker's scope cannot end it. The dispatcher answers halfway between limit and
            # deadline.
            return SHORT[number] - MARGIN / 2
        return SHORT[number] - MARGIN if number in LATE else pause_of(number)

    def is_own(self, number: int, payload: bytes) -> bool:
        if number in SHORT:
            return (
                b'"errorType": "Runtime.DeadlineExceeded"' in payload
                and b"the handler was" in payload
            )
        return super().is_own(number, payload)


@attrs.define(eq=False)
class RandomKiller(Killer):
    """Kills actors by name, with or without a number.

    Every other run prefers an actor that is being started. A step below 0 counts from the moment at
    which an event is late, which few steps are close to.
    """

    counts: Counter[str] = attrs.field(factory=Counter[str], init=False)
    _late: int = attrs.field(default=0, init=False)

    def _is_now(self, step: int) -> bool:
        if step > 0:
            return super()._is_now(step)
        # The first, second or third late event.
        if not self._late and len(self._past()) > self.point.seed % len(SHORT):
            self._late = self.steps
        return self._late > 0 and self.steps == self._late - step

    def _past(self) -> list[Delivery]:
        """Return the events that have reached their limit."""
        now, deliveries = trio.current_time(), self.ledger.deliveries if self.ledger else []
        return [each for each in deliveries if now >= each.limit]

    def _kill(self, root: Process, kind: str) -> None:
        names = [(process.path.rsplit("/", 1)[-1], process) for process in living(root)]
        found = [p for name, p in names if name == kind or name.rpartition("-")[0] == kind]
        if not found:
            return
        if self.point.seed % 2:
            found = [p for p in found if p.life.phase is Phase.STARTING] or found
        victim = found[(self.point.seed + self.steps) % len(found)]
        fallen = _fallen(root, victim)
        if _is_the_end(root, victim, fallen):
            self.counts["spared"] += 1
            return
        if fallen is not victim:
            # These are stopped, and answer so; or the dispatcher notices first.
            for each in living(fallen):
                self.killed.setdefault(each, set()).update((STOPPED, EXITED))
        if kind == "workers" and Mixed.shielded:
            # The supervisor waits for the shielded handler, and starts nothing meanwhile.
            now = trio.current_time()
            until = now + SHORT[SHIELDED] + BEYOND
            self.pauses += [Pause(lane, now, until) for lane in range(self.point.lanes)]
        self.counts[kind] += 1
        self.counts[AS_LATE] += any(each.unsettled for each in self._past())
        self._cut(root, victim)


def _fallen(root: Process, victim: Process) -> Process:
    """Return what ends with the victim: a supervisor whose start fails stops the children it has
    started.
    """
    above = {below: each for each in living(root) for below in living(each)[1:]}
    fallen = victim
    while victim.life.phase is Phase.STARTING and above[fallen].life.phase is Phase.STARTING:
        fallen = above[fallen]
    return fallen


def _is_the_end(root: Process, victim: Process, fallen: Process) -> bool:
    """Whether the kill would end the process."""
    if victim is not fallen:
        # The supervisor above `lambda` restarts it once.
        return fallen.path == LAMBDA or Mixed.shielded
    # It would wait for the shielded handler past its deadline, with no dispatcher to answer.
    return Mixed.shielded and (victim.path == LAMBDA or _leaves_nobody(root, victim))


def _leaves_nobody(root: Process, victim: Process) -> bool:
    """Whether no dispatcher is started before the workers that are being started have ended.

    While a supervisor starts a child, it starts no other (OTP: supervisor).
    """
    found = {each.path: each for each in living(root)}
    ends = {
        path
        for path, each in found.items()
        if each is victim or each.life.ending_reason is not None
    }
    workers, dispatcher = f"{LAMBDA}/workers", f"{LAMBDA}/dispatcher"
    starting = workers in ends and found[workers].life.phase is Phase.STARTING
    # An ended child without its restart has no process.
    return starting and (dispatcher in ends or dispatcher not in found)


@functools.cache
def steps_of(world: Callable[[Point], BusyWorld], lanes: int, piece: int, pipelined: bool) -> int:
    """Return about how many steps a run of this shape has."""
    whole = run(Point(lanes, piece, pipelined, (), 0), world=world, handler=Mixed)
    assert not whole.wrong, whole.wrong
    return whole.steps


def point(seed: int, world: Callable[[Point], BusyWorld] = BusyWorld) -> Point:
    """Return the run of a seed."""
    numbers = random.Random(seed)
    shape = numbers.choice(LANES), numbers.choice(PIECES), numbers.random() < 0.7
    kinds = [numbers.choice(KINDS) for _ in range(numbers.randint(1, INTENSITY + 1))]
    # The supervisor above `lambda` restarts it once.
    spared = [k for n, k in enumerate(kinds) if k != "lambda" or k not in kinds[:n]]
    # `lambda` also restarts each of its children this often; with two workers, `workers` has one
    # spare restart besides the abandoned worker.
    most = INTENSITY - (shape[0] == 1)
    spared = spared[: most + ("lambda" in spared[:most])]
    kills = [(numbers.randint(1, steps_of(world, *shape)), kind) for kind in spared]
    if world is BusyWorld and numbers.random() < 0.5:
        kills[0] = (-numbers.randint(0, 8), kills[0][1])
    started = next((step for step, kind in kills if kind == "workers"), 0)
    if started > 0:
        # During its restart: a start that fails stops the children already started.
        near = started + numbers.randint(50, 110)
        kills = [(near if kind == "worker" else step, kind) for step, kind in kills]
    return Point(*shape, tuple(sorted(kills)), seed)


def once(seed: int) -> tuple[Result, Counter[str]]:
    """Run once; return the result, and kills by kind."""
    killer = RandomKiller(point(seed))
    return run(killer.point, killer, BusyWorld, Mixed), killer.counts


def many(
    runs: int, seed: int, once: Once = once, events: int = EVENTS
) -> tuple[Counter[str], Counter[str], list[str]]:
    """Run seeds from `seed` on; return counts, kills by kind, and a line per failure."""
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


def run_from_command_line(once: Once = once, events: int = EVENTS) -> int:
    """Run as often as the command line says, print the results, and return the exit code."""
    runs, seed = (*map(int, sys.argv[1:]), *(2000, int(time.time()))[len(sys.argv) - 1 :])
    began = time.perf_counter()
    # The functions' log would hide the figures.
    with contextlib.redirect_stdout(io.StringIO()):
        counts, killed, failures = many(runs, seed, once, events)
    print(f"seed {seed}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    print("killed: " + ", ".join(f"{count} {kind}" for kind, count in killed.most_common()))
    print(f"{len(failures)} wrong; {time.perf_counter() - began:.0f} s")
    print("\n".join(failures[:20]))
    return 1 if failures else 0


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(run_from_command_line())
