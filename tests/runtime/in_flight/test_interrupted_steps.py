"""Steps that must complete, interrupted by an exception from a user's signal handler.

With one lane the process ends; with several the lane is repaired.
"""

from functools import partial

import pytest
import trio

from okibi.actors import start
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.protocol.runtime_api import chunk
from okibi.runtime.serving.responder import Responder
from tests.support.doubles import Inbox, Watched, ledger_of
from tests.support.lanes import (
    NEXT,
    SilentConnection,
    begin_stream,
    end_stream,
    open_lane,
    settle_event,
    write,
)
from tests.support.played_api import Played, event, world
from tests.support.worker_bench import bench, fresh

pytestmark = pytest.mark.usefixtures(fresh.__name__)


class LeftRunning(BaseException):
    """Raised by a time limit that the user's code left running."""


def interrupt(*_: object) -> None:
    raise LeftRunning


def message(step: str) -> str:
    return f"LeftRunning was raised within okibi's own code while {step}"


class InterruptingWatch(Watched):
    """A watch that is interrupted while an event is settled."""

    def settled(self) -> None:
        interrupt()


async def test_an_interrupted_read_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = list[str]()

    async def read() -> None:
        async with world() as made:
            made.ledger.fail = failures.append
            monkeypatch.setattr(Lane, "take_event", interrupt)
            await made.say(event())

    with pytest.raises(BaseExceptionGroup):
        await read()
    assert failures == [message("reading an event")]


async def test_an_interrupted_settle_ends_the_process(nursery: trio.Nursery) -> None:
    failures = list[str]()
    stage = await bench(nursery)
    stage.ledger.fail, stage.ledger.watch = failures.append, InterruptingWatch()

    await stage.tell("echo")
    assert failures == [message("settling an event")]


async def write_interrupted(wire: SilentConnection, lane: Lane, failures: list[str]) -> None:
    """Have a responder write on a connection that interrupts it."""
    ledger = ledger_of(1, failures)
    lane.attach(wire)

    async def write() -> None:
        async with trio.open_nursery() as nursery:
            await start(nursery, partial(Responder, lane, ledger.fail_interrupted_step))
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup):
        await write()


async def test_an_interrupted_write_ends_the_process_and_closes_the_connection() -> None:
    written = bytearray()

    class InterruptingWire(SilentConnection):
        def send(self, data: bytes | memoryview) -> int:
            written.extend(data)
            raise LeftRunning

    failures = list[str]()
    lane, wire = open_lane(), InterruptingWire()
    settle_event(lane)
    await write_interrupted(wire, lane, failures)

    assert failures == [message("writing a response")]
    assert written.count(b"POST ") == 1
    assert wire.closed


async def test_an_interrupted_stream_is_not_completed() -> None:
    class InterruptingWire(SilentConnection):
        taken = 0

        def send(self, data: bytes | memoryview) -> int:
            if self.taken:
                raise LeftRunning
            self.taken = 1
            return 1

    failures = list[str]()
    lane = open_lane()
    made = begin_stream(lane)
    await write_interrupted(InterruptingWire(), lane, failures)

    assert failures == [message("writing a response")]
    assert not lane.append_to_stream(made, chunk(b"two"))
    assert write(end_stream(lane, made)) == NEXT


# -- with several lanes, whose events would be lost with the process


async def test_with_several_lanes_an_interrupted_read_costs_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures, wires = list[str](), list[Played]()

    async def read() -> None:
        async with world() as made:
            made.ledger.fail = failures.append
            made.ledger.lanes.append(open_lane())
            wires.append(made.wire)
            monkeypatch.setattr(Lane, "take_event", interrupt)
            await made.say(event())

    with pytest.raises(BaseExceptionGroup):
        await read()
    assert failures == []
    assert wires[0].closed


async def test_with_several_lanes_an_interrupted_settle_is_still_responded(
    nursery: trio.Nursery,
) -> None:
    failures = list[str]()
    stage = await bench(nursery)
    stage.ledger.fail, stage.ledger.watch = failures.append, InterruptingWatch()
    stage.ledger.lanes.append(open_lane())
    writer = Inbox()
    stage.lane.register_responder(await start(nursery, lambda: writer))

    await stage.tell("echo")
    assert failures == []
    assert writer.mail == [None]


def test_with_several_lanes_an_interrupted_write_does_not_fail() -> None:
    failures = list[str]()

    assert not ledger_of(2, failures).fail_interrupted_step("writing a response", LeftRunning())
    assert failures == []
