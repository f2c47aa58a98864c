"""An event that an actor handles, as the sender of messages."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import (
    KILLED,
    NORMAL,
    Actor,
    Caller,
    CallingEvent,
    Down,
    Monitor,
    Portal,
    Ref,
    Server,
    crashed,
    start,
    stop,
)
from okibi.actors.request import CALLING_EVENT

BOOM = crashed(ValueError("boom"))


@attrs.define(eq=False)
class Desk(Server):
    """Records its callers and monitors each."""

    callers: list[Caller] = attrs.Factory(list)
    downs: list[Down] = attrs.Factory(list)
    monitors: list[Monitor] = attrs.Factory(list)

    async def come(self) -> Caller:
        self.callers.append(self.caller)
        self.monitors.append(self.monitor(self.caller))
        return self.caller

    async def catch_up(self) -> None:
        """Returns when all earlier messages have been handled."""

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Down):
            self.downs.append(message)


@attrs.define(eq=False)
class Worker(Actor):
    """Handles one event, in which it calls the desk."""

    desk: Ref[Desk]
    event: CallingEvent | None = None
    answers: list[Caller] = attrs.Factory(list)
    go_on: trio.Event = attrs.Factory(trio.Event)

    async def run(self) -> None:
        self.event = CallingEvent(self._process)
        CALLING_EVENT.set(self.event)
        self.answers.append(await self.desk.call(Desk.come))
        await self.go_on.wait()
        self.answers.append(await self.desk.call(Desk.come))


@pytest.fixture
async def desk(nursery: trio.Nursery) -> Any:
    return await start(nursery, Desk)


async def begin_event(nursery: trio.Nursery, desk: Ref[Desk]) -> tuple[Ref[Worker], Worker, Desk]:
    made: list[Worker] = []

    def make() -> Worker:
        made.append(Worker(desk))
        return made[0]

    ref = await start(nursery, make, path="/worker")
    await wait_all_tasks_blocked()
    desk_actor: Any = desk.process().actor
    return ref, made[0], desk_actor


async def test_the_caller_is_the_event_until_it_ends_and_then_the_actor(
    nursery: trio.Nursery, desk: Ref[Desk]
) -> None:
    ref, worker, _ = await begin_event(nursery, desk)
    assert worker.event is not None
    assert worker.answers == [worker.event]
    assert (worker.event.path, worker.event.alive) == ("/worker", True)

    worker.event.end()
    worker.go_on.set()
    await ref.wait()

    assert worker.answers == [worker.event, ref]
    assert not worker.event.alive
    assert repr(worker.event) == "<CallingEvent of /worker, ended>"
    await stop(desk)


async def test_the_end_of_an_event_brings_one_down_with_its_first_reason(
    nursery: trio.Nursery, desk: Ref[Desk]
) -> None:
    ref, worker, actor = await begin_event(nursery, desk)
    assert worker.event is not None

    worker.event.end(BOOM)
    worker.event.end(NORMAL)
    await desk.call(Desk.catch_up)

    assert actor.downs == [Down("/worker", BOOM, actor.monitors[0], None)]
    await stop(ref)
    await stop(desk)
    assert len(actor.downs) == 1


async def test_the_kill_of_its_actor_ends_an_event(nursery: trio.Nursery, desk: Ref[Desk]) -> None:
    ref, worker, actor = await begin_event(nursery, desk)

    ref.kill()
    await ref.wait()
    await desk.call(Desk.catch_up)

    assert [down.reason for down in actor.downs] == [KILLED]
    assert worker.event is not None
    assert not worker.event.alive
    await stop(desk)


async def test_a_monitor_of_the_event_of_a_killed_actor_brings_the_reason(
    nursery: trio.Nursery, desk: Ref[Desk]
) -> None:
    worker = await start(nursery, Desk)
    event = CallingEvent(worker.process())
    worker.kill()
    await worker.wait()

    actor: Any = desk.process().actor
    actor.monitor(event)
    await desk.call(Desk.catch_up)

    assert [down.reason for down in actor.downs] == [KILLED]
    await stop(desk)


async def test_a_monitor_of_an_ended_event_brings_the_down_at_once(
    nursery: trio.Nursery, desk: Ref[Desk]
) -> None:
    ref, worker, actor = await begin_event(nursery, desk)
    assert worker.event is not None
    worker.event.end(BOOM)

    monitor = actor.monitor(worker.event)
    await desk.call(Desk.catch_up)

    assert [(down.monitor, down.reason) for down in actor.downs] == [
        (actor.monitors[0], BOOM),
        (monitor, BOOM),
    ]
    await stop(ref)
    await stop(desk)


async def test_a_demonitored_event_brings_no_down(nursery: trio.Nursery, desk: Ref[Desk]) -> None:
    ref, worker, actor = await begin_event(nursery, desk)
    assert worker.event is not None

    actor.monitors[0].demonitor()
    worker.event.end()
    await desk.call(Desk.catch_up)

    assert actor.downs == []
    assert actor._process.watchers == {}
    await stop(ref)
    await stop(desk)


async def test_a_watcher_that_ends_leaves_no_monitor_in_the_event(
    nursery: trio.Nursery, desk: Ref[Desk]
) -> None:
    ref, worker, _ = await begin_event(nursery, desk)
    assert worker.event is not None

    await stop(desk)

    assert worker.event.monitors == {}
    worker.event.end()
    await stop(ref)


async def test_a_portal_made_in_an_event_sends_for_the_event(
    nursery: trio.Nursery, desk: Ref[Desk]
) -> None:
    class Threaded(Worker):
        async def run(self) -> None:
            self.event = CallingEvent(self._process)
            CALLING_EVENT.set(self.event)
            portal = Portal()
            # A thread of the user's own has none of this task's context variables.
            with ThreadPoolExecutor() as pool:
                call = pool.submit(portal.call, self.desk, Desk.come)
                self.answers.append(await trio.to_thread.run_sync(call.result))

    made: list[Threaded] = []

    def make() -> Threaded:
        made.append(Threaded(desk))
        return made[0]

    await (await start(nursery, make)).wait()

    assert made[0].answers == [made[0].event]
    await stop(desk)


async def test_an_event_without_an_actor_can_be_monitored(
    nursery: trio.Nursery, desk: Ref[Desk]
) -> None:
    actor: Any = desk.process().actor
    event = CallingEvent(None)
    monitor = actor.monitor(event)
    assert (event.path, event.alive) == ("no actor", True)

    event.end()
    await desk.call(Desk.catch_up)

    assert actor.downs == [Down("no actor", NORMAL, monitor, None)]
    await stop(desk)


async def test_a_monitor_set_by_an_ended_actor_brings_nothing(
    nursery: trio.Nursery, desk: Ref[Desk]
) -> None:
    process = desk.process()
    await stop(desk)
    event = CallingEvent(None)

    event.add_monitor(process)

    assert event.monitors is None


async def test_two_monitors_of_one_event_bring_a_down_each(
    nursery: trio.Nursery, desk: Ref[Desk]
) -> None:
    ref, worker, actor = await begin_event(nursery, desk)
    assert worker.event is not None
    second = actor.monitor(worker.event)

    worker.event.end()
    await desk.call(Desk.catch_up)

    assert [down.monitor for down in actor.downs] == [actor.monitors[0], second]
    await stop(ref)
    await stop(desk)
