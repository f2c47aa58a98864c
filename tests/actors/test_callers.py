"""Who calls: the actor, or the task outside any, whichever way a message has come."""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import (
    KILLED,
    NO_PROCESS,
    NO_REPLY,
    CallingTask,
    Down,
    Monitor,
    Portal,
    Ref,
    Reply,
    Server,
    from_sync,
    from_thread,
    start,
    stop,
)
from okibi.actors.callers import _ends

Caller = Ref[Any] | CallingTask


@attrs.define(eq=False)
class Desk(Server):
    """Notes who calls, and watches each."""

    callers: list[Caller] = attrs.Factory(list)
    downs: list[Down] = attrs.Factory(list)
    refused: list[str] = attrs.Factory(list)
    monitors: list[Monitor] = attrs.Factory(list)

    async def come(self) -> Caller:
        self.callers.append(self.caller)
        self.monitors.append(self.monitor(self.caller))
        return self.caller

    async def catch_up(self) -> None:
        """Answered when all that was sent before has been served."""

    async def come_later(self) -> Caller:
        reply: Reply[Caller] = self.reply_later()
        reply.send(await self.come())
        return NO_REPLY

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Down):
            self.downs.append(message)
        try:
            self.callers.append(self.caller)
        except RuntimeError as error:
            self.refused.append(str(error))


class Client(Server):
    async def do(self, act: Callable[[], Awaitable[object]]) -> None:
        await act()

    async def door(self) -> Portal:
        return Portal()


@pytest.fixture
async def desk(nursery: trio.Nursery) -> Desk:
    """A desk in person; the test may look at its fields."""
    ref = await start(nursery, Desk)
    actor = ref.process().actor
    assert isinstance(actor, Desk)
    return actor


async def done(desk: Desk) -> None:
    """Stop it, and see that nothing is left of whom it watched."""
    await stop(desk.ref)
    assert not _ends().watched
    for caller in desk.callers:
        if isinstance(caller, Ref):
            assert not caller.process().watchers


async def pending(desk: Ref[Desk]) -> None:
    await (await desk.request(Desk.come)).result()


async def nowait(desk: Ref[Desk]) -> None:
    desk.cast_nowait(Desk.come)


WAYS: dict[str, Callable[[Ref[Desk]], Awaitable[object]]] = {
    "call": lambda desk: desk.call(Desk.come),
    "reply_later": lambda desk: desk.call(Desk.come_later),
    "cast": lambda desk: desk.cast(Desk.come),
    "cast_nowait": nowait,
    "request": pending,
    "from_thread": lambda desk: trio.to_thread.run_sync(from_thread.call, desk, Desk.come),
    "from_sync": lambda desk: trio.to_thread.run_sync(from_sync.cast, desk, Desk.come),
    "abandoned thread": lambda desk: trio.to_thread.run_sync(
        from_thread.call, desk, Desk.come, abandon_on_cancel=True
    ),
    "Portal": lambda desk: trio.to_thread.run_sync(Portal().call, desk, Desk.come),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_an_actor_that_asks_is_the_caller_and_can_be_monitored(
    desk: Desk, nursery: trio.Nursery, way: Callable[[Ref[Desk]], Awaitable[object]]
) -> None:
    client = await start(nursery, Client)

    await client.call(Client.do, lambda: way(desk.ref))
    await wait_all_tasks_blocked()
    client.kill()
    await wait_all_tasks_blocked()

    assert desk.callers == [client]
    assert desk.downs == [Down("Client", KILLED, desk.monitors[0], client)]
    await done(desk)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_task_outside_any_actor_is_the_caller_and_can_be_monitored(
    desk: Desk, way: Callable[[Ref[Desk]], Awaitable[object]]
) -> None:
    async def client() -> None:
        tasks.append(trio.lowlevel.current_task())
        await way(desk.ref)
        await desk.ref.call(Desk.catch_up)
        came.set()
        await leave.wait()

    tasks: list[trio.lowlevel.Task] = []
    came, leave = trio.Event(), trio.Event()
    async with trio.open_nursery() as room:
        room.start_soon(client, name="bob")
        await came.wait()
        assert desk.callers == [CallingTask(tasks[0])]
        assert not desk.downs
        assert CallingTask(tasks[0]).alive
        leave.set()
    await wait_all_tasks_blocked()

    assert desk.downs == [Down("bob", NO_PROCESS, desk.monitors[0], None)]
    assert not CallingTask(tasks[0]).alive
    await done(desk)


async def test_what_comes_through_a_door_comes_from_the_actor_that_has_made_it(
    desk: Desk, nursery: trio.Nursery
) -> None:
    client = await start(nursery, Client)
    door = await client.call(Client.door)

    caller = await trio.to_thread.run_sync(door.call, desk.ref, Desk.come)

    assert caller == client
    await stop(client)
    await done(desk)


async def test_callers_are_compared_by_their_task(desk: Desk, nursery: trio.Nursery) -> None:
    client = await start(nursery, Client)

    mine = [await desk.ref.call(Desk.come) for _ in range(2)]
    await client.call(Client.do, lambda: desk.ref.call(Desk.come))

    assert mine[0] == mine[1] != desk.callers[2]
    assert len({*desk.callers}) == 2
    assert repr(mine[0]) == f"<CallingTask {mine[0].path}>"
    await stop(client)
    await done(desk)


async def test_many_monitors_of_many_tasks_each_bring_one_down(desk: Desk) -> None:
    async def client(times: int) -> None:
        for _ in range(times):
            await desk.ref.call(Desk.come)
        await leave.wait()

    leave = trio.Event()
    async with trio.open_nursery() as room:
        for times in (1, 2):
            room.start_soon(client, times, name=str(times))
        await wait_all_tasks_blocked()
        leave.set()
    await wait_all_tasks_blocked()

    assert sorted(down.path for down in desk.downs) == ["1", "2", "2"]
    assert {down.monitor for down in desk.downs} == {*desk.monitors}
    await done(desk)


async def test_an_actor_that_has_ended_watches_no_task(desk: Desk) -> None:
    await desk.ref.call(Desk.come)
    await stop(desk.ref)

    assert not _ends().watched
    CallingTask(trio.lowlevel.current_task()).watched_by(desk._process)
    assert not _ends().watched


async def test_a_message_from_no_task_at_all_has_a_caller_that_is_no_more(desk: Desk) -> None:
    """trio calls its instruments between the tasks."""

    class Caster(trio.abc.Instrument):
        def after_io_wait(self, timeout: float) -> None:
            trio.lowlevel.remove_instrument(self)
            ref.cast_nowait(Desk.come)

    ref = desk.ref
    trio.lowlevel.add_instrument(Caster())
    await wait_all_tasks_blocked()
    await trio.sleep(0.001)
    await wait_all_tasks_blocked()

    assert [(caller.path, caller.alive) for caller in desk.callers] == [("no task", False)]
    assert [down.path for down in desk.downs] == ["no task"]
    await done(desk)


async def test_only_a_call_and_a_cast_have_a_caller(desk: Desk) -> None:
    await desk.ref.send("news")
    await wait_all_tasks_blocked()

    assert desk.refused == ["Desk: no call or cast is being handled, only a message of type str"]
    with pytest.raises(RuntimeError, match=r"Desk: no call or cast is being handled$"):
        desk.caller  # noqa: B018
    await done(desk)
