"""Many lanes in memory, of which some do not serve, or some of whose workers get no new instance:
the others do, and nothing spins.
"""

import json
import logging
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest
import trio
from trio.testing import MockClock

from okibi.actors import KILLED
from okibi.actors.start import spawn, wait_started
from okibi.runtime.deadlines.interrupt import Alarm
from okibi.runtime.handlers.context import Context
from okibi.runtime.handlers.function import Function
from okibi.runtime.handlers.handler import Handler
from okibi.runtime.handlers.response import Item
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.in_flight.handover import wake
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.in_flight.ledger import DISPATCHER, Ledger
from okibi.runtime.protocol.transport import Transport
from okibi.runtime.serving.poller import Poller
from okibi.runtime.settings import Settings
from okibi.runtime.tree import ServedFunction, build_tree
from okibi.supervisors import Supervisor
from tests.support.memory_platform import (
    ALL,
    EVENTS,
    Echo,
    MemoryTransport,
    NoWatchdog,
    Point,
    World,
)
from tests.support.played_api import ACCEPTED, Played, event

LANES = 3
# An event that is none of the platform's own.
LONG = -1
FAULT = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


@attrs.define(eq=False)
class Crashing(MemoryTransport):
    """Whoever reads it crashes, by a fault that no room has foreseen."""

    async def readable(self) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a fault")


@attrs.define(eq=False)
class Asked(Played):
    """A connection whose other side answers a GET, one after the other, always alike."""

    answer: bytes = b""

    def send(self, data: memoryview) -> int:
        taken = super().send(data)
        if bytes(data[:taken]).startswith(b"GET "):
            self.say(self.answer)
        return taken

    async def writable(self) -> None:
        await super().writable()
        if self.closed:
            raise trio.ClosedResourceError

    def close(self) -> None:
        super().close()
        # Whoever waits for it is told.
        self.room = 1
        self.drained.set()


def said(*answers: bytes | OSError) -> Played:
    """A connection whose other side says something at once, whatever it is asked."""
    made = Played()
    made.say(*answers)
    return made


@attrs.define(eq=False)
class Town:
    """A platform with a sandbox API for each lane, and a say in what each connection is."""

    bad: Callable[[int], Transport | None] = lambda lane: None
    handler: type[Handler[dict[str, int]]] = Echo
    failures: list[str] = attrs.field(factory=list[str])
    world: World = attrs.field(init=False)
    lanes: list[Lane] = attrs.field(init=False)
    asked: Counter[int] = attrs.field(factory=Counter[int], init=False)
    # Two at a time would be given the connection of one lane.
    connecting: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self.world = World(Point(LANES, ALL, True, (), 1))
        self.lanes = [Lane(n, b"api") for n in range(LANES)]

    async def connect(self) -> Transport:
        # Which lane asks is the one whose poller runs in this task.
        await trio.lowlevel.checkpoint()
        name = trio.lowlevel.current_task().name.rpartition("-")[2]
        number = int(name) if name.isdigit() else 0
        self.asked[number] += 1
        made = self.bad(number)
        if made is not None:
            return made
        async with self.connecting:
            self.world.connections = number
            return await self.world.connect()

    def answered(self) -> set[int]:
        """The lanes all of whose events have been answered."""
        numbers = {
            json.loads(it.payload)["n"] for it in self.world.invocations if it.outcome is not None
        }
        return {n for n in range(LANES) if {*range(n * EVENTS, (n + 1) * EVENTS)} <= numbers}

    def own(self) -> set[int]:
        """The events that have been answered with what their handler has made of them."""
        told = [it.outcome.payload for it in self.world.invocations if it.outcome is not None]
        return {json.loads(each)["own"] for each in told if b'"own":' in each}

    async def run(self, seconds: float) -> None:
        """Serve for so long."""
        ledger = Ledger(self.lanes, self.failures.append, NoWatchdog())
        settings = Settings("api:80", "app.handler", Path())
        flags = build_tree(
            ServedFunction(Function(self.handler), settings, ledger, Alarm()), self.connect
        )
        async with trio.open_nursery() as nursery:
            top = partial(Supervisor, flags)
            root = spawn(nursery, top, path="/function", grace=math.inf, supervised=True)
            await wait_started(root, math.inf)
            try:
                with trio.move_on_after(seconds):
                    reason = await root.wait_dead()
                    self.failures.append(f"the tree ended: {reason}")
            finally:
                root.stop()
                with trio.CancelScope(shield=True):
                    await root.wait_dead()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def refuse() -> Transport:
    raise ConnectionRefusedError("nobody listens")


