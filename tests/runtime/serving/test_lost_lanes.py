"""Several lanes in memory, some without a connection, some whose workers fail in `init`.

The other lanes serve on, and retries pause.
"""

import json
import logging
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, ClassVar

import attrs
import pytest
import trio
from trio.testing import MockClock

from okibi.actors import KILLED
from okibi.actors.start import spawn, wait_started
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
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
# Number of an event that the simulated platform does not send.
LONG = -1
FAULT = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


@attrs.define(eq=False)
class Crashing(MemoryTransport):
    """A connection that takes what is written. Its reader crashes with an unforeseen error."""

    def send(self, data: bytes | memoryview) -> int:
        return len(data)

    def close(self) -> None:
        """Do nothing: no server holds the other end."""

    async def readable(self) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a fault")


@attrs.define(eq=False)
class SameResponse(Played):
    """A connection whose server answers every GET with the same response."""

    answer: bytes = b""

    def send(self, data: bytes | memoryview) -> int:
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
        # Wake the waiting writer.
        self.room = 1
        self.drained.set()


def sends(*data: bytes | OSError) -> Played:
    """A connection whose server sends something at once."""
    made = Played()
    made.say(*data)
    return made


@attrs.define(eq=False)
class Platform:
    """A platform with an API per lane; `bad` may replace a lane's connections."""

    bad: Callable[[int], Transport | None] = lambda lane: None
    handler: type[Handler[dict[str, int]]] = Echo
    failures: list[str] = attrs.field(factory=list[str])
    world: World = attrs.field(init=False)
    lanes: list[Lane] = attrs.field(init=False)
    connects: Counter[int] = attrs.field(factory=Counter[int], init=False)
    # Two at a time would get the connection of the same lane.
    connecting: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self.world = World(Point(LANES, ALL, True, (), 1))
        self.lanes = [Lane(n, b"api") for n in range(LANES)]

    async def connect(self) -> Transport:
        # The lane is that of the poller in this task.
        await trio.lowlevel.checkpoint()
        name = trio.lowlevel.current_task().name.rpartition("-")[2]
        number = int(name) if name.isdigit() else 0
        self.connects[number] += 1
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

    def own_results(self) -> set[int]:
        """The events that were answered with their handler's own result."""
        payloads = [it.outcome.payload for it in self.world.invocations if it.outcome is not None]
        return {json.loads(each)["own"] for each in payloads if b'"own":' in each}

    async def run(self, seconds: float) -> None:
        """Serve for some seconds, or until the process would end."""
        time_limit = trio.CancelScope(deadline=trio.current_time() + seconds)

        def fail(why: str) -> None:
            self.failures.append(why)
            time_limit.cancel()

        ledger = Ledger(self.lanes, fail, NoWatchdog())
        settings = Settings("api:80", "app.handler", ".")
        spec = build_tree(
            ServedFunction(Function(self.handler), settings, ledger, DeadlineInterrupt()),
            self.connect,
        )
        async with trio.open_nursery() as nursery:
            top = partial(Supervisor, spec)
            root = spawn(nursery, top, path="/function", grace=math.inf, supervised=True)
            await wait_started(root, math.inf)
            try:
                with time_limit:
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


CRASH = "the poller crashes"
BAD: dict[str, Callable[[], Transport]] = {
    "refused": refuse,
    "closed at once": lambda: sends(b""),
    "reset": lambda: sends(ConnectionResetError("reset")),
    "garbage": lambda: sends(b"noise\r\n\r\n"),
    "unexpected responses": lambda: sends(ACCEPTED + ACCEPTED),
    "403": lambda: SameResponse(answer=REFUSAL),
    CRASH: lambda: Crashing(ALL),
}


def only_lane(number: int, make: Callable[[], Transport]) -> Callable[[int], Transport | None]:
    return lambda lane: make() if lane == number else None


