"""The platform and the handlers of a run in which actors are killed.

`endurance.sweep` runs the whole tree against it, in one trio run and without sockets. What the
responder writes is parsed at once, and the answers wait in the transport until the poller reads
them. The state machine is the local server's. All clocks are virtual, so a seed determines the run.
"""

import json
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import trio

from okibi.actors import Ref
from okibi.local.platform.classic_mode import ClassicPlatform
from okibi.local.platform.hooks import RuntimeApiHooks
from okibi.local.platform.invocation import Invocation
from okibi.local.platform.journal import Journal
from okibi.local.platform.platform import Platform
from okibi.local.server.connection import Connection
from okibi.runtime.handlers.context import Context
from okibi.runtime.handlers.handler import Handler
from okibi.runtime.handlers.response import Item
from okibi.runtime.in_flight.delivery import Delivery
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.in_flight.ledger import Ledger
from okibi.runtime.protocol.transport import Transport
from okibi.runtime.serving.extension import ExtensionConnection
from tests.support.doubles import Arrival

if TYPE_CHECKING:
    from okibi.runtime.in_flight.ledger import Watch

ALL = 1 << 30
EVENTS = 3
# Seconds that the platform gives an invocation: more than any run takes.
TIMEOUT = 900.0


@attrs.frozen
class Point:
    """One run: its shape, and which actors are killed at which steps."""

    lanes: int
    piece: int
    pipelined: bool
    kills: tuple[tuple[int, str], ...]
    seed: int
    streams: bool = False


@attrs.define(eq=False)
class MemoryTransport:
    """A connection to a ClassicPlatform that takes a few bytes at a time."""

    piece: int
    connection: Connection = attrs.field(init=False)
    _inbox: bytearray = attrs.field(factory=bytearray, init=False)
    _full: bool = attrs.field(default=False, init=False)
    _arrival: Arrival = attrs.field(factory=Arrival, init=False)

    def deliver(self, pieces: list[bytes]) -> None:
        self._inbox += b"".join(pieces)
        self._arrival.tell()

    def receive(self, limit: int) -> bytes:
        if not self._inbox:
            raise BlockingIOError
        data = bytes(self._inbox[:limit])
        del self._inbox[:limit]
        return data

    def send(self, data: bytes | memoryview) -> int:
        if self._full:
            raise BlockingIOError
        taken = min(len(data), self.piece)
        self._full = taken < len(data)
        self.connection.receive(bytes(data[:taken]))
        return taken

    def pending(self) -> bool:
        return bool(self._inbox)

    async def readable(self) -> None:
        await self._arrival.wait(self.pending)

    async def writable(self) -> None:
        await trio.lowlevel.checkpoint()
        self._full = False

    def interrupt(self) -> None:
        self._arrival.interrupt()

    def close(self) -> None:
        self.connection.peer_gone()


class NoWatchdog:
    """No watchdog: no thread takes part in these runs."""

    def arm(self, delivery: Delivery) -> None: ...

    def settled(self) -> None: ...


class RecordingLedger(Ledger):
    """A ledger that remembers every delivery with its lane.

    Attributes:
        short: intervals with fewer workers than lanes; the last may be open.
    """

    def __init__(self, lanes: list[Lane], fail: Callable[[str], None], watch: "Watch") -> None:
        super().__init__(lanes, fail, watch)
        self.deliveries = list[Delivery]()
        self.lane_of = dict[Delivery, int]()
        self.tell: Callable[[Delivery], None] = lambda _: None
        self.short = list[list[float]]()

    def dispatch(self, lane: Lane, delivery: Delivery) -> None:
        self.deliveries.append(delivery)
        self.lane_of[delivery] = lane.index
        self.tell(delivery)
        super().dispatch(lane, delivery)

    def add_worker(self, worker: Ref[Any]) -> None:
        super().add_worker(worker)
        self.count_workers()

    def remove_worker(self, worker: Ref[Any]) -> bool:
        was_idle = super().remove_worker(worker)
        self.count_workers()
        return was_idle

    def count_workers(self) -> None:
        """Record whether workers are missing. Also call this after a kill."""
        lasts = bool(self.short) and math.isinf(self.short[-1][1])
        short = sum(worker.alive for worker in self.ready) < len(self.lanes)
        if short and not lasts:
            self.short.append([trio.current_time(), math.inf])
        elif lasts and not short:
            self.short[-1][1] = trio.current_time()


