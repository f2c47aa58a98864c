"""Steps that are whole or not at all, left in their middle by what no room can have foreseen, as a
signal handler of the user's that raises whenever its time is over: the process ends.
"""

from functools import partial

import pytest
import trio

from okibi.actors import start
from okibi.runtime.in_flight.lane import Lane
from okibi.runtime.protocol.runtime_api import chunk
from okibi.runtime.serving.responder import Responder
from tests.support.doubles import Inbox, Watched, ledger_of
from tests.support.lanes import NEXT, Wire, ended, lane_of, settled, streaming, write
from tests.support.played_api import Played, event, world
from tests.support.worker_bench import bench, fresh

pytestmark = pytest.mark.usefixtures(fresh.__name__)


class LeftTicking(BaseException):
    """What a time limit of the user's raises."""


def rings(*_: object) -> None:
    raise LeftTicking


def words(step: str) -> str:
    return f"LeftTicking was raised within okibi's own code while {step}"


class Rings(Watched):
    """A watch that is interrupted as an answer is settled."""

    def settled(self) -> None:
        rings()


async def test_what_was_read_and_not_taken_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = list[str]()

    async def read() -> None:
        async with world() as made:
            made.ledger.fail = failures.append
            monkeypatch.setattr(Lane, "take_event", rings)
            await made.say(event())

    with pytest.raises(BaseExceptionGroup):
        await read()
    assert failures == [words("reading an event")]


async def test_so_does_an_answer_that_nobody_may_have_been_told_of(nursery: trio.Nursery) -> None:
    failures = list[str]()
    stage = await bench(nursery)
    stage.ledger.fail, stage.ledger.watch = failures.append, Rings()

    await stage.tell("echo")
    assert failures == [words("settling an event")]


async def torn_by(wire: Wire, lane: Lane, failures: list[str]) -> None:
    """Have a responder write on a connection that tears it."""
    ledger = ledger_of(1, failures)
    lane.attach(wire)

    async def write() -> None:
        async with trio.open_nursery() as nursery:
            await start(nursery, partial(Responder, lane, ledger.fail_interrupted_step))
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup):
        await write()


async def test_and_one_of_which_nobody_knows_how_much_is_out_nor_does_more_of_it_follow() -> None:
    written = bytearray()

    class Tears(Wire):
        def send(self, data: memoryview) -> int:
            written.extend(data)
            raise LeftTicking

    failures = list[str]()
    lane, wire = lane_of(), Tears()
    settled(lane)
    await torn_by(wire, lane, failures)

    assert failures == [words("writing a response")]
    assert written.count(b"POST ") == 1
    assert wire.closed


async def test_a_stream_of_which_a_piece_may_be_lost_has_no_good_end() -> None:
    class Tears(Wire):
        taken = 0

        def send(self, data: memoryview) -> int:
            if self.taken:
                raise LeftTicking
            self.taken = 1
            return 1

    failures = list[str]()
    lane = lane_of()
    made = streaming(lane)
    await torn_by(Tears(), lane, failures)

    assert failures == [words("writing a response")]
    assert not lane.append_to_stream(made, chunk(b"two"))
    assert write(ended(lane, made)) == NEXT


# -- beside other lanes, whose events would be lost with the process


async def test_beside_other_lanes_what_was_read_costs_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures, wires = list[str](), list[Played]()

    async def read() -> None:
        async with world() as made:
            made.ledger.fail = failures.append
            made.ledger.lanes.append(lane_of())
            wires.append(made.wire)
            monkeypatch.setattr(Lane, "take_event", rings)
            await made.say(event())

    with pytest.raises(BaseExceptionGroup):
        await read()
    assert failures == []
    assert wires[0].closed


async def test_beside_other_lanes_an_answer_that_is_there_is_told_of(
    nursery: trio.Nursery,
) -> None:
    failures = list[str]()
    stage = await bench(nursery)
    stage.ledger.fail, stage.ledger.watch = failures.append, Rings()
    stage.ledger.lanes.append(lane_of())
    writer = Inbox()
    stage.lane.responder = await start(nursery, lambda: writer)

    await stage.tell("echo")
    assert failures == []
    assert writer.mail == [None]


def test_beside_other_lanes_a_write_is_left_to_who_comes_next() -> None:
    failures = list[str]()

    assert not ledger_of(2, failures).fail_interrupted_step("writing a response", LeftTicking())
    assert failures == []
