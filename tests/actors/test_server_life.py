"""A server's life: continue_with, timeout_after, CUT and DRAIN."""

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
    """Logs all that happens."""

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
    """Finishes its start after `init`."""

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


async def test_continue_with_needs_handle_continue() -> None:
    class Plain(Server):
        async def init(self) -> None:
            self.continue_with("anything")

    with pytest.RaisesGroup(
        pytest.RaisesExc(NotImplementedError, match="Plain needs a `handle_continue`")
    ):
        async with trio.open_nursery() as nursery:
            await start(nursery, Plain)


# -- timeout


@attrs.define(eq=False)
class Idle(Diary):
    async def begin(self, seconds: float) -> None:
        self.timeout_after(seconds)

    async def work(self, seconds: float) -> None:
        self.timeout_after(1)
        await trio.sleep(seconds)


async def test_timeout_comes_when_no_message_comes(
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


async def test_a_timers_message_ends_the_wait_for_timeout(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    idle = Idle()
    ref = await start(nursery, lambda: idle)
    idle.send_after(5, "tick")
    await ref.call(Idle.begin, 10)
    await trio.sleep(1000)

    assert idle.log == ["tick"]


async def test_a_waiting_message_comes_before_timeout(
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


async def test_timeout_after_refuses_nan(nursery: trio.Nursery) -> None:
    idle = Idle()
    await start(nursery, lambda: idle, path="/idle")

    with pytest.raises(ValueError, match=r"^/idle: timeout_after needs seconds, got nan$"):
        idle.timeout_after(float("nan"))


# -- stopped


@attrs.define(eq=False)
class Polite(Diary):
    mailbox = MailboxPolicy(2)
    when_stopped = WhenStopped.DRAIN


async def busy(nursery: trio.Nursery, kind: type[Diary], **fields: Any) -> tuple[Diary, Ref[Diary]]:
    """Start a server that handles a message, with two more waiting."""
    diary = kind()
    ref: Ref[Diary] = await start(nursery, lambda: diary, **fields)
    ref.cast_nowait(Diary.wait)
    await wait_all_tasks_blocked()
    for number in (1, 2):
        ref.cast_nowait(Diary.note, number)
    return diary, ref


async def test_a_draining_server_gets_downs_and_timers(
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


async def test_an_idle_draining_server_ends_at_once(nursery: trio.Nursery) -> None:
    ref = await start(nursery, Polite)

    assert await stop(ref) == SHUTDOWN


async def test_a_draining_server_is_cancelled_in_its_init(nursery: trio.Nursery) -> None:
    class Late(Polite):
        async def init(self) -> None:
            await self.gate.wait()

    refs: list[Ref[Late]] = []

    def make() -> Late:
        late = Late()
        nursery.start_soon(stop_late, late)
        return late

    async def stop_late(late: Late) -> None:
        refs.append(late.ref)
        late.ref.stop()

    with pytest.raises(Exception, match="did not start: shutdown"):
        await start(nursery, make)
    assert await refs[0].wait() == SHUTDOWN


async def test_stop_takes_a_reason_and_a_grace(
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


async def test_a_cancelled_stop_does_not_kill(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    diary, ref = await busy(nursery, Polite, grace=50)

    with trio.move_on_after(1):
        await stop(ref)
    assert ref.reason is None
    diary.gate.set()

    assert await ref.wait() == SHUTDOWN


# -- a task beside the loop


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


async def test_a_request_of_a_task_beside_the_loop_wakes_the_loop(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    diary = Accompanied()
    ref = await start(nursery, lambda: diary)

    await trio.sleep(2)

    assert diary.log == ["continued", TIMEOUT]
    await stop(ref)
