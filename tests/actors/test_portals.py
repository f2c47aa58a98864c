"""Portals: threads that send messages to actors."""

# A crash is raised by the nursery itself, so its whole block is what raises.
# ruff: noqa: PT012

import threading
from collections.abc import Callable

import pytest
import trio
from trio.lowlevel import current_trio_token, spawn_system_task
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    ActorExited,
    MailboxFull,
    NoProcess,
    Portal,
    PortalClosed,
    Ref,
    from_sync,
    from_thread,
    start,
    stop,
)
from tests.support.threads import TILL, Empty, Thread, Till, every_way, foreign_thread, till

# -- call, cast and send


@every_way
async def test_a_thread_calls_casts_and_sends(
    nursery: trio.Nursery, make: Callable[[], Portal], thread: Thread[None]
) -> None:
    def work() -> None:
        portal.cast(ref, Till.add, 1)
        assert portal.call(TILL, Till.add, amount=2) == 3
        portal.send(TILL, "hello")
        assert portal.call(ref, Till.what_was_sent) == ["hello"]

    ref, portal = await start(nursery, Till, name=TILL), make()
    await thread(work)
    await stop(ref)


@every_way
async def test_replies_and_errors_arrive_unchanged_in_the_thread(
    make: Callable[[], Portal], thread: Thread[None]
) -> None:
    def work() -> None:
        with pytest.raises(NoProcess, match="no actor is registered as 'till'"):
            portal.call(TILL, Till.add, 1)
        with pytest.raises(Empty, match="nothing in it"):
            portal.call(ref, Till.empty)
        with pytest.raises(TypeError, match="init cannot be a message"):
            portal.call(ref, Till.init)
        with pytest.raises(ActorExited) as gone:
            portal.call(ref, Till.crash)
        assert isinstance(gone.value.__cause__, ValueError)
        for verb in (portal.cast, portal.call):
            with pytest.raises(ActorExited, match=r"; a ca(ll|st) of add\(\) failed"):
                verb(ref, Till.add, 1)
        with pytest.raises(ActorExited):
            portal.send(ref, "late")
        done.append(True)

    done: list[bool] = []
    with pytest.raises(BaseExceptionGroup) as crashed:
        async with trio.open_nursery() as nursery:
            ref, portal = await start(nursery, Till), make()
            with trio.CancelScope(shield=True):
                await thread(work)
    assert crashed.group_contains(ValueError)
    assert done


@every_way
async def test_a_cast_and_a_send_wait_while_the_mailbox_is_full(
    nursery: trio.Nursery, make: Callable[[], Portal], thread: Thread[None]
) -> None:
    def work() -> None:
        portal.cast(ref, Till.wait)
        portal.cast(ref, Till.add, 1)
        portal.cast(ref, Till.add, 2)
        portal.send(ref, "sent")

    async def release() -> None:
        await till(ref).busy.wait()
        while not ref.mailbox_statistics.blocked:
            await trio.lowlevel.checkpoint()
        till(ref).go.set()

    ref, portal = await start(nursery, Till), make()
    nursery.start_soon(release)
    await thread(work)

    assert await ref.call(Till.add, 0) == 3
    assert await ref.call(Till.what_was_sent) == ["sent"]
    await stop(ref)


# -- refused threads


@pytest.mark.parametrize("make", [lambda: from_thread, lambda: from_sync, Portal])
async def test_a_call_in_the_loops_own_thread_is_refused(
    nursery: trio.Nursery, make: Callable[[], Portal]
) -> None:
    ref = await start(nursery, Till)
    with pytest.raises(RuntimeError) as refused:
        make().call(ref, Till.add, 1)

    assert str(refused.value) == (
        "a call of add would block the trio loop of this thread; "
        "use `await address.call(...)` instead"
    )
    await stop(ref)


async def test_from_thread_is_refused_in_the_loops_own_thread(nursery: trio.Nursery) -> None:
    ref = await start(nursery, Till)
    with pytest.raises(RuntimeError, match="a cast of add would block the trio loop"):
        from_thread.cast(ref, Till.add, 1)
    with pytest.raises(RuntimeError, match="a send of str would block the trio loop"):
        from_thread.send(ref, "hello")
    await stop(ref)


