"""The responder: what it writes, when, and after a restart."""

from trio.testing import wait_all_tasks_blocked

from tests.support.played_api import NEXT, event, world


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
        stage.lane.stop_asking()
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
