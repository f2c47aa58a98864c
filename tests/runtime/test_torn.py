"""Steps that are whole or not at all, left in their middle by what no room can have foreseen, as a
signal handler of the user's that raises whenever its time is over: the process ends.
"""

from functools import partial

import pytest
import trio

from actors import start
from runtime.lane import Lane
from runtime.responder import Responder
from runtime.wire import chunk
from tests.runtime.lanes import NEXT, Wire, ended, lane_of, settled, streaming, write
from tests.runtime.played import event, world
from tests.runtime.player import bench, fresh
from tests.runtime.stage import Watched, ledger_of

pytestmark = pytest.mark.usefixtures(fresh.__name__)


class LeftTicking(BaseException):
    """What a time limit of the user's raises."""


def rings(*_: object) -> None:
    raise LeftTicking


def words(step: str) -> str:
    return f"LeftTicking was raised in the middle of okibi's own work, {step}"


async def test_what_was_read_and_not_taken_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = list[str]()

    async def read() -> None:
        async with world() as made:
            made.ledger.fail = failures.append
            monkeypatch.setattr(Lane, "event", rings)
            await made.say(event())

    with pytest.raises(BaseExceptionGroup):
        await read()
    assert failures == [words("as an event was read")]


async def test_so_does_an_answer_that_nobody_may_have_been_told_of(nursery: trio.Nursery) -> None:
    class Rings(Watched):
        def settled(self) -> None:
            rings()

    failures = list[str]()
    stage = await bench(nursery)
    stage.ledger.fail, stage.ledger.watch = failures.append, Rings()

    await stage.tell("echo")
    assert failures == [words("as an answer was given")]


async def torn_by(wire: Wire, lane: Lane, failures: list[str]) -> None:
    """Have a responder write on a connection that tears it."""
    ledger = ledger_of(1, failures)
    lane.connected(wire)

    async def write() -> None:
        async with trio.open_nursery() as nursery:
            await start(nursery, partial(Responder, lane, ledger.torn))
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup):
        await write()


async def test_and_one_of_which_nobody_knows_how_much_is_out_nor_does_more_of_it_follow() -> None:
    written = bytearray()

    class Rings(Wire):
        def send(self, data: memoryview) -> int:
            written.extend(data)
            raise LeftTicking

    failures = list[str]()
    lane, wire = lane_of(), Rings()
    settled(lane)
    await torn_by(wire, lane, failures)

    assert failures == [words("as an answer was written")]
    assert written.count(b"POST ") == 1
    assert wire.closed


async def test_a_stream_of_which_a_piece_may_be_lost_has_no_good_end() -> None:
    class Rings(Wire):
        taken = 0

        def send(self, data: memoryview) -> int:
            if self.taken:
                raise LeftTicking
            self.taken = 1
            return 1

    failures = list[str]()
    lane = lane_of()
    made = streaming(lane)
    await torn_by(Rings(), lane, failures)

    assert failures == [words("as an answer was written")]
    assert not lane.go_on(made, chunk(b"two"))
    assert write(ended(lane, made)) == NEXT


def test_beside_other_lanes_it_does_not_for_their_events_would_be_lost() -> None:
    failures = list[str]()

    assert not ledger_of(2, failures).torn("as an event was read", LeftTicking())
    assert failures == []
