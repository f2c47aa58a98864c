"""Using an actor from another thread or another `trio.run` is refused."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import (
    SHUTDOWN,
    Group,
    MailboxPolicy,
    Name,
    Pending,
    Ref,
    Server,
    debug,
    start,
    stop,
)
from tests.limits import HANG


class Clerk(Server):
    mailbox = MailboxPolicy(1)

    async def work(self, until: trio.Event) -> None:
        await until.wait()

    async def add(self, number: int) -> int:
        return number + 1


CLERK = Name("clerk", Clerk)
CLERKS = Group("clerks", Clerk)


async def refused_elsewhere(ask: Callable[[], Awaitable[object]]) -> None:
    """Run `ask` in another `trio.run` in another thread; check that it is refused."""

    async def other_run() -> None:
        with trio.fail_after(HANG):
            await ask()

    with pytest.raises(RuntimeError, match=r"^/clerk: \w+ is impossible from another thread or"):
        await trio.to_thread.run_sync(trio.run, other_run)


@pytest.mark.parametrize("full", [False, True])
async def test_messages_from_another_run_are_refused(nursery: trio.Nursery, full: bool) -> None:
    clerk = await start(nursery, Clerk, path="/clerk")
    done = trio.Event()
    await clerk.cast(Clerk.work, done)
    await wait_all_tasks_blocked()
    if full:
        await clerk.cast(Clerk.add, 0)

    await refused_elsewhere(lambda: clerk.call(Clerk.add, 1))
    await refused_elsewhere(lambda: clerk.request(Clerk.add, 1))
    await refused_elsewhere(lambda: clerk.cast(Clerk.add, 1))
    await refused_elsewhere(lambda: clerk.send(1))

    assert clerk.mailbox_statistics.length == full
    done.set()
    assert await clerk.call(Clerk.add, 2) == 3
    assert await stop(clerk) is SHUTDOWN


async def test_wait_from_another_run_is_refused_until_the_end(
    nursery: trio.Nursery,
) -> None:
    clerk = await start(nursery, Clerk, path="/clerk")

    await refused_elsewhere(clerk.wait)

    assert await stop(clerk) is SHUTDOWN
    # After the end no task is woken, so any run may ask.
    ended = await trio.to_thread.run_sync(trio.run, clerk.wait)
    assert ended is SHUTDOWN


async def test_result_from_another_run_is_refused(
    nursery: trio.Nursery,
) -> None:
    clerk = await start(nursery, Clerk, path="/clerk")
    done = trio.Event()
    await clerk.cast(Clerk.work, done)
    pending: Pending[int] = await clerk.request(Clerk.add, 1)

    await refused_elsewhere(pending.result)

    done.set()
    assert await pending.result() == 2
    await stop(clerk)


@pytest.mark.parametrize("look", [debug.get_state, debug.suspend, debug.statistics])
async def test_debug_from_another_run_is_refused(
    nursery: trio.Nursery, look: Callable[[Ref[Clerk]], Awaitable[object]]
) -> None:
    clerk = await start(nursery, Clerk, path="/clerk")
    done = trio.Event()
    await clerk.cast(Clerk.work, done)
    await wait_all_tasks_blocked()

    await refused_elsewhere(lambda: look(clerk))

    done.set()
    assert await clerk.call(Clerk.add, 2) == 3
    await stop(clerk)


CLERKS = Group("clerks", Clerk)


class Watcher(Server):
    """Monitors actors and groups, and lets actors join a group."""

    async def init(self) -> None:
        self.messages = list[object]()

    async def watch(self, clerk: Ref[Clerk]) -> None:
        self.monitor(clerk)

    async def gather(self, clerk: Ref[Clerk]) -> None:
        self.monitor(CLERKS)
        CLERKS.join(clerk)

    async def handle_info(self, message: object) -> None:
        self.messages.append(message)

    async def heard(self) -> list[object]:
        return self.messages

    async def refused(
        self, method: Callable[["Watcher", Ref[Clerk]], Awaitable[None]], clerk: Ref[Clerk]
    ) -> str:
        with pytest.raises(RuntimeError) as refusal:
            await method(self, clerk)
        return str(refusal.value)


@pytest.mark.parametrize(("method", "verb"), [(Watcher.watch, "monitor"), (Watcher.gather, "join")])
async def test_monitor_and_join_from_another_run_are_refused(
    nursery: trio.Nursery, method: Callable[[Watcher, Ref[Clerk]], Awaitable[None]], verb: str
) -> None:
    clerk = await start(nursery, Clerk, path="/clerk")
    here = trio.lowlevel.current_trio_token()

    async def other_run() -> str:
        async with trio.open_nursery() as others:
            watcher = await start(others, Watcher, path="/watcher")
            refused = await watcher.call(Watcher.refused, method, clerk)
            await wait_all_tasks_blocked()
            # The watcher waits: waking it from this run would crash.
            end = partial(trio.from_thread.run, stop, clerk, trio_token=here)
            assert await trio.to_thread.run_sync(end) is SHUTDOWN
            watcher.stop()
        return refused

    refused = await trio.to_thread.run_sync(trio.run, other_run)

    assert refused.startswith(
        f"/clerk: {verb} is impossible from another thread or `trio.run`: use"
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda: CLERK.whereis(),
        lambda: CLERK.cast_nowait(Clerk.add, 1),
        lambda: CLERKS.members(),
    ],
)
async def test_names_and_groups_in_a_thread_raise_with_the_cure(
    ask: Callable[[], object],
) -> None:
    with pytest.raises(
        RuntimeError,
        match=r" is possible only inside `trio\.run`: use `okibi\.actors\.from_thread`",
    ):
        await trio.to_thread.run_sync(ask)
