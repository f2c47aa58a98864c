"""Threads that somebody waits for: what a cancellation does, and what their own actor cannot do."""

# A crash is raised by the nursery itself, so its whole block is what raises.
# ruff: noqa: PT012

from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio
from trio.lowlevel import current_trio_token

from okibi.actors import (
    Actor,
    CallCycle,
    CallingSelf,
    MailboxFull,
    MailboxPolicy,
    Portal,
    Ref,
    Server,
    from_sync,
    from_thread,
    start,
    stop,
)
from tests.support.threads import WAYS, Thread, Till, till

# -- cancellation of who waits for the thread


@pytest.mark.parametrize("door", [from_thread, from_sync])
async def test_a_cancelled_thread_is_told_so(nursery: trio.Nursery, door: Portal) -> None:
    def work() -> None:
        for _ in range(2):  # told as often as it asks
            try:
                door.call(ref, Till.wait)
            except trio.Cancelled:
                told.append("cancelled")
        door.call(ref, Till.wait)

    told: list[str] = []
    ref = await start(nursery, Till)
    with trio.CancelScope() as scope:
        nursery.start_soon(cancel_when_busy, ref, scope)
        await trio.to_thread.run_sync(work)

    assert scope.cancelled_caught
    assert told == ["cancelled", "cancelled"]
    till(ref).go.set()
    await stop(ref)


@pytest.mark.parametrize("door", [from_thread, from_sync])
async def test_what_an_abandoned_thread_has_asked_for_goes_on(
    nursery: trio.Nursery, door: Portal
) -> None:
    def work() -> None:
        told.append(door.call(ref, Till.wait))
        told.append(door.call(ref, Till.add, 1))
        token.run_sync_soon(done.set)

    told: list[object] = []
    token, done = current_trio_token(), trio.Event()
    ref = await start(nursery, Till)
    with trio.CancelScope() as scope:
        nursery.start_soon(cancel_when_busy, ref, scope)
        await trio.to_thread.run_sync(work, abandon_on_cancel=True)

    assert scope.cancelled_caught
    assert told == []
    till(ref).go.set()
    await done.wait()
    assert told == ["gone on", 1]
    await stop(ref)


async def cancel_when_busy(ref: Ref[Till], scope: trio.CancelScope) -> None:
    await till(ref).busy.wait()
    scope.cancel()


# -- an actor whose thread speaks to it


@attrs.define(eq=False)
class Host(Server):
    """Has a thread do something, and waits for it."""

    mailbox = MailboxPolicy(1)
    door: Portal
    thread: Thread[Any]

    async def add(self, amount: int) -> int:
        return amount

    async def ask(self, whom: Ref["Host"]) -> CallCycle:
        """Have the thread call somebody, and say how that was refused."""

        def work() -> CallCycle:
            with pytest.raises(CallCycle) as refused:
                self.door.call(whom, Host.add, 1)
            return refused.value

        refused: CallCycle = await self.thread(work)
        return refused

    async def have_ask(self, whom: Ref["Host"]) -> CallCycle:
        return await whom.call(Host.ask, self.ref)

    async def flood_self(self) -> None:
        def work() -> None:
            self.door.cast(self.ref, Host.add, 1)
            with pytest.raises(MailboxFull):
                self.door.cast(self.ref, Host.add, 2)
            with pytest.raises(MailboxFull):
                self.door.send(self.ref, "hello")

        await self.thread(work)


# A thread that trio knows nothing of does not say whose it is.
known_way = pytest.mark.parametrize(("make", "thread"), WAYS[:-1])


@known_way
async def test_a_thread_that_its_actor_waits_for_cannot_call_it(
    nursery: trio.Nursery, make: Callable[[], Portal], thread: Thread[None]
) -> None:
    host = await start(nursery, lambda: Host(make(), thread), path="/host")

    refused = await host.call(Host.ask, host)

    assert isinstance(refused, CallingSelf)
    assert refused.paths == ("/host", "/host")
    assert "add" in str(refused)
    await stop(host)


@known_way
async def test_a_thread_that_its_actor_waits_for_does_not_wait_for_room(
    nursery: trio.Nursery, make: Callable[[], Portal], thread: Thread[None]
) -> None:
    host = await start(nursery, lambda: Host(make(), thread))
    await host.call(Host.flood_self)
    await stop(host)


async def test_the_actor_that_waits_for_a_thread_is_its_caller(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    class Working(Actor):
        async def run(self) -> None:
            await trio.to_thread.run_sync(from_thread.cast, ref, Till.crash)
            await trio.sleep_forever()

    with pytest.raises(BaseExceptionGroup):
        async with trio.open_nursery() as inner:
            ref = await start(inner, Till, path="/till")
            await start(inner, Working, path="/working")
            await trio.sleep_forever()

    assert "while handling crash() from /working" in caplog.text
