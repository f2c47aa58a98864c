"""Kill any actor at any step: the engine, and `python -m tests.runtime.sweep` for its full size.

The whole tree, as production builds it, runs against the local server's own state machine, in one
trio run and without sockets: what the responder writes is parsed at once, and the answers lie in
the transport until the poller reads them. An Instrument counts every task step of the run and
kills at the chosen ones; a run is a point. It collects, and everything is asserted afterwards,
since trio drops an Instrument that raises.

Scheduling is seeded: a point that failed fails again.
"""

import contextlib
import itertools
import json
import logging
import math
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import trio
import trio.testing

from actors.process import Process
from actors.start import spawn, wait_started
from runtime.alarm import Alarm
from runtime.context import Context
from runtime.delivery import Delivery, State
from runtime.extension import Registration
from runtime.function import Function
from runtime.handler import Handler
from runtime.lane import Lane
from runtime.ledger import Ledger
from runtime.local.connection import Connection
from runtime.local.exchange import Exchange
from runtime.local.invocation import Invocation
from runtime.local.journal import Happening, Journal
from runtime.response import Item
from runtime.settings import Settings
from runtime.transport import Transport
from runtime.tree import Serving, tree
from supervisors import Supervisor

ALL = 1 << 30
EVENTS = 3
KINDS = ("poller", "dispatcher", "worker", "responder")


@attrs.frozen
class Point:
    """One run: its shape, and who is killed at which steps."""

    lanes: int
    piece: int
    pipelined: bool
    kills: tuple[tuple[int, str], ...]
    seed: int
    streams: bool = False


@attrs.define(eq=False)
class MemoryTransport:
    """A connection to an Exchange that takes a few bytes at a time."""

    piece: int
    connection: Connection = attrs.field(init=False)
    _inbox: bytearray = attrs.field(factory=bytearray, init=False)
    _full: bool = attrs.field(default=False, init=False)
    _came: trio.Event = attrs.field(factory=trio.Event, init=False)

    def deliver(self, pieces: list[bytes]) -> None:
        self._inbox += b"".join(pieces)
        self._came.set()

    def receive(self, limit: int) -> bytes:
        if not self._inbox:
            raise BlockingIOError
        data = bytes(self._inbox[:limit])
        del self._inbox[:limit]
        return data

    def send(self, data: memoryview) -> int:
        if self._full:
            raise BlockingIOError
        taken = min(len(data), self.piece)
        self._full = taken < len(data)
        self.connection.receive(bytes(data[:taken]))
        return taken

    async def readable(self) -> None:
        if self._inbox:
            await trio.lowlevel.checkpoint()
        while not self._inbox:
            self._came = trio.Event()
            await self._came.wait()

    async def writable(self) -> None:
        await trio.lowlevel.checkpoint()
        self._full = False

    def close(self) -> None:
        self.connection.lost()


class Nobody:
    """No watchdog: no thread takes part in these runs."""

    def arm(self, limit: float) -> None: ...

    def settled(self) -> None: ...


