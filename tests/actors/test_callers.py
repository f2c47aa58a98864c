"""Server.caller: the calling actor or task, for every way to send a message."""

from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import (
    KILLED,
    NO_PROCESS,
    NO_REPLY,
    Caller,
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
from okibi.actors.callers import _task_ends


@attrs.define(eq=False)
class Desk(Server):
    """Records its callers and monitors each."""

    callers: list[Caller] = attrs.Factory(list)
    downs: list[Down] = attrs.Factory(list)
    refused: list[str] = attrs.Factory(list)
    monitors: list[Monitor] = attrs.Factory(list)

    async def come(self) -> Caller:
        self.callers.append(self.caller)
        self.monitors.append(self.monitor(self.caller))
        return self.caller

    async def catch_up(self) -> None:
        """Returns when all earlier messages have been handled."""

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

    async def open_portal(self) -> Portal:
        return Portal()


@pytest.fixture
async def desk(nursery: trio.Nursery) -> Desk:
    """The actor itself, so that a test can read its fields."""
    ref = await start(nursery, Desk)
    actor = ref.process().actor
    assert isinstance(actor, Desk)
    return actor


async def stop_and_check(desk: Desk) -> None:
    """Stop the desk and check that none of its monitors is left."""
    await stop(desk.ref)
    assert not _task_ends().monitors
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
async def test_a_calling_actor_is_the_caller_and_can_be_monitored(
    desk: Desk, nursery: trio.Nursery, way: Callable[[Ref[Desk]], Awaitable[object]]
) -> None:
    client = await start(nursery, Client)

    await client.call(Client.do, lambda: way(desk.ref))
    await wait_all_tasks_blocked()
    client.kill()
    await wait_all_tasks_blocked()

    assert desk.callers == [client]
    assert desk.downs == [Down("Client", KILLED, desk.monitors[0], client)]
    await stop_and_check(desk)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_task_outside_actors_is_the_caller_and_can_be_monitored(
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
    async with trio.open_nursery() as clients:
        clients.start_soon(client, name="bob")
        await came.wait()
        assert desk.callers == [CallingTask(tasks[0])]
        assert not desk.downs
        assert CallingTask(tasks[0]).alive
        leave.set()
    await wait_all_tasks_blocked()

    assert desk.downs == [Down("bob", NO_PROCESS, desk.monitors[0], None)]
    assert not CallingTask(tasks[0]).alive
    await stop_and_check(desk)


async def test_the_caller_behind_a_thread_or_portal_is_the_actor(
    desk: Desk, nursery: trio.Nursery
) -> None:
    client = await start(nursery, Client)
    portal = await client.call(Client.open_portal)

    caller = await trio.to_thread.run_sync(portal.call, desk.ref, Desk.come)

    assert caller == client
    await stop(client)
    await stop_and_check(desk)


async def test_calling_tasks_are_equal_by_task(desk: Desk, nursery: trio.Nursery) -> None:
    client = await start(nursery, Client)

    answers = [await desk.ref.call(Desk.come) for _ in range(2)]
    await client.call(Client.do, lambda: desk.ref.call(Desk.come))

    assert answers[0] == answers[1] != desk.callers[2]
    assert len({*desk.callers}) == 2
    assert repr(answers[0]) == f"<CallingTask {answers[0].path}>"
    await stop(client)
    await stop_and_check(desk)


async def test_each_monitor_of_a_task_brings_one_down(desk: Desk) -> None:
    async def client(times: int) -> None:
        for _ in range(times):
            await desk.ref.call(Desk.come)
        await leave.wait()

    leave = trio.Event()
    async with trio.open_nursery() as clients:
        for times in (1, 2):
            clients.start_soon(client, times, name=str(times))
        await wait_all_tasks_blocked()
        leave.set()
    await wait_all_tasks_blocked()

    assert sorted(down.path for down in desk.downs) == ["1", "2", "2"]
    assert {down.monitor for down in desk.downs} == {*desk.monitors}
    await stop_and_check(desk)


async def test_an_ended_actor_monitors_no_task(desk: Desk) -> None:
    await desk.ref.call(Desk.come)
    await stop(desk.ref)

    assert not _task_ends().monitors
    CallingTask(trio.lowlevel.current_task()).add_monitor(desk._process)
    assert not _task_ends().monitors


async def test_a_message_sent_outside_tasks_has_a_dead_caller(desk: Desk) -> None:
    """trio calls instruments outside tasks."""

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
    await stop_and_check(desk)


async def test_only_a_call_and_a_cast_have_a_caller(desk: Desk) -> None:
    await desk.ref.send("news")
    await wait_all_tasks_blocked()

    assert desk.refused == ["Desk: no call or cast is being handled, only a message of type str"]
    with pytest.raises(RuntimeError, match=r"Desk: no call or cast is being handled$"):
        desk.caller  # noqa: B018
    await stop_and_check(desk)