@pytest.mark.parametrize("make", [lambda: from_sync, Portal])
async def test_from_sync_and_portal_cast_in_the_loops_thread_without_waiting(
    nursery: trio.Nursery, make: Callable[[], Portal]
) -> None:
    ref, portal = await start(nursery, Till), make()
    await wait_all_tasks_blocked()

    portal.cast(ref, Till.wait)
    await till(ref).busy.wait()
    portal.send(ref, "hello")
    with pytest.raises(MailboxFull):
        portal.cast(ref, Till.add, 1)
    with pytest.raises(MailboxFull):
        portal.send(ref, "again")

    till(ref).go.set()
    assert await ref.call(Till.what_was_sent) == ["hello"]
    await stop(ref)


async def test_from_sync_casts_from_a_callback_of_the_loop(nursery: trio.Nursery) -> None:
    ref = await start(nursery, Till)
    current_trio_token().run_sync_soon(from_sync.cast, ref, Till.add, 1)
    await wait_all_tasks_blocked()

    assert await ref.call(Till.add, 0) == 1
    await stop(ref)


@pytest.mark.parametrize("portal", [from_thread, from_sync])
async def test_a_thread_that_trio_did_not_start_needs_a_portal(
    nursery: trio.Nursery, portal: Portal
) -> None:
    def work() -> None:
        with pytest.raises(RuntimeError) as refused:
            portal.call(ref, Till.add, 1)
        assert str(refused.value) == (
            "a call of add cannot reach trio, because trio did not start this thread; "
            "create a Portal() inside trio and pass it to the thread"
        )

    ref = await start(nursery, Till)
    await foreign_thread(work)
    await stop(ref)


def test_a_portal_must_be_created_inside_trio() -> None:
    with pytest.raises(RuntimeError, match="create a Portal inside trio, then pass it"):
        Portal()


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
async def test_a_portal_timeout_of_zero_or_less_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be > 0 seconds, got"):
        Portal(timeout)


# -- timeouts, and the end of the run


async def test_a_portal_raises_when_its_timeout_is_over(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    def work() -> None:
        with pytest.raises(trio.TooSlowError):
            portal.call(ref, Till.wait)

    async def jump() -> None:
        await till(ref).busy.wait()
        mock_clock.jump(3)

    ref, portal = await start(nursery, Till), Portal(timeout=3)
    nursery.start_soon(jump)
    await foreign_thread(work)

    till(ref).go.set()
    assert await ref.call(Till.add, 1) == 1
    await stop(ref)


def test_a_portal_raises_portal_closed_after_the_run() -> None:
    async def main() -> tuple[Portal, Ref[Till]]:
        async with trio.open_nursery() as nursery:
            ref = await start(nursery, Till)
            await stop(ref)
        return Portal(), ref

    portal, ref = trio.run(main)
    with pytest.raises(PortalClosed, match="the run of trio has ended before a call of"):
        portal.call(ref, Till.add, 1)


def test_a_portal_raises_portal_closed_if_the_run_ends_during_a_call() -> None:
    class Stubborn(Till):
        async def wait(self) -> str:
            with trio.CancelScope(shield=True):
                await Till.wait(self)
            return "too late"

    async def life() -> None:
        async with trio.open_nursery() as nursery:
            refs.append(await start(nursery, Stubborn))

    async def main() -> None:
        spawn_system_task(life)
        await wait_all_tasks_blocked()
        stubborn = till(refs[0])
        portal, token = Portal(), current_trio_token()

        def work() -> None:
            try:
                portal.call(refs[0], Till.wait)
            except PortalClosed as closed:
                told.append(str(closed))
            token.run_sync_soon(stubborn.go.set)

        threads.append(threading.Thread(target=work))
        threads[0].start()
        await stubborn.busy.wait()

    refs: list[Ref[Stubborn]] = []
    told: list[str] = []
    threads: list[threading.Thread] = []
    trio.run(main)
    threads[0].join()

    assert told == ["the run of trio has ended during a call of wait"]
