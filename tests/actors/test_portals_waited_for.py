"""Threads for which a task waits: its cancellation, and messages to its own actor."""

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

# -- cancellation of the waiting task


@pytest.mark.parametrize("portal", [from_thread, from_sync])
async def test_a_message_of_a_cancelled_thread_raises_cancelled(
    nursery: trio.Nursery, portal: Portal
) -> None:
    def work() -> None:
        for _ in range(2):  # at each message
            try:
                portal.call(ref, Till.wait)
            except trio.Cancelled:
                told.append("cancelled")
        portal.call(ref, Till.wait)

    told: list[str] = []
    ref = await start(nursery, Till)
    with trio.CancelScope() as scope:
        nursery.start_soon(cancel_when_busy, ref, scope)
        await trio.to_thread.run_sync(work)

    assert scope.cancelled_caught
    assert told == ["cancelled", "cancelled"]
    till(ref).go.set()
    await stop(ref)


@pytest.mark.parametrize("portal", [from_thread, from_sync])
async def test_a_call_of_an_abandoned_thread_goes_on(nursery: trio.Nursery, portal: Portal) -> None:
    def work() -> None:
        told.append(portal.call(ref, Till.wait))
        told.append(portal.call(ref, Till.add, 1))
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


# -- messages to the actor that waits for the thread


@attrs.define(eq=False)
class Host(Server):
    """Runs a function in a thread and waits for the thread."""

    mailbox = MailboxPolicy(1)
    portal: Portal
    thread: Thread[Any]

    async def add(self, amount: int) -> int:
        return amount

    async def ask(self, whom: Ref["Host"]) -> CallCycle:
        """Call another actor in the thread; return the CallCycle."""

        def work() -> CallCycle:
            with pytest.raises(CallCycle) as refused:
                self.portal.call(whom, Host.add, 1)
            return refused.value

        refused: CallCycle = await self.thread(work)
        return refused

    async def have_ask(self, whom: Ref["Host"]) -> CallCycle:
        return await whom.call(Host.ask, self.ref)

    async def flood_self(self) -> None:
        def work() -> None:
            self.portal.cast(self.ref, Host.add, 1)
            with pytest.raises(MailboxFull):
                self.portal.cast(self.ref, Host.add, 2)
            with pytest.raises(MailboxFull):
                self.portal.send(self.ref, "hello")

        await self.thread(work)


# A thread that trio did not start belongs to no task.
known_way = pytest.mark.parametrize(("make", "thread"), WAYS[:-1])


@known_way
async def test_a_thread_cannot_call_the_actor_that_waits_for_it(
    nursery: trio.Nursery, make: Callable[[], Portal], thread: Thread[None]
) -> None:
    host = await start(nursery, lambda: Host(make(), thread), path="/host")

    refused = await host.call(Host.ask, host)

    assert isinstance(refused, CallingSelf)
    assert refused.paths == ("/host", "/host")
    assert "add" in str(refused)
    await stop(host)


@known_way
async def test_a_cast_to_the_full_actor_that_waits_for_the_thread_is_refused(
    nursery: trio.Nursery, make: Callable[[], Portal], thread: Thread[None]
) -> None:
    host = await start(nursery, lambda: Host(make(), thread))
    await host.call(Host.flood_self)
    await stop(host)


async def test_the_caller_is_the_actor_that_waits_for_the_thread(
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
