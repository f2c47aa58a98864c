"""Timers: messages to oneself, on the control lane."""

import math

import attrs
import pytest
import trio

from actors import Actor, Server, Timer, start, stop
from actors.mailbox import Mailbox
from actors.timers import next_due, ring, sweep


@attrs.define(eq=False)
class Alarm(Server):
    heard: list[tuple[float, object]] = attrs.Factory(list)
    since: float = 0.0

    async def init(self) -> None:
        self.since = trio.current_time()

    async def set(self, seconds: float, message: object) -> Timer:
        return self.send_after(seconds, message)

    async def work(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def what_was_heard(self) -> list[tuple[float, object]]:
        return self.heard

    async def handle_info(self, message: object) -> None:
        self.heard.append((trio.current_time() - self.since, message))


async def test_a_timer_rings_when_it_is_due(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    await alarm.call(Alarm.set, 2.0, "ring")

    await trio.sleep(5)

    assert await alarm.call(Alarm.what_was_heard) == [(2.0, "ring")]
    await stop(alarm)


async def test_timers_ring_in_the_order_they_are_due_then_set(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    for seconds, message in ((3.0, "last"), (1.0, "first"), (2.0, "a"), (2.0, "b")):
        await alarm.call(Alarm.set, seconds, message)

    await trio.sleep(5)

    heard = await alarm.call(Alarm.what_was_heard)
    assert [message for _, message in heard] == ["first", "a", "b", "last"]
    await stop(alarm)


async def test_a_cancelled_timer_does_not_ring(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    timer = await alarm.call(Alarm.set, 1.0, "ring")

    assert timer.cancel()
    assert not timer.cancel()

    await trio.sleep(5)
    assert await alarm.call(Alarm.what_was_heard) == []
    await stop(alarm)


async def test_a_timer_that_has_rung_cannot_be_cancelled(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    timer = await alarm.call(Alarm.set, 1.0, "ring")

    await trio.sleep(5)

    assert not timer.cancel()
    await stop(alarm)


async def test_a_timer_set_while_the_actor_waits_rings_on_time(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    class Waiter(Actor):
        async def run(self) -> None:
            got.append((await self.receive(), trio.current_time() - since))

    got: list[object] = []
    waiter = await start(nursery, Waiter)
    await trio.testing.wait_all_tasks_blocked()
    since = trio.current_time()

    waiter.process().mailbox.add(Timer(since + 1, "early"))
    await waiter.wait()

    assert got == [("early", 1.0)]


async def test_a_timer_rings_while_a_flood_of_data_waits(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    await alarm.call(Alarm.set, 1.5, "ring")
    for _ in range(10):
        await alarm.cast(Alarm.work, 1.0)

    await trio.sleep(2.5)
    await alarm.call(Alarm.work, 0.0)

    assert await alarm.call(Alarm.what_was_heard) == [(2.0, "ring")]
    await stop(alarm)


async def test_a_clock_that_jumps_makes_what_is_due_ring_once_in_order(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    for seconds, message in ((20.0, "b"), (10.0, "a"), (7200.0, "far")):
        await alarm.call(Alarm.set, seconds, message)

    mock_clock.jump(3600)
    await trio.testing.wait_all_tasks_blocked()

    assert await alarm.call(Alarm.what_was_heard) == [(3600.0, "a"), (3600.0, "b")]
    await stop(alarm)


async def test_a_timer_dies_with_its_actor(nursery: trio.Nursery) -> None:
    alarm = await start(nursery, Alarm)
    await alarm.call(Alarm.set, 1.0, "ring")

    await stop(alarm)

    assert alarm.process().mailbox.timers == []


async def test_a_timer_needs_a_number(nursery: trio.Nursery) -> None:
    class Confused(Actor):
        async def run(self) -> None:
            with pytest.raises(ValueError, match="cannot ring after nan s"):
                self.send_after(math.nan, "never")

    await (await start(nursery, Confused)).wait()


def test_ring_takes_what_is_due_and_leaves_the_rest() -> None:
    timers = [Timer(1.0, "a"), Timer(2.0, "b")]

    assert ring(timers, 1.0) == ["a"]
    assert next_due(timers) == 2.0
    assert ring(timers, 1.0) == []


def test_an_empty_heap_is_never_due() -> None:
    assert next_due([]) == math.inf


def test_sweep_takes_cancelled_timers_off_the_heap() -> None:
    timers = [Timer(float(n), n) for n in range(10)]
    for timer in timers[::2]:
        timer.cancel()

    sweep(timers)

    assert ring(timers, 100.0) == [1, 3, 5, 7, 9]


def test_timers_set_and_cancelled_for_ever_do_not_fill_the_mailbox() -> None:
    mailbox = Mailbox()
    for n in range(10_000):
        timer = Timer(3600.0 + n, n)
        mailbox.add(timer)
        timer.cancel()

    assert len(mailbox.timers) <= 64
