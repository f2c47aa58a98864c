"""Freezes: the clocks, the messages of monitors, and a FreezeWatch."""

import time

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import FREEZES, Freeze, Ref, Server, start, stop
from okibi.actors.freezes import (
    CHECK_INTERVAL,
    FreezeMonitor,
    FreezeMonitors,
    FreezeWatch,
    current_monitors,
)

HOUR = 3600.0


@attrs.define(eq=False)
class Listener(Server):
    heard: list[str] = attrs.Factory(list[str])
    monitored: FreezeMonitor = attrs.field(init=False)

    async def init(self) -> None:
        self.monitored = self.monitor(FREEZES)

    async def handle_info(self, message: object) -> None:
        assert isinstance(message, Freeze)
        assert message.monitor is self.monitored
        self.heard.append(f"frozen for {message.seconds:g} s")

    async def ask(self) -> list[str]:
        self.heard.append("asked")
        return self.heard


@attrs.define(eq=False)
class World:
    """A listener, and clocks that a test sets."""

    clock: MockClock
    ref: Ref[Listener]
    listener: Listener
    monitors: FreezeMonitors = attrs.Factory(current_monitors)

    def freeze(self, seconds: float) -> None:
        self.clock.jump(seconds)
        self.monitors.check(blocked=False)


async def make_world(nursery: trio.Nursery, mock_clock: MockClock) -> World:
    listener = Listener()
    ref = await start(nursery, lambda: listener)
    made = World(mock_clock, ref, listener)
    made.monitors.check(blocked=False)  # the first look only reads the clocks
    return made


async def test_the_message_goes_before_calls_and_has_the_duration(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    world = await make_world(nursery, mock_clock)
    world.freeze(HOUR + CHECK_INTERVAL)

    assert await world.ref.call(Listener.ask) == ["frozen for 3600 s", "asked"]
    await stop(world.ref)


async def test_a_demonitored_message_is_discarded(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    world = await make_world(nursery, mock_clock)
    world.freeze(HOUR)
    world.listener.monitored.demonitor()

    assert await world.ref.call(Listener.ask) == ["asked"]
    assert world.monitors.monitors == {}
    await stop(world.ref)


class Odd:
    """A user's message whose `==` raises, like an array's."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]


async def test_demonitor_does_not_compare_the_user_s_messages(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    world = await make_world(nursery, mock_clock)
    mailbox, odd = world.ref.process().mailbox, Odd()
    mailbox.post(odd)
    world.freeze(HOUR)
    world.listener.monitored.demonitor()

    [left] = mailbox.control
    assert left is odd
    mailbox.control.clear()
    await stop(world.ref)


async def test_short_lived_actors_leave_no_monitor_behind(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    world = await make_world(nursery, mock_clock)
    for _ in range(10):
        await stop(await start(nursery, Listener))

    assert [*world.monitors.monitors] == [world.listener.monitored]
    await stop(world.ref)


async def test_a_monitor_of_an_ended_actor_brings_nothing(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    world = await make_world(nursery, mock_clock)
    process = world.ref.process()
    await stop(world.ref)

    FREEZES.add_monitor(process)

    assert world.monitors.monitors == {}


async def test_a_wait_for_monitors_ends_with_the_next_monitor(nursery: trio.Nursery) -> None:
    nursery.start_soon(current_monitors().wait_for_monitors)
    await wait_all_tasks_blocked()
    assert [task.name for task in nursery.child_tasks]

    listener = await start(nursery, Listener)
    await wait_all_tasks_blocked()

    assert len(nursery.child_tasks) == 1  # the listener
    await stop(listener)


def test_freezes_has_a_readable_repr() -> None:
    assert repr(FREEZES) == "FREEZES"


# -- the wall clock


async def test_in_virtual_time_the_wall_clock_is_trio_s(mock_clock: MockClock) -> None:
    mock_clock.jump(HOUR)

    assert current_monitors().read_clocks() == (HOUR, HOUR)


def test_in_real_time_the_wall_clock_is_the_system_s() -> None:
    async def read() -> float:
        return current_monitors().read_clocks().wall

    assert abs(trio.run(read) - time.time()) < 60


# -- a piece of work


async def test_a_watch_sees_a_freeze_during_the_work(autojump_clock: MockClock) -> None:
    watch = FreezeWatch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.sleep(10)
        assert watch.frozen() == 0
        autojump_clock.jump(HOUR)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()

    assert HOUR - CHECK_INTERVAL <= watch.frozen() <= HOUR


async def test_a_watch_sees_a_freeze_at_the_end_of_the_work(mock_clock: MockClock) -> None:
    watch = FreezeWatch()
    mock_clock.jump(HOUR)

    assert watch.frozen() == HOUR - CHECK_INTERVAL


async def test_a_look_without_a_freeze_tells_no_monitor(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    world = await make_world(nursery, mock_clock)

    world.freeze(0.0)

    assert await world.ref.call(Listener.ask) == ["asked"]
    await stop(world.ref)
