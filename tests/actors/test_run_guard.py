"""What is asked of an actor from another run of trio's, whatever the actor is at meanwhile."""

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


async def elsewhere(ask: Callable[[], Awaitable[object]]) -> None:
    """Have another run in another thread ask, which is to be refused."""

    async def other_run() -> None:
        with trio.fail_after(HANG):
            await ask()

    with pytest.raises(RuntimeError, match=r"/clerk: .* outside its run of trio; use"):
        await trio.to_thread.run_sync(trio.run, other_run)


@pytest.mark.parametrize("full", [False, True])
async def test_one_that_is_busy_is_not_asked_from_another_run_and_comes_to_no_harm(
    nursery: trio.Nursery, full: bool
) -> None:
    clerk = await start(nursery, Clerk, path="/clerk")
    done = trio.Event()
    await clerk.cast(Clerk.work, done)
    await wait_all_tasks_blocked()
    if full:
        await clerk.cast(Clerk.add, 0)

    await elsewhere(lambda: clerk.call(Clerk.add, 1))
    await elsewhere(lambda: clerk.request(Clerk.add, 1))
    await elsewhere(lambda: clerk.cast(Clerk.add, 1))
    await elsewhere(lambda: clerk.send(1))

    assert clerk.mailbox_statistics.length == full
    done.set()
    assert await clerk.call(Clerk.add, 2) == 3
    assert await stop(clerk) is SHUTDOWN


async def test_nobody_waits_for_its_end_in_another_run_while_it_lives(
    nursery: trio.Nursery,
) -> None:
    clerk = await start(nursery, Clerk, path="/clerk")

    await elsewhere(clerk.wait)

    assert await stop(clerk) is SHUTDOWN
    # Nobody is to be woken any more.
    ended = await trio.to_thread.run_sync(trio.run, clerk.wait)
    assert ended is SHUTDOWN


async def test_nobody_waits_in_another_run_for_what_was_asked_in_its_own(
    nursery: trio.Nursery,
) -> None:
    clerk = await start(nursery, Clerk, path="/clerk")
    done = trio.Event()
    await clerk.cast(Clerk.work, done)
    pending: Pending[int] = await clerk.request(Clerk.add, 1)

    await elsewhere(pending.result)

    done.set()
    assert await pending.result() == 2
    await stop(clerk)


@pytest.mark.parametrize("look", [debug.get_state, debug.suspend, debug.statistics])
async def test_one_that_is_busy_is_not_looked_into_from_another_run(
    nursery: trio.Nursery, look: Callable[[Ref[Clerk]], Awaitable[object]]
) -> None:
    clerk = await start(nursery, Clerk, path="/clerk")
    done = trio.Event()
    await clerk.cast(Clerk.work, done)
    await wait_all_tasks_blocked()

    await elsewhere(lambda: look(clerk))

    done.set()
    assert await clerk.call(Clerk.add, 2) == 3
    await stop(clerk)


CLERKS = Group("clerks", Clerk)


class Watcher(Server):
    """Monitors, and has others join, from the run that it lives in."""

    async def init(self) -> None:
        self.told = list[object]()

    async def watch(self, clerk: Ref[Clerk]) -> None:
        self.monitor(clerk)

    async def gather(self, clerk: Ref[Clerk]) -> None:
        self.monitor(CLERKS)
        CLERKS.join(clerk)

    async def handle_info(self, message: object) -> None:
        self.told.append(message)

    async def heard(self) -> list[object]:
        return self.told

    async def refused(
        self, method: Callable[["Watcher", Ref[Clerk]], Awaitable[None]], clerk: Ref[Clerk]
    ) -> str:
        with pytest.raises(RuntimeError) as refusal:
            await method(self, clerk)
        return str(refusal.value)


@pytest.mark.parametrize(("method", "verb"), [(Watcher.watch, "monitor"), (Watcher.gather, "join")])
async def test_nobody_is_told_in_another_run_of_its_end_and_it_ends_as_ever(
    nursery: trio.Nursery, method: Callable[[Watcher, Ref[Clerk]], Awaitable[None]], verb: str
) -> None:
    clerk = await start(nursery, Clerk, path="/clerk")
    here = trio.lowlevel.current_trio_token()

    async def other_run() -> str:
        async with trio.open_nursery() as others:
            watcher = await start(others, Watcher, path="/watcher")
            refused = await watcher.call(Watcher.refused, method, clerk)
            await wait_all_tasks_blocked()
            # While the watcher waits: who woke it from here would crash.
            end = partial(trio.from_thread.run, stop, clerk, trio_token=here)
            assert await trio.to_thread.run_sync(end) is SHUTDOWN
            watcher.stop()
        return refused

    refused = await trio.to_thread.run_sync(trio.run, other_run)

    assert refused.startswith(f"/clerk: {verb} outside its run of trio; use")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: CLERK.whereis(),
        lambda: CLERK.cast_nowait(Clerk.add, 1),
        lambda: CLERKS.members(),
    ],
)
async def test_a_thread_that_looks_for_a_name_or_a_group_itself_is_told_what_to_use(
    ask: Callable[[], object],
) -> None:
    with pytest.raises(
        RuntimeError, match=r"inside a run of trio only; use .okibi\.actors\.from_thread"
    ):
        await trio.to_thread.run_sync(ask)
