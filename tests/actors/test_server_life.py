"""How a server begins, idles and leaves: continue, time-out, last replies, drain or cut."""

from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    KILLED,
    SHUTDOWN,
    TIMEOUT,
    ExitReason,
    MailboxPolicy,
    Ref,
    Server,
    WhenStopped,
    shutdown,
    start,
    stop,
)


@attrs.define(eq=False)
class Diary(Server):
    """Writes down all that happens to it."""

    log: list[object] = attrs.Factory(list)
    gate: trio.Event = attrs.Factory(trio.Event)

    async def note(self, what: object) -> None:
        self.log.append(what)

    async def wait(self) -> None:
        await self.gate.wait()
        self.log.append("waited")

    async def handle_info(self, message: object) -> None:
        self.log.append(message)

    async def terminate(self, reason: ExitReason) -> None:
        self.log.append(f"terminate {reason}")


# -- continue


@attrs.define(eq=False)
class Slow(Diary):
    """Is ready at once, and gets ready right after."""

    async def init(self) -> None:
        self.continue_with("first")
        self.continue_with("second")

    async def handle_continue(self, continuation: Any) -> None:
        self.log.append(continuation)
        if continuation == "second":
            self.continue_with("third")

    async def go_on(self) -> None:
        self.continue_with("later")


async def test_a_server_that_continues_for_ever_can_be_stopped(nursery: trio.Nursery) -> None:
    class Restless(Slow):
        async def handle_continue(self, continuation: Any) -> None:
            self.continue_with(continuation)

    ref = await start(nursery, Restless)

    assert await stop(ref) == SHUTDOWN


async def test_a_server_without_handle_continue_says_that_it_needs_one() -> None:
    class Plain(Server):
        async def init(self) -> None:
            self.continue_with("anything")

    with pytest.RaisesGroup(
        pytest.RaisesExc(NotImplementedError, match="Plain needs a `handle_continue`")
    ):
        async with trio.open_nursery() as nursery:
            await start(nursery, Plain)


# -- time-out


@attrs.define(eq=False)
class Idle(Diary):
    async def begin(self, seconds: float) -> None:
        self.timeout_after(seconds)

    async def work(self, seconds: float) -> None:
        self.timeout_after(1)
        await trio.sleep(seconds)


async def test_a_time_out_comes_when_no_message_does(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    idle = Idle()
    ref = await start(nursery, lambda: idle)
    await ref.call(Idle.begin, 10)
    await trio.sleep(9)
    assert idle.log == []
    await trio.sleep(1)
    await wait_all_tasks_blocked()

    assert idle.log == [TIMEOUT]
    assert repr(idle.log) == "[TIMEOUT]"


async def test_a_timer_is_a_message_too(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    idle = Idle()
    ref = await start(nursery, lambda: idle)
    idle.send_after(5, "tick")
    await ref.call(Idle.begin, 10)
    await trio.sleep(1000)

    assert idle.log == ["tick"]


async def test_a_message_that_waits_already_comes_before_a_time_out(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    idle = Idle()
    ref = await start(nursery, lambda: idle)
    ref.cast_nowait(Idle.work, 5)
    ref.cast_nowait(Idle.note, "message")
    await trio.sleep(1000)
    await ref.cast(Idle.work, 5)
    await trio.sleep(1000)

    assert idle.log == ["message", TIMEOUT]


async def test_a_time_out_of_no_number_is_refused(nursery: trio.Nursery) -> None:
    idle = Idle()
    await start(nursery, lambda: idle, path="/idle")

    with pytest.raises(ValueError, match="/idle: no message cannot come within nan s"):
        idle.timeout_after(float("nan"))


# -- asked to stop


@attrs.define(eq=False)
class Polite(Diary):
    mailbox = MailboxPolicy(2)
    when_stopped = WhenStopped.DRAIN


async def busy(nursery: trio.Nursery, kind: type[Diary], **fields: Any) -> tuple[Diary, Ref[Diary]]:
    """One that handles a message, with two more waiting, and a sender waiting for room."""
    diary = kind()
    ref: Ref[Diary] = await start(nursery, lambda: diary, **fields)
    ref.cast_nowait(Diary.wait)
    await wait_all_tasks_blocked()
    for number in (1, 2):
        ref.cast_nowait(Diary.note, number)
    return diary, ref


async def test_one_that_drains_still_hears_of_ends_and_timers(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    diary, ref = await busy(nursery, Polite)
    diary.send_after(1, "timer")
    ref.stop()
    await trio.sleep(2)
    diary.gate.set()
    await ref.wait()

    assert diary.log == ["waited", "timer", 1, 2, "terminate shutdown"]


async def test_draining_ends_with_the_grace(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    diary, ref = await busy(nursery, Polite, grace=5)

    assert await stop(ref) == KILLED
    assert trio.current_time() == pytest.approx(5)
    assert diary.log == []


async def test_an_idle_one_that_drains_ends_at_once(nursery: trio.Nursery) -> None:
    ref = await start(nursery, Polite)

    assert await stop(ref) == SHUTDOWN


async def test_one_that_drains_is_cut_in_its_init(nursery: trio.Nursery) -> None:
    class Late(Polite):
        async def init(self) -> None:
            await self.gate.wait()

    refs: list[Ref[Late]] = []

    def make() -> Late:
        late = Late()
        nursery.start_soon(stop_it, late)
        return late

    async def stop_it(late: Late) -> None:
        refs.append(late.ref)
        late.ref.stop()

    with pytest.raises(Exception, match="did not start: shutdown"):
        await start(nursery, make)
    assert await refs[0].wait() == SHUTDOWN


async def test_whoever_stops_it_says_why_and_how_long_it_may_take(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Stubborn(Diary):
        async def terminate(self, reason: ExitReason) -> None:
            await super().terminate(reason)
            await trio.sleep(1000)

    diary = Stubborn()
    ref = await start(nursery, lambda: diary)

    assert await stop(ref, shutdown("moving"), grace=2) == KILLED
    assert trio.current_time() == pytest.approx(2)
    assert diary.log == ["terminate shutdown ('moving')"]


async def test_who_stops_waiting_for_the_end_lets_it_live(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    diary, ref = await busy(nursery, Polite, grace=50)

    with trio.move_on_after(1):
        await stop(ref)
    assert ref.reason is None
    diary.gate.set()

    assert await ref.wait() == SHUTDOWN


# -- asked for by a task beside the loop


class Accompanied(Diary):
    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.accompany)
            await super().run()

    async def accompany(self) -> None:
        await wait_all_tasks_blocked()
        self.continue_with("continued")
        await wait_all_tasks_blocked()
        self.timeout_after(1)

    async def handle_continue(self, continuation: Any) -> None:
        self.log.append(continuation)


async def test_what_a_task_beside_asks_of_a_loop_that_waits_is_not_put_off_to_the_next_message(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    diary = Accompanied()
    ref = await start(nursery, lambda: diary)

    await trio.sleep(2)

    assert diary.log == ["continued", TIMEOUT]
    await stop(ref)