CRASH = "its reader crashes"
BAD: dict[str, Callable[[], Transport]] = {
    "refused": refuse,
    "closed at once": lambda: said(b""),
    "reset": lambda: said(ConnectionResetError("reset")),
    "garbage": lambda: said(b"noise\r\n\r\n"),
    "answers nobody asked for": lambda: said(ACCEPTED + ACCEPTED),
    "403": lambda: Asked(answer=REFUSAL),
    CRASH: lambda: Crashing(ALL),
}


def of_lane(number: int, make: Callable[[], Transport]) -> Callable[[int], Transport | None]:
    return lambda lane: make() if lane == number else None


@pytest.mark.parametrize("trouble", BAD)
async def test_one_lane_that_is_bad_for_an_hour_leaves_the_others_alone(
    trouble: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = counted(monkeypatch)
    town = Town(of_lane(1, BAD[trouble]))

    await town.run(3600)

    assert town.answered() == {0, 2}
    assert not town.failures
    # Not a spin, and not given up.
    assert town.asked[1] + starts[1] < 4000
    assert starts[0] == starts[2] == 1


# The other two never give their connection up.
@pytest.mark.parametrize("trouble", [each for each in BAD if each not in ("403", CRASH)])
async def test_a_lane_that_was_bad_for_a_while_serves_again(
    trouble: str, autojump_clock: MockClock
) -> None:
    def bad(lane: int) -> Transport | None:
        return BAD[trouble]() if lane == 1 and trio.current_time() < mended else None

    mended = trio.current_time() + 60
    town = Town(bad)
    await town.run(120)

    assert town.answered() == {0, 1, 2}
    assert not town.failures
    assert not any(lane.unavailable for lane in town.lanes)


@pytest.mark.parametrize("trouble", ["refused", CRASH])
async def test_when_no_lane_serves_any_more_the_process_ends(
    trouble: str, autojump_clock: MockClock
) -> None:
    town = Town(lambda _: BAD[trouble]())

    await town.run(120)

    assert town.failures
    assert all(lane.unavailable for lane in town.lanes)


async def test_half_an_answer_costs_that_answer_alone(autojump_clock: MockClock) -> None:
    cut = Asked(room=300, answer=event(body=b'{"n": 1}'))
    connections = iter([cut])
    town = Town(lambda lane: next(connections, None) if lane == 1 else None)

    async def break_it() -> None:
        while cut.room and not cut.closed:  # noqa: ASYNC110, nobody tells of it
            await trio.sleep(0.1)
        cut.say(b"")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(break_it)
        await town.run(60)

    assert town.answered() == {0, 1, 2}
    assert not town.failures
    assert cut.closed


@attrs.define(eq=False)
class Shielded(Handler[dict[str, int]]):
    """Streams; of one event it goes on for long, whoever cancels it."""

    async def handle(self, event: dict[str, int], context: Context) -> AsyncIterator[Item]:
        yield b"own"
        if event["n"] == LONG:
            with trio.move_on_after(30, shield=True):
                await trio.sleep_forever()


async def test_a_stream_that_was_cut_and_goes_on_is_held_to_its_deadline_and_its_lane_serves_then(
    autojump_clock: MockClock,
) -> None:
    deadline = b"Lambda-Runtime-Deadline-Ms: %d\r\n" % ((time.time() + 10) * 1000)
    cut = Asked(answer=event(body=b'{"n": %d}' % LONG, head=deadline))
    connections = iter([cut])
    town = Town(lambda lane: next(connections, None) if lane == 1 else None, Shielded)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(town.run, 60)
        await trio.sleep(5)
        cut.say(b"")
        await trio.sleep(4)
        made = town.lanes[1].delivery
        assert made is not None
        assert made.worker is not None
        assert made.state is DeliveryState.STREAMING
        assert town.answered() == {0, 2}

        # Half of the margin before the deadline, as the watchdog does.
        await trio.sleep(0.96)
        wake(DISPATCHER)
        await trio.sleep(1)

        assert made.outcome is not None
        assert made.outcome.error_type == "Runtime.DeadlineExceeded"
        assert not made.worker.alive
        assert town.answered() == {0, 1, 2}

    assert made.worker.reason is KILLED
    assert not town.failures
    assert town.asked == {0: 1, 1: 2, 2: 1}


async def test_a_500_to_one_lane_is_asked_again_with_a_pause(autojump_clock: MockClock) -> None:
    town = Town(of_lane(1, lambda: Asked(answer=FAULT)))

    await town.run(60)

    assert town.answered() == {0, 2}
    assert not town.failures
    assert town.lanes[1].unavailable


@attrs.define(eq=False)
class Shaky(Echo):
    """One event raises; from then on, and for a while, no new instance can be made."""

    lasts: ClassVar[float]
    bad_until: ClassVar[float]

    async def init(self) -> None:
        if trio.current_time() < self.bad_until:
            raise OSError("no database")

    async def handle(self, event: dict[str, int], context: Context) -> object:
        await trio.sleep(1)
        if event["n"] == EVENTS:
            type(self).bad_until = trio.current_time() + self.lasts
            raise OSError("the database is gone")
        await trio.sleep(10)
        return {"own": event["n"]}


def shaky(lasts: float) -> type[Shaky]:
    return type("Shaky", (Shaky,), {"lasts": lasts, "bad_until": -math.inf})


@pytest.mark.parametrize("lasts", [0.2, 5, 60])
async def test_a_worker_that_gets_no_new_instance_for_a_while_leaves_the_others_alone(
    lasts: float, autojump_clock: MockClock
) -> None:
    town = Town(handler=shaky(lasts))

    await town.run(200)

    assert town.own() == {*range(LANES * EVENTS)} - {EVENTS}
    assert not town.failures


async def test_while_one_worker_serves_the_others_are_tried_again(
    autojump_clock: MockClock,
) -> None:
    made: list[float] = []

    class Shakier(shaky(3600)):  # type: ignore[misc]
        async def init(self) -> None:
            made.append(trio.current_time())
            await super().init()

    town = Town(handler=Shakier)
    await town.run(300)

    # Of four workers three are left, and no event raises any more.
    assert town.own() == {*range(LANES * EVENTS)} - {EVENTS}
    assert not town.failures
    assert len([at for at in made if at > 200]) in range(10, 30)


@pytest.mark.parametrize("lanes", [2, pytest.param(64, marks=pytest.mark.slow)])
async def test_workers_that_are_abandoned_again_and_again_have_their_successors_at_once(
    lanes: int, autojump_clock: MockClock
) -> None:
    failures: list[str] = []
    ledger = Ledger([Lane(n, b"api") for n in range(lanes)], failures.append, NoWatchdog())
    settings = Settings("api:80", "app.handler", Path())
    flags = build_tree(
        ServedFunction(Function(Echo), settings, ledger, Alarm()), trio.sleep_forever
    )
    async with trio.open_nursery() as nursery:
        top = partial(Supervisor, flags)
        root = spawn(nursery, top, path="/function", grace=math.inf, supervised=True)
        await wait_started(root, math.inf)
        short: list[int] = []
        for _ in range(60):
            # Each of the shortest time-out that Lambda knows, with the widest margin.
            await trio.sleep(0.75)
            for worker in [*ledger.ready]:
                worker.kill()
            await trio.sleep(0.05)
            short.append(lanes + 1 - len(ledger.ready))
        root.stop()

    assert short == [0] * 60
    assert not failures


async def test_when_no_worker_gets_ready_any_more_the_process_ends(
    autojump_clock: MockClock,
) -> None:
    class Broken(shaky(3600)):  # type: ignore[misc]
        async def handle(self, event: dict[str, int], context: Context) -> object:
            type(self).bad_until = math.inf
            raise OSError("the database is gone")

    town = Town(handler=Broken)
    await town.run(120)

    assert any("none has become ready" in why for why in town.failures)


def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each lane's poller starts."""
    starts: Counter[int] = Counter()
    init = Poller.__init__

    def counting(self: Poller, ledger: Ledger, lane: Lane, *others: Any) -> None:
        starts[lane.index] += 1
        init(self, ledger, lane, *others)

    monkeypatch.setattr(Poller, "__init__", counting)
    return starts
