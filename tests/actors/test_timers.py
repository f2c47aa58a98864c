"""Timers: messages to the actor itself, on the control lane."""

import math

import attrs
import pytest
import trio

from okibi.actors import TIMEOUT, Actor, Down, Server, start, stop
from okibi.actors.mailbox import Mailbox
from okibi.actors.timers import Timer, drop_cancelled, pop_due
from tests.limits import HANG


@attrs.define(eq=False)
class Alarm(Server):
    heard: list[tuple[float, object]] = attrs.Factory(list)
    since: float = 0.0

    async def init(self) -> None:
        self.since = trio.current_time()

    async def set(self, seconds: float, message: object) -> Timer:
        return self.send_after(seconds, message)

    async def set_every(self, seconds: float, message: object) -> Timer:
        return self.send_every(seconds, message)

    async def work(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def what_was_heard(self) -> list[tuple[float, object]]:
        return self.heard

    async def handle_info(self, message: object) -> None:
        self.heard.append((trio.current_time() - self.since, message))
        if isinstance(message, float):
            await trio.sleep(message)


async def test_a_timer_fires_when_it_is_due(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    await alarm.call(Alarm.set, 2.0, "ring")

    await trio.sleep(5)

    assert await alarm.call(Alarm.what_was_heard) == [(2.0, "ring")]
    await stop(alarm)


async def test_a_down_comes_in_order_between_due_timers(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """OTP: a mailbox is in the order of arrival, even while its actor is busy."""

    class Guard(Alarm):
        async def init(self) -> None:
            self.since = trio.current_time()
            self.monitor(guarded)

    guarded = await start(nursery, Alarm)
    guard = await start(nursery, Guard)
    await guard.call(Alarm.set, 1.0, "before")
    await guard.call(Alarm.set, 3.0, "after")
    await guard.cast(Alarm.work, 5.0)
    await trio.sleep(2)
    await stop(guarded)
    await trio.sleep(10)

    heard = [message for _, message in await guard.call(Alarm.what_was_heard)]

    assert [message if isinstance(message, str) else type(message) for message in heard] == [
        "before",
        Down,
        "after",
    ]
    await stop(guard)


async def test_a_timer_behind_a_down_still_overtakes_data(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    class Guard(Alarm):
        async def init(self) -> None:
            self.monitor(guarded)

        async def note(self, number: int) -> None:
            self.heard.append((0.0, number))

    guarded = await start(nursery, Alarm)
    guard = await start(nursery, Guard)
    await guard.call(Alarm.set, 1.0, "first")
    await guard.call(Alarm.set, 1.5, "second")
    await guard.cast(Alarm.work, 5.0)
    await guard.cast(Guard.note, 0)
    await stop(guarded)
    for number in range(1, 5):
        await guard.cast(Guard.note, number)

    await trio.sleep(10)

    heard = [message for _, message in await guard.call(Alarm.what_was_heard)]
    assert [heard[0], *heard[2:]] == [0, "first", "second", 1, 2, 3, 4]
    assert isinstance(heard[1], Down)
    await stop(guard)


async def test_timers_fire_in_the_order_of_due_time_then_of_setting(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    for seconds, message in ((3.0, "last"), (1.0, "first"), (2.0, "a"), (2.0, "b")):
        await alarm.call(Alarm.set, seconds, message)

    await trio.sleep(5)

    heard = await alarm.call(Alarm.what_was_heard)
    assert [message for _, message in heard] == ["first", "a", "b", "last"]
    await stop(alarm)


async def test_a_cancelled_timer_does_not_fire(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    timer = await alarm.call(Alarm.set, 1.0, "ring")

    assert timer.cancel()
    assert not timer.cancel()

    await trio.sleep(5)
    assert await alarm.call(Alarm.what_was_heard) == []
    await stop(alarm)


async def test_a_message_that_waits_in_the_mailbox_is_cancelled(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    timer = await alarm.call(Alarm.set, 1.0, "ring")
    await alarm.cast(Alarm.work, 5.0)
    await trio.sleep(2)

    assert timer.time_left == 0.0
    assert timer.cancel()
    assert not timer.cancel()
    assert await alarm.call(Alarm.what_was_heard) == []
    await stop(alarm)


async def test_a_timer_whose_message_was_taken_cannot_be_cancelled(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    timer = await alarm.call(Alarm.set, 1.0, "ring")

    await trio.sleep(5)

    assert not timer.cancel()
    await stop(alarm)


async def test_time_left_of_a_timer(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """OTP: `erlang:read_timer`."""
    alarm = await start(nursery, Alarm)
    first, second = [await alarm.call(Alarm.set, 5.0, "ring") for _ in range(2)]
    await trio.sleep(3)
    left = first.time_left

    assert first.cancel()
    assert (left, first.time_left, second.time_left) == (2.0, None, 2.0)
    await trio.sleep(3)
    assert second.time_left is None
    await stop(alarm)


async def test_a_timer_set_while_the_actor_waits_fires_on_time(
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


async def test_after_a_clock_jump_due_timers_fire_once_in_order(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    for seconds, message in ((20.0, "b"), (10.0, "a"), (7200.0, "far")):
        await alarm.call(Alarm.set, seconds, message)

    mock_clock.jump(3600)
    await trio.testing.wait_all_tasks_blocked()

    assert await alarm.call(Alarm.what_was_heard) == [(3600.0, "a"), (3600.0, "b")]
    await stop(alarm)


async def test_a_timer_ends_with_its_actor(nursery: trio.Nursery) -> None:
    alarm = await start(nursery, Alarm)
    await alarm.call(Alarm.set, 1.0, "ring")

    await stop(alarm)

    assert alarm.process().mailbox.timers is None


async def test_send_after_refuses_nan(nursery: trio.Nursery) -> None:
    class Confused(Actor):
        async def run(self) -> None:
            with pytest.raises(ValueError, match=r"^Confused: send_after needs seconds, got nan$"):
                self.send_after(math.nan, "never")

    await (await start(nursery, Confused)).wait()


# -- intervals


async def test_an_interval_fires_on_a_fixed_schedule(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    await alarm.call(Alarm.set_every, 2.0, "tick")

    await trio.sleep(7)

    assert await alarm.call(Alarm.what_was_heard) == [(2.0, "tick"), (4.0, "tick"), (6.0, "tick")]
    await stop(alarm)


async def test_after_a_clock_jump_an_interval_fires_once(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    await alarm.call(Alarm.set_every, 10.0, "tick")

    for jump in (3605.0, 4.9, 0.1, 10.0):
        mock_clock.jump(jump)
        await trio.testing.wait_all_tasks_blocked()

    heard = await alarm.call(Alarm.what_was_heard)
    assert [at for at, _ in heard] == [3605.0, 3610.0, 3620.0]
    await stop(alarm)


async def test_an_actor_slower_than_its_interval_reads_its_mail(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    alarm = await start(nursery, Alarm)
    for _ in range(3):
        await alarm.call(Alarm.set_every, 1.0, 1.5)

    with trio.fail_after(HANG):
        for _ in range(3):
            await alarm.call(Alarm.work, 0.0)

    assert alarm.mailbox_statistics.control <= 3
    await stop(alarm)


async def test_time_left_of_an_interval(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    class Metronome(Actor):
        async def run(self) -> None:
            timer = self.send_every(2.0, "tick")
            await trio.sleep(0.5)
            left.append(timer.time_left)
            await trio.sleep(2)
            left.append(timer.time_left)
            await self.receive()
            left.append(timer.time_left)
            timer.cancel()
            left.append(timer.time_left)

    left: list[float | None] = []
    await (await start(nursery, Metronome)).wait()

    assert left == [1.5, 0.0, 1.5, None]


async def test_cancel_discards_a_waiting_tick(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    class Twice(Actor):
        async def run(self) -> None:
            timers = [self.send_every(1.0, name) for name in ("a", "b")]
            await trio.sleep(1)
            heard.append(await self.receive())
            for timer in timers:
                timer.cancel()
            with trio.move_on_after(10):
                heard.append(await self.receive())

    heard: list[object] = []
    await (await start(nursery, Twice)).wait()

    assert heard == ["a"]


@pytest.mark.parametrize("seconds", [0, -1, math.inf, -math.inf, math.nan])
async def test_send_every_needs_a_finite_interval_above_0(
    nursery: trio.Nursery, seconds: float
) -> None:
    class Confused(Actor):
        async def run(self) -> None:
            with pytest.raises(
                ValueError, match=f"^Confused: send_every needs seconds > 0, got {seconds}$"
            ):
                self.send_every(seconds, "never")

    await (await start(nursery, Confused)).wait()


# -- the heap, without trio


def test_pop_due_removes_due_timers_only() -> None:
    timers = [Timer(1.0, "a"), Timer(2.0, "b")]

    assert [tick.timer.message for tick in pop_due(timers, 1.0)] == ["a"]
    assert timers[0].due == 2.0
    assert pop_due(timers, 1.0) == []


def test_drop_cancelled_removes_cancelled_timers() -> None:
    timers = [Timer(float(n), n) for n in range(10)]
    for timer in timers[::2]:
        timer.cancel()

    drop_cancelled(timers)

    assert [tick.timer.message for tick in pop_due(timers, 100.0)] == [1, 3, 5, 7, 9]


def test_cancelled_timers_do_not_fill_the_mailbox() -> None:
    mailbox = Mailbox()
    for n in range(10_000):
        timer = Timer(3600.0 + n, n)
        mailbox.add(timer)
        timer.cancel()

    assert len(mailbox.timers or ()) <= 64


# -- a timer that is always due


class Restless(Alarm):
    """Sets the next timer, due at once, in each message, without awaiting."""

    async def handle_info(self, message: object) -> None:
        self.heard.append((0.0, message))
        if message is TIMEOUT:
            self.timeout_after(0)
        else:
            self.send_after(0, message)


class RestlessByTimer(Restless):
    async def init(self) -> None:
        self.send_after(0, "again")


class RestlessByTimeout(Restless):
    async def init(self) -> None:
        self.timeout_after(0)


class RestlessByInterval(Restless):
    async def init(self) -> None:
        self.send_every(1e-12, "tick")

    async def handle_info(self, message: object) -> None:
        self.heard.append((0.0, message))


@pytest.mark.parametrize("kind", [RestlessByTimer, RestlessByTimeout, RestlessByInterval])
async def test_an_actor_that_always_has_a_due_timer_answers_calls(
    nursery: trio.Nursery, kind: type[Restless]
) -> None:
    restless = await start(nursery, kind)
    # A call before the first TIMEOUT would end the wait for TIMEOUT.
    for _ in range(2):
        await trio.lowlevel.checkpoint()

    for _ in range(3):
        assert await restless.call(Restless.what_was_heard)
    assert (await stop(restless)).quiet


async def test_a_message_given_to_a_waiting_actor_counts_as_the_one_before_later_timers(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    log = list[object]()

    class Log(Server):
        async def init(self) -> None:
            self.send_after(1, "first timer")

        async def handle_info(self, message: object) -> None:
            log.append(message)
            if message == "first timer":
                self.send_after(1, "second timer")
            elif message == "slow":
                await trio.sleep(2)

    ref = await start(nursery, Log)
    await trio.sleep(1.5)
    ref.send_nowait("slow")
    await trio.sleep(1.5)
    ref.send_nowait("late")
    await trio.sleep(1)
    assert log == ["first timer", "slow", "second timer", "late"]
    ref.stop()