@attrs.define(eq=False)
class Echo(Handler[dict[str, int]]):
    """Two checkpoints, then the event's own number; each third event raises instead."""

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
    """Three pieces with checkpoints between; each third event raises after the second."""

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
    """The platform of one run: a Runtime API per lane, with its invoker.

    Attributes:
        offered: the time of each invocation's offer, by request id.
        failures: the reasons for which the process was ended.
        done: set when all events are answered and the next ones asked for, or the process ends.
        rest: seconds of the run after `done`, in which the last killed actor is restarted and the
            last status is read.
    """

    point: Point
    invocations: list[Invocation] = attrs.field(factory=list[Invocation], init=False)
    offered: dict[str, float] = attrs.field(factory=dict[str, float], init=False)
    failures: list[str] = attrs.field(factory=list[str], init=False)
    journal: Journal = attrs.field(factory=Journal, init=False)
    connections: int = attrs.field(default=0, init=False)
    done: trio.Event = attrs.field(factory=trio.Event, init=False)
    rest: float = attrs.field(default=20.0, init=False)
    registration: ExtensionConnection | None = attrs.field(default=None, init=False)
    _left: int = attrs.field(init=False)
    _exchanges: list[Platform] = attrs.field(factory=list[Platform], init=False)

    def __attrs_post_init__(self) -> None:
        lanes = range(self.point.lanes)
        own = [iter(range(lane * EVENTS, (lane + 1) * EVENTS)) for lane in lanes]
        self._serve(own, len(lanes) * EVENTS)

    def _serve(self, lanes: list[Iterator[int]], events: int) -> None:
        """Offer each lane its events, each after the end of the previous one."""
        self._left = events
        for lane, numbers in enumerate(lanes):
            ended = partial(self._ended, lane, numbers)
            platform = ClassicPlatform(
                trio.current_time, time.time, self.journal, hooks=RuntimeApiHooks(on_end=ended)
            )
            self._exchanges.append(platform)
            self._offer(lane, numbers)

    def _offer(self, lane: int, numbers: Iterator[int]) -> None:
        number = next(numbers, None)
        if number is not None:
            event = json.dumps({"n": number}).encode()
            invocation = Invocation(event, self.timeout(number))
            self.invocations.append(invocation)
            self.offered[invocation.request_id] = trio.current_time()
            self._exchanges[lane].offer(invocation)

    def _ended(self, lane: int, numbers: Iterator[int], _: Invocation) -> None:
        self._left -= 1
        if not self._left:
            self.done.set()
        self._offer(lane, numbers)

    async def connect(self) -> Transport:
        await trio.lowlevel.checkpoint()
        transport = MemoryTransport(self.point.piece)
        platform = self._exchanges[self.connections % len(self._exchanges)]
        self.connections += 1
        transport.connection = Connection(platform, "arn", transport.deliver)
        return transport

    # -- overridden by other kinds of runs

    def begin(self, nursery: trio.Nursery, ledger: RecordingLedger) -> None:
        """Start what has to run beside the tree."""

    def timeout(self, number: int) -> float:
        """Return the seconds that the platform gives an event."""
        return TIMEOUT

    def takes(self, number: int) -> float:
        """Return the maximum of seconds from an event to its response, without kills."""
        return 0.0

    def is_own(self, number: int, payload: bytes) -> bool:
        """Whether a payload is the handler's own response to an event."""
        if number % 3 == 1:
            # An error response has more than the message; a result has nothing else.
            return b'"errorMessage": "own %d"' % number in payload
        own = b"own %d two three" if self.point.streams else b'{"own":%d}'
        return payload == own % number