@attrs.define(eq=False)
class RecordingLedger(Ledger):
    """A ledger that remembers every delivery."""

    deliveries: list[Delivery] = attrs.field(factory=list[Delivery], init=False)

    def received(self, lane: Lane, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        super().received(lane, delivery)


@attrs.define(eq=False)
class Echo(Handler[dict[str, int]]):
    """Two checkpoints and the event's own number; each third event raises it instead."""

    async def init(self) -> None:
        await trio.lowlevel.checkpoint()

    async def handle(self, event: dict[str, int], context: Context) -> object:
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        if event["n"] % 3 == 1:
            raise ValueError(f"own {event['n']}")
        return {"own": event["n"]}


@attrs.define(eq=False)
class Stream(Handler[dict[str, int]]):
    """Three pieces with checkpoints between; each third event raises after the second instead."""

    async def init(self) -> None:
        await trio.lowlevel.checkpoint()

    async def handle(self, event: dict[str, int], context: Context) -> AsyncIterator[Item]:
        yield f"own {event['n']} "
        await trio.lowlevel.checkpoint()
        yield b"two "
        if event["n"] % 3 == 1:
            raise ValueError(f"own {event['n']}")
        yield b"three"


@attrs.define(eq=False)
class World:
    """The platform's side of one run: a sandbox API for each lane, and its invoker."""

    point: Point
    invocations: list[Invocation] = attrs.field(factory=list[Invocation], init=False)
    journal: Journal = attrs.field(factory=Journal, init=False)
    connections: int = attrs.field(default=0, init=False)
    done: trio.Event = attrs.field(factory=trio.Event, init=False)
    registration: Registration | None = attrs.field(default=None, init=False)
    _left: int = attrs.field(init=False)
    _exchanges: list[Exchange] = attrs.field(factory=list[Exchange], init=False)

    def __attrs_post_init__(self) -> None:
        self._left = self.point.lanes * EVENTS
        for lane in range(self.point.lanes):
            numbers = iter(range(lane * EVENTS, (lane + 1) * EVENTS))
            ended = partial(self._ended, lane, numbers)
            exchange = Exchange(trio.current_time, time.time, self.journal, on_end=ended)
            self._exchanges.append(exchange)
            self._offer(lane, numbers)

    def _offer(self, lane: int, numbers: Iterator[int]) -> None:
        number = next(numbers, None)
        if number is not None:
            invocation = Invocation(json.dumps({"n": number}).encode(), 900.0)
            self.invocations.append(invocation)
            self._exchanges[lane].offer(invocation)

    def _ended(self, lane: int, numbers: Iterator[int], _: Invocation) -> None:
        self._left -= 1
        if not self._left:
            self.done.set()
        self._offer(lane, numbers)

    async def connect(self) -> Transport:
        await trio.lowlevel.checkpoint()
        transport = MemoryTransport(self.point.piece)
        exchange = self._exchanges[self.connections % len(self._exchanges)]
        self.connections += 1
        transport.connection = Connection(exchange, "arn", transport.deliver)
        return transport


@attrs.define(eq=False)
class Killer(trio.abc.Instrument):
    """Counts task steps from when it is told to, and kills at the chosen ones."""

    point: Point
    root: Process | None = attrs.field(default=None, init=False)
    steps: int = attrs.field(default=0, init=False)
    killed: list[Process] = attrs.field(factory=list[Process], init=False)
    errors: list[BaseException] = attrs.field(factory=list[BaseException], init=False)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.root is None:
            return
        self.steps += 1
        try:
            for step, kind in self.point.kills:
                if step == self.steps:
                    self._kill(self.root, kind)
        except BaseException as error:
            self.errors.append(error)

    def _kill(self, root: Process, kind: str) -> None:
        found = [p for p in living(root) if p.path.rsplit("/", 1)[-1].startswith(kind)]
        found = [p for p in found if not isinstance(p.actor, Supervisor)]
        if found:
            victim = found[self.point.seed % len(found)]
            self.killed.append(victim)
            victim.kill()


def living(root: Process) -> list[Process]:
    """Every process of a tree that has one."""
    found = [root]
    if isinstance(root.actor, Supervisor):
        for place in root.actor.places:
            if place.process is not None:
                found += living(place.process)
    return found


@attrs.frozen
class Result:
    """What a run came to: how many steps it had, how many results were lost with their worker."""

    steps: int
    lost_with_worker: int
    wrong: tuple[str, ...]


def run(
    point: Point,
    killer: Killer | None = None,
    world: type[World] = World,
    handler: type[Handler[dict[str, int]]] | None = None,
) -> Result:
    """One point. Everything that is not as it must be is in `wrong`."""
    killer = killer or Killer(point)
    handler = handler or (Stream if point.streams else Echo)
    random_of_trio().seed(point.seed)
    try:
        return trio.run(
            _main, killer, world, handler, clock=trio.testing.MockClock(autojump_threshold=0),
            instruments=[killer],
        )  # fmt: skip
    except BaseException as error:
        return Result(killer.steps, 0, (f"the run raised {error!r}",))


def random_of_trio() -> random.Random:
    """The random numbers that trio orders its tasks with."""
    scheduler: Any = trio._core._run
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
    source: random.Random = scheduler._r
    return source


async def _main(
    killer: Killer, make_world: type[World], handler: type[Handler[dict[str, int]]]
) -> Result:
    wrong: list[str] = []
    point = killer.point
    world = make_world(point)
    lanes = [Lane(n, b"api", point.pipelined) for n in range(point.lanes)]
    ledger = RecordingLedger(lanes, wrong.append, Nobody())
    settings = Settings("api:80", "app.handler", Path())
    serving = Serving(Function(handler), settings, ledger, Alarm())
    flags = tree(serving, world.connect, world.registration)
    async with trio.open_nursery() as nursery:
        root = spawn(
            nursery, partial(Supervisor, flags), path="/function", grace=math.inf, supervised=True
        )
        await wait_started(root, math.inf)
        killer.root = root
        with trio.move_on_after(600) as limit:
            await world.done.wait()
            # Let whoever was killed last be replaced, which has a pause of its own where there are
            # many: the last status is still to be read.
            await trio.sleep(20)
        killer.root = None
        if limit.cancelled_caught:
            wrong.append("it hangs")
        root.stop()
        await root.wait_dead()
    return _judge(point, killer, world, ledger, wrong)


def _judge(
    point: Point, killer: Killer, world: World, ledger: RecordingLedger, wrong: list[str]
) -> Result:
    wrong += [f"the instrument raised {error!r}" for error in killer.errors]
    lost = 0
    deliveries = {d.request_id: d for d in ledger.deliveries}
    if len(deliveries) != len(ledger.deliveries):
        wrong.append("an event was received twice")
    for invocation in world.invocations:
        delivery = deliveries.get(invocation.request_id)
        outcome = invocation.outcome
        if outcome is None or delivery is None:
            wrong.append(f"{invocation.payload!r} was never answered")
            continue
        number = json.loads(invocation.payload)["n"]
        own = own_answer(number, point.streams)
        worker = delivery.worker.process() if delivery.worker is not None else None
        # An error is told by its message, among others; a result is all there is.
        if own == outcome.payload or (number % 3 == 1 and own in outcome.payload):
            if delivery.begun != 1:
                wrong.append(f"{own!r} was begun {delivery.begun} times")
        elif worker in killer.killed and delivery.begun <= 1:
            lost += 1
        else:
            wrong.append(f"{own!r} came out as {outcome.payload!r}")
        if delivery.state is not State.ACKED:
            wrong.append(f"{own!r} is left {delivery.state.name}")
    bad = {Happening.REFUSED, Happening.ABANDONED, Happening.SWALLOWED, Happening.TRUNCATED}
    wrong += [f"the API saw {e}" for e in world.journal.entries if e.happening in bad]
    if world.connections != point.lanes:
        wrong.append(f"{world.connections} connections were made")
    return Result(killer.steps, lost, tuple(wrong))


def own_answer(number: int, streams: bool) -> bytes:
    """What a handler's own answer is, or, of one that raises, what stands in it."""
    if number % 3 == 1:
        return b'"errorMessage": "own %d"' % number
    return (b"own %d two three" if streams else b'{"own":%d}') % number


def points(every: int, seed: int = 1) -> Iterator[Point]:
    """The points of a sweep, every so many-th of them."""
    numbers = random.Random(seed)
    shapes = [
        *itertools.product((1, 3), (7, 11, 40, ALL), (True, False), (False,)),
        *itertools.product((1, 3), (11, ALL), (True, False), (True,)),
    ]
    counter = itertools.count()
    for lanes, piece, pipelined, streams in shapes:
        steps = run(Point(lanes, piece, pipelined, (), seed, streams)).steps
        for step, kind in itertools.product(range(1, steps + 1), KINDS):
            first = (step, kind)
            pairs = [(first, (step + numbers.randint(1, 6), other)) for other in KINDS]
            for kills in ((first,), numbers.choice(pairs), numbers.choice(pairs)):
                if next(counter) % every == 0:
                    chosen = numbers.randint(0, 1 << 20)
                    yield Point(lanes, piece, pipelined, kills, chosen, streams)


def sweep(every: int, seed: int = 1) -> tuple[Counter[str], list[str]]:
    """Run a sweep; counts, and a line for each point that went wrong."""
    counts: Counter[str] = Counter()
    failures: list[str] = []
    for point in points(every, seed):
        result = run(point)
        counts["points"] += 1
        counts[f"{len(point.kills)} killed"] += 1
        counts["of streams"] += point.streams
        counts["results lost with their worker"] += result.lost_with_worker
        failures += [f"{point}: {wrong}" for wrong in result.wrong]
    return counts, failures


def main() -> int:
    every = int(os.environ.get("OKIBI_SWEEP_EVERY", "1"))
    began = time.perf_counter()
    # What the handlers raise is written to standard output, as in a function.
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        counts, failures = sweep(every)
    print(", ".join(f"{count} {what}" for what, count in counts.items()), end="; ")
    print(f"{len(failures)} wrong; {time.perf_counter() - began:.0f} s")
    print("\n".join(failures[:20]))
    return 1 if failures else 0


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    sys.exit(main())