@pytest.mark.parametrize("trouble", BAD)
async def test_a_lane_that_fails_for_minutes_does_not_affect_others(
    trouble: str, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = count_starts(monkeypatch)
    platform = Platform(only_lane(1, BAD[trouble]))

    await platform.run(120)

    assert platform.answered() == {0, 2}
    assert not platform.failures
    # Retried, with pauses.
    assert platform.connects[1] + starts[1] < 160
    assert starts[0] == starts[2] == 1


# The other two keep their connection.
@pytest.mark.parametrize("trouble", [each for each in BAD if each not in ("403", CRASH)])
async def test_a_lane_serves_again_after_a_while_of_failures(
    trouble: str, autojump_clock: MockClock
) -> None:
    def bad(lane: int) -> Transport | None:
        return BAD[trouble]() if lane == 1 and trio.current_time() < mended else None

    mended = trio.current_time() + 60
    platform = Platform(bad)
    await platform.run(120)

    assert platform.answered() == {0, 1, 2}
    assert not platform.failures
    assert not any(lane.failures.unavailable for lane in platform.lanes)


@pytest.mark.parametrize("trouble", ["refused", CRASH])
async def test_the_process_ends_when_no_lane_serves(
    trouble: str, autojump_clock: MockClock
) -> None:
    platform = Platform(lambda _: BAD[trouble]())

    await platform.run(120)

    assert platform.failures
    assert all(lane.failures.unavailable for lane in platform.lanes)


@attrs.define(eq=False)
class Shielded(Handler[dict[str, int]]):
    """Streams; with the event LONG it goes on for 30 s in a shield."""

    async def handle(self, event: dict[str, int], context: Context) -> AsyncIterator[Item]:
        yield b"own"
        if event["n"] == LONG:
            with trio.move_on_after(30, shield=True):
                await trio.sleep_forever()


async def test_a_shielded_broken_stream_ends_at_its_deadline(
    autojump_clock: MockClock,
) -> None:
    deadline = b"Lambda-Runtime-Deadline-Ms: %d\r\n" % ((time.time() + 10) * 1000)
    cut = SameResponse(answer=event(body=b'{"n": %d}' % LONG, head=deadline))
    connections = iter([cut])
    platform = Platform(lambda lane: next(connections, None) if lane == 1 else None, Shielded)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(platform.run, 60)
        await trio.sleep(5)
        cut.say(b"")
        await trio.sleep(4)
        made = platform.lanes[1].delivery
        assert made is not None
        assert made.worker is not None
        assert made.state is DeliveryState.STREAMING
        assert platform.answered() == {0, 2}

        # Half of the margin before the deadline, as the watchdog does.
        await trio.sleep(0.96)
        wake(DISPATCHER)
        await trio.sleep(1)

        assert made.outcome is not None
        assert made.outcome.error_type == "Runtime.DeadlineExceeded"
        assert not made.worker.alive
        assert platform.answered() == {0, 1, 2}

    assert made.worker.reason is KILLED
    assert not platform.failures
    assert platform.connects == {0: 1, 1: 2, 2: 1}


async def test_a_500_to_one_lane_is_retried_with_pauses(autojump_clock: MockClock) -> None:
    platform = Platform(only_lane(1, lambda: SameResponse(answer=FAULT)))

    await platform.run(60)

    assert platform.answered() == {0, 2}
    assert not platform.failures
    assert platform.lanes[1].failures.unavailable


@attrs.define(eq=False)
class Shaky(Echo):
    """One event raises; after that, `init` fails for a while."""

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


@pytest.mark.parametrize("lasts", [0.2, 60, 3600])
async def test_a_worker_without_an_instance_does_not_affect_others(
    lasts: float, autojump_clock: MockClock
) -> None:
    platform = Platform(handler=shaky(lasts))

    await platform.run(200)

    assert platform.own_results() == {*range(LANES * EVENTS)} - {EVENTS}
    assert not platform.failures


@pytest.mark.parametrize("lanes", [2, pytest.param(64, marks=pytest.mark.slow)])
async def test_repeatedly_abandoned_workers_are_replaced_at_once(
    lanes: int, autojump_clock: MockClock
) -> None:
    failures: list[str] = []
    ledger = Ledger([Lane(n, b"api") for n in range(lanes)], failures.append, NoWatchdog())
    settings = Settings("api:80", "app.handler", ".")
    spec = build_tree(
        ServedFunction(Function(Echo), settings, ledger, DeadlineInterrupt()), trio.sleep_forever
    )
    async with trio.open_nursery() as nursery:
        top = partial(Supervisor, spec)
        root = spawn(nursery, top, path="/function", grace=math.inf, supervised=True)
        await wait_started(root, math.inf)
        short: list[int] = []
        for _ in range(60):
            # Lambda's shortest time-out with the widest margin.
            await trio.sleep(0.75)
            for worker in [*ledger.ready]:
                worker.kill()
            await trio.sleep(0.05)
            short.append(lanes + 1 - len(ledger.ready))
        root.stop()

    assert short == [0] * 60
    assert not failures


async def test_workers_without_an_instance_answer_events_until_init_succeeds(
    autojump_clock: MockClock,
) -> None:
    crashes, failed_inits = 2 * LANES, 10

    class Recovering(Handler[dict[str, int]]):
        crashes_left, inits = crashes, 0

        async def init(self) -> None:
            kind = type(self)
            kind.inits += 1
            if LANES + 1 < kind.inits <= LANES + 1 + failed_inits:
                raise OSError("the database is gone")

        async def handle(self, event: dict[str, int], context: Context) -> object:
            kind = type(self)
            kind.crashes_left -= 1
            if kind.crashes_left >= 0:
                raise OSError("the database is gone")
            return {"own": event["n"]}

    platform = Platform(handler=Recovering)
    await platform.run(120)

    assert platform.answered() == {*range(LANES)}
    assert len(platform.own_results()) >= LANES * EVENTS - crashes - failed_inits
    assert not platform.failures


def count_starts(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Count the starts of each lane's poller."""
    starts: Counter[int] = Counter()
    init = Poller.__init__

    def counting(self: Poller, ledger: Ledger, lane: Lane, *others: Any) -> None:
        starts[lane.index] += 1
        init(self, ledger, lane, *others)

    monkeypatch.setattr(Poller, "__init__", counting)
    return starts
