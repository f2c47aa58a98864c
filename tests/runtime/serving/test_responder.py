"""The responder: what it writes, when, and after a restart."""

from trio.testing import wait_all_tasks_blocked

from okibi.runtime.in_flight.delivery import DeliveryState
from tests.support.doubles import Watched
from tests.support.played_api import ACCEPTED, NEXT, event, world


async def test_a_pipelined_response_and_get_are_one_write() -> None:
    async with world() as stage:
        assert stage.wire.taken() == NEXT
        await stage.say(event())
        assert stage.delivery.state is DeliveryState.RECEIVED
        assert isinstance(stage.ledger.watch, Watched)
        assert stage.ledger.watch.told == ["arm inf"]
        assert stage.wire.taken() == b""

        await stage.settle()

        written = stage.wire.taken()
        assert written.startswith(b"POST ")
        assert written.endswith(b"\r\n\r\n1" + NEXT)
        await stage.say(ACCEPTED + event("id-2"))
        assert stage.delivery.request_id == "id-2"
        assert len(stage.connections) == 1


async def test_without_pipelining_the_get_follows_the_status() -> None:
    async with world(pipelined=False) as stage:
        await stage.say(event())
        stage.wire.taken()
        await stage.settle()
        assert stage.wire.taken().endswith(b"\r\n\r\n1")

        await stage.say(ACCEPTED)

        assert stage.wire.taken() == NEXT


async def test_the_rest_of_a_response_is_written_when_possible() -> None:
    async with world() as stage:
        stage.wire.taken()
        await stage.say(event())
        stage.wire.room = 50
        await stage.settle(b"x" * 200_000)
        assert len(stage.wire.written) == 50

        stage.wire.room = 1 << 30
        stage.wire.drained.set()
        await wait_all_tasks_blocked()

        assert stage.wire.taken().endswith(b"x" * 100 + NEXT)


async def test_a_stopped_responder_writes_the_rest_first() -> None:
    async with world() as stage:
        stage.lane.closing = True
        await stage.say(event())
        stage.wire.taken()
        stage.wire.room = 50
        await stage.settle(b"x" * 200_000)
        stage.responders[0].stop()
        await wait_all_tasks_blocked()
        assert len(stage.wire.written) == 50

        stage.wire.room = 1 << 30
        stage.wire.drained.set()
        await wait_all_tasks_blocked()

        assert stage.wire.taken().endswith(b"x" * 200_000)
        assert str(stage.responders[0].reason) == "shutdown"


async def test_a_new_responder_writes_on_where_the_old_one_stopped() -> None:
    async with world() as stage:
        await stage.say(event())
        stage.wire.taken()
        stage.wire.room = 20
        await stage.settle()
        stage.responders[0].kill()
        await wait_all_tasks_blocked()
        stage.wire.room = 1 << 30

        await stage.responder()

        written = stage.wire.taken()
        assert written.count(b"POST ") == 1
        assert written.endswith(b"\r\n\r\n1" + NEXT)


async def test_a_new_responder_stages_a_delivery_settled_meanwhile() -> None:
    async with world() as stage:
        await stage.say(event())
        stage.wire.taken()
        stage.responders[0].kill()
        await wait_all_tasks_blocked()
        await stage.settle()
        assert stage.wire.taken() == b""

        await stage.responder()

        assert stage.wire.taken().startswith(b"POST ")
