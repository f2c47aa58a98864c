"""Test doubles for single modules: refs without actors, deliveries, settings."""

import json
import math
import socket
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType
from typing import Any

import attrs
import pytest
import trio

from okibi.actors import KILLED, Actor, Ref
from okibi.actors.mailbox import DEFAULT_POLICY, Mailbox
from okibi.actors.process import Process
from okibi.runtime.handlers.handler import Instance, PlainHandler
from okibi.runtime.in_flight.delivery import Delivery, DeliveryState
from okibi.runtime.in_flight.follow_ups import FollowUps
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.in_flight.ledger import Ledger
from okibi.runtime.in_flight.stream import Stream
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.settings import Settings
from okibi.runtime.system.unlisted_thread import start_unlisted_thread

SETTINGS = Settings("127.0.0.1:9001", "app.handler", "/var/task")


def ends_of_threads(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[threading.Event]:
    """Return an event per thread that the module starts from now on, set when the thread ends."""
    ends = list[threading.Event]()

    def start(act: Callable[[], None]) -> int:
        ended = threading.Event()
        ends.append(ended)

        def run() -> None:
            try:
                act()
            finally:
                ended.set()

        return start_unlisted_thread(run)

    monkeypatch.setattr(module, "start_unlisted_thread", start)
    return ends


def another_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the class in `socket`, as a user's module may do at import."""

    class Elsewhere(socket.socket):
        def connect(self, _: object) -> None:
            raise OSError("not this way")

        def connect_ex(self, _: object) -> int:
            raise OSError("not this way")

    monkeypatch.setattr(socket, "socket", Elsewhere)


def another_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break `json`, as a user's module may do at import."""

    def refuses(*_: object, **options: object) -> None:
        raise TypeError(f"it takes no {[*options]}")

    for name in ("dumps", "loads", "JSONEncoder", "JSONDecoder"):
        monkeypatch.setattr(json, name, refuses)


def worker(path: str = "/w", *, alive: bool = True) -> Ref[Any]:
    """Return a ref to an actor that does not run."""
    process = Process(path, 1, 0.0, Mailbox(DEFAULT_POLICY))
    if alive:
        process.life.run()
    else:
        process.life.end(KILLED)
    return Ref(process)


@attrs.define(eq=False)
class Inbox(Actor):
    """A worker that only keeps its mail."""

    mail: list[object] = attrs.field(factory=list[object])
    doing: str = ""

    async def run(self) -> None:
        while True:
            self.mail.append(await self.receive())


def delivery(
    body: bytes = b"{}",
    headers: Mapping[str, str] = MappingProxyType({}),
    *,
    request_id: str = "id-1",
    due: float = math.inf,
) -> Delivery:
    """Return a delivery as received."""
    sent = {name.encode(): value.encode() for name, value in headers.items()}
    return Delivery(request_id, sent, body, due, due - 0.1)


def brought_to(state: DeliveryState, by: Ref[Any] | None = None) -> Delivery:
    """Return a delivery in a state; from ASSIGNED on it belongs to a worker.

    From ACKED on it has a follow-up.
    """
    made = delivery()
    if state >= DeliveryState.ACKED:
        add_follow_up(made)
    owner = by or worker()
    steps = {
        DeliveryState.ASSIGNED: lambda: made.assign(owner),
        DeliveryState.RUNNING: lambda: made.begin(owner),
        DeliveryState.STREAMING: lambda: made.open_stream(Stream(lambda: None), owner),
        DeliveryState.SETTLED: lambda: made.settle(Outcome(b"1"), owner),
        DeliveryState.STAGED: made.stage,
        DeliveryState.ACKED: made.ack,
        DeliveryState.FOLLOWING_UP: lambda: made.begin_follow_ups(owner),
        DeliveryState.FINISHED: made.finish,
    }
    for reached, step in steps.items():
        # STREAMING is reached only if asked for.
        if reached <= state and (
            reached is not DeliveryState.STREAMING or state is DeliveryState.STREAMING
        ):
            assert step()
    return made


def plain_beside(instance: Instance) -> PlainHandler:
    """Return a handler that runs the follow-ups of an instance in a thread."""
    plain = PlainHandler(print, None, lambda what, goes_on: None)
    plain.nursery = instance.nursery
    return plain


def add_follow_up(made: Delivery, function: Callable[[], object] = print) -> FollowUps:
    """Register a follow-up, as a handler does."""
    follow_ups = made.open_follow_ups()
    assert follow_ups is not None
    follow_ups.add(function, ())
    return follow_ups


class Arrival:
    """Lets the reader of a played connection wait for data or an interruption."""

    def __init__(self) -> None:
        self._told = trio.Event()
        self._interrupted = False

    def tell(self) -> None:
        """Wake the reader: data has arrived."""
        self._told.set()

    def interrupt(self) -> None:
        """End the reader's wait, if there is one."""
        self._interrupted = True
        self._told.set()

    async def wait(self, pending: Callable[[], bool]) -> None:
        """Wait until something is pending.

        Raises:
            trio.ClosedResourceError: the wait was interrupted.
        """
        self._interrupted = False
        if pending():
            await trio.lowlevel.checkpoint()
        while not pending():
            self._told = trio.Event()
            await self._told.wait()
            if self._interrupted:
                raise trio.ClosedResourceError


@attrs.define(eq=False)
class Watched:
    """A watch that records its calls."""

    told: list[str] = attrs.field(factory=list[str])

    def arm(self, delivery: Delivery) -> None:
        self.told.append(f"arm {delivery.limit:g}")

    def settled(self) -> None:
        self.told.append("settled")


def ledger_of(lanes: int = 1, failures: list[str] | None = None) -> Ledger:
    """Return a ledger of lanes without connections."""
    failed = [] if failures is None else failures
    return Ledger([Lane(n, b"api") for n in range(lanes)], failed.append, Watched())
