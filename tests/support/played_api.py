"""A lane with its poller and responder, against a Runtime API played by the test."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import trio
from trio.abc import Instrument
from trio.testing import wait_all_tasks_blocked

from okibi.actors import Name, Ref, start
from okibi.runtime.codec.typed_json import decoder_for, encode_handler_result
from okibi.runtime.handlers.context import Context
from okibi.runtime.handlers.handler import AsyncHandler
from okibi.runtime.in_flight.delivery import Delivery
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.in_flight.ledger import DISPATCHER, Ledger
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.protocol.runtime_api import next_request
from okibi.runtime.protocol.transport import Transport
from okibi.runtime.serving.busy_poll import BusyPoll
from okibi.runtime.serving.dispatcher import Dispatcher
from okibi.runtime.serving.poller import Poller
from okibi.runtime.serving.responder import Responder
from okibi.runtime.serving.worker import Worker
from tests.support.doubles import SETTINGS, Arrival, ledger_of, plain_beside

NEXT = next_request(b"api")
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


def event(request_id: str = "id-1", body: bytes = b"{}", head: bytes = b"") -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: %s\r\n%sContent-Length: %d\r\n\r\n%s"
        % (request_id.encode(), head, len(body), body)
    )


class Passes(Instrument):
    """Counts the passes of trio's loop."""

    made = 0

    def before_io_wait(self, timeout: float) -> None:
        self.made += 1


@attrs.define(eq=False)
class Played:
    """A connection whose other side is the test."""

    written: bytearray = attrs.field(factory=bytearray)
    inbox: list[bytes | OSError] = attrs.field(factory=list[bytes | OSError])
    room: int = 1 << 30
    sends: int = 0
    waits: int = 0
    interrupts: int = 0
    limits: list[int] = attrs.field(factory=list[int])
    closed: bool = False
    # Sent after each response that is written, in order.
    answers: list[bytes] = attrs.field(factory=list[bytes])
    arrival: Arrival = attrs.field(factory=Arrival)
    drained: trio.Event = attrs.field(factory=trio.Event)

    def say(self, *data: bytes | OSError) -> None:
        self.inbox.extend(data)
        self.arrival.tell()

    def receive(self, limit: int) -> bytes:
        self.limits.append(limit)
        if not self.inbox:
            raise BlockingIOError
        data = self.inbox.pop(0)
        if isinstance(data, OSError):
            raise data
        return data

    def send(self, data: bytes | memoryview) -> int:
        if not self.room:
            raise BlockingIOError
        self.sends += 1
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.written += taken
        if self.answers and taken.startswith(b"POST "):
            self.say(self.answers.pop(0))
        return len(taken)

    def pending(self) -> bool:
        return bool(self.inbox)

    async def readable(self) -> None:
        self.waits += 1
        await self.arrival.wait(self.pending)

    async def writable(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self.room:
            await self.drained.wait()

    def interrupt(self) -> None:
        self.interrupts += 1
        self.arrival.interrupt()

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        """Return what was written since the last call."""
        taken = bytes(self.written)
        self.written.clear()
        return taken


@attrs.define(eq=False)
class World:
    """One lane with its poller and responder."""

    ledger: Ledger
    failures: list[str]
    nursery: trio.Nursery
    busy_poll: BusyPoll
    connections: list[Played] = attrs.field(factory=list[Played])
    refusals: int = 0
    pollers: list[Ref[Poller]] = attrs.field(factory=list[Ref[Poller]])
    responders: list[Ref[Responder]] = attrs.field(factory=list[Ref[Responder]])

    @property
    def lane(self) -> Lane:
        return self.ledger.lanes[0]

    @property
    def wire(self) -> Played:
        return self.connections[-1]

    @property
    def delivery(self) -> Delivery:
        assert self.lane.delivery is not None
        return self.lane.delivery

    async def connect(self) -> Transport:
        await trio.lowlevel.checkpoint()
        if self.refusals:
            self.refusals -= 1
            raise ConnectionRefusedError("nobody listens")
        self.connections.append(Played())
        return self.connections[-1]

    async def say(self, *data: bytes | OSError) -> None:
        self.wire.say(*data)
        await wait_all_tasks_blocked()

    async def settle(self, body: bytes = b"1") -> None:
        assert self.delivery.settle(Outcome(body))
        self.ledger.respond(self.lane)
        await wait_all_tasks_blocked()

    async def serves(self, handler: Callable[[Any, Context], Any]) -> None:
        """Have a handler's worker and a dispatcher beside the lane."""
        make, decoder = partial(AsyncHandler, handler), decoder_for(Any)
        await start(
            self.nursery,
            partial(
                Worker,
                self.ledger,
                SETTINGS,
                make,
                decoder,
                False,
                encode_handler_result,
                plain_beside,
            ),
        )
        await start(self.nursery, partial(Dispatcher, self.ledger), name=DISPATCHER)
        await wait_all_tasks_blocked()

    async def poller(self) -> None:
        factory = partial(Poller, self.ledger, self.lane, self.connect, self.busy_poll)
        self.pollers.append(await start(self.nursery, factory, path="poller"))
        await wait_all_tasks_blocked()

    async def responder(self) -> None:
        name: Name[Any] = self.lane.responder_name
        factory = partial(Responder, self.lane)
        self.responders.append(await start(self.nursery, factory, name=name, path="responder"))
        await wait_all_tasks_blocked()


@asynccontextmanager
async def world(
    pipelined: bool = True, refusals: int = 0, busy_poll: BusyPoll | None = None
) -> AsyncIterator[World]:
    failures: list[str] = []
    async with trio.open_nursery() as nursery:
        looks = busy_poll or BusyPoll(0.0)
        made = World(ledger_of(1, failures), failures, nursery, looks, refusals=refusals)
        if not pipelined:
            made.lane.outbox.end_pipelining()
        await made.responder()
        await made.poller()
        yield made
        nursery.cancel_scope.cancel()
