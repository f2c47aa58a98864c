"""Groups: joining, leaving, dispatch and monitors."""

import logging
import random
from collections import Counter
from typing import Any, Generic, TypeVar

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi import actors
from okibi.actors import (
    SHUTDOWN,
    ActorExited,
    Down,
    Group,
    GroupMonitor,
    Joined,
    Left,
    MailboxPolicy,
    Ref,
    Server,
    WhenFull,
    start,
    stop,
)
from okibi.actors.groups import BATCH, GroupTable, _group_table

T = TypeVar("T")


@attrs.define(eq=False)
class Worker(Server):
    heard: list[str] = attrs.Factory(list)

    async def hear(self, news: str) -> None:
        self.heard.append(news)

    async def what_was_heard(self) -> list[str]:
        return self.heard


class Other(Server): ...


@attrs.define(eq=False)
class Watcher(Server):
    seen: list[object] = attrs.Factory(list)

    async def watch(self, group: Group[Worker]) -> GroupMonitor[Worker]:
        return self.monitor(group)

    async def watch_actor(self, ref: Ref[Worker]) -> None:
        self.monitor(ref)

    async def watch_then_ignore(self, group: Group[Worker], ref: Ref[Worker]) -> None:
        monitor = self.monitor(group)
        group.join(ref)
        group.leave(ref)
        waiting = self.ref.mailbox_statistics.control
        monitor.demonitor()
        monitor.demonitor()
        assert self.ref.mailbox_statistics.control == waiting - 2

    async def what_was_seen(self) -> list[object]:
        return self.seen

    async def handle_info(self, message: object) -> None:
        self.seen.append(message)


WORKERS = Group("workers", Worker)
OTHERS = Group("others", Worker)


def left_behind() -> GroupTable | None:
    """Return the table of groups of this run; None if it is empty."""
    table = _group_table()
    return table if table.members or table.joins or table.monitors else None


# -- joins and leaves


async def test_members_are_in_the_order_of_joining_with_repeats(
    nursery: trio.Nursery,
) -> None:
    a, b = await start(nursery, Worker), await start(nursery, Worker)
    for ref in (a, b, a):
        WORKERS.join(ref)

    assert WORKERS.members() == [a, b, a]
    assert OTHERS.members() == []
    await stop(a)
    await stop(b)


async def test_a_member_that_joined_twice_must_leave_twice(
    nursery: trio.Nursery,
) -> None:
    a, b = await start(nursery, Worker), await start(nursery, Worker)
    for ref in (a, b, a):
        WORKERS.join(ref)

    assert WORKERS.leave(a)
    assert WORKERS.members() == [a, b]
    assert WORKERS.leave(a)
    assert WORKERS.members() == [b]
    assert not WORKERS.leave(a)

    assert a.process().watchers == {}
    await stop(a)
    await stop(b)
    assert left_behind() is None


async def test_leaving_one_group_leaves_no_other(nursery: trio.Nursery) -> None:
    worker = await start(nursery, Worker)
    for group in (WORKERS, OTHERS):
        group.join(worker)

    WORKERS.leave(worker)

    assert (WORKERS.members(), OTHERS.members()) == ([], [worker])
    await stop(worker)
    assert left_behind() is None


async def test_an_actor_may_join_in_its_init(nursery: trio.Nursery) -> None:
    class Joining(Worker):
        async def init(self) -> None:
            WORKERS.join(self.ref)

    joining = await start(nursery, Joining)

    assert WORKERS.members() == [joining]
    await stop(joining)


async def test_a_dead_member_is_gone_before_its_down_arrives(nursery: trio.Nursery) -> None:
    class Looking(Watcher):
        async def handle_info(self, message: object) -> None:
            assert isinstance(message, Down)
            seen.append(WORKERS.members())

    seen: list[list[Ref[Worker]]] = []
    worker, looking = await start(nursery, Worker), await start(nursery, Looking)
    await looking.call(Looking.watch_actor, worker)
    WORKERS.join(worker)
    WORKERS.join(worker)
    worker.kill()
    await wait_all_tasks_blocked()

    assert seen == [[]]
    assert left_behind() is None
    await stop(looking)


async def test_a_dead_actor_cannot_join(nursery: trio.Nursery) -> None:
    worker = await start(nursery, Worker)
    worker.kill()
    await worker.wait()

    with pytest.raises(ActorExited) as refused:
        WORKERS.join(worker)

    group = "Group('workers', Worker)"
    assert str(refused.value) == f"Worker is gone: killed; a join of {group} failed"
    assert not WORKERS.leave(worker)
    assert left_behind() is None


async def test_an_actor_of_another_class_cannot_join(nursery: trio.Nursery) -> None:
    other = await start(nursery, Other, path="/other")

    with pytest.raises(
        TypeError, match=r"/other cannot join Group\('workers', Worker\): it is of class O"
    ):
        WORKERS.join(other)  # type: ignore[arg-type]
    await stop(other)


async def test_a_group_may_be_of_a_generic_class(nursery: trio.Nursery) -> None:
    class Box(Server, Generic[T]): ...

    boxes = Group("boxes", Box[int])
    box: Ref[Box[int]] = await start(nursery, Box[int])
    boxes.join(box)

    assert boxes.members() == [box]
    await stop(box)


def test_the_table_belongs_to_one_run_of_trio() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            WORKERS.join(await start(nursery, Worker))
            await trio.to_thread.run_sync(trio.run, look)
            nursery.cancel_scope.cancel()

    async def look() -> None:
        seen.append(WORKERS.members())

    seen: list[object] = []
    trio.run(main)
    trio.run(look)

    assert seen == [[], []]


def test_a_group_checks_its_key_and_class() -> None:
    for key in ("", None):
        with pytest.raises(TypeError, match=r"^Group\(key, actor\): key must not be empty, got"):
            Group(key, Worker)
    with pytest.raises(
        TypeError, match=r"^Group\('workers', actor\): actor must be a class, got str\[6\]$"
    ):
        Group("workers", "Worker")  # type: ignore[arg-type]


def test_groups_are_equal_by_key() -> None:
    same: Group[Any] = Group("workers", Other)
    assert same == WORKERS
    assert hash(same) == hash(WORKERS)
    assert repr(WORKERS) == "Group('workers', Worker)"


def test_lazy_names_are_imported_at_first_use() -> None:
    assert actors.Group is Group
    with pytest.raises(AttributeError, match=r"'okibi\.actors' has no attribute 'Grop'"):
        _ = actors.Grop  # type: ignore[attr-defined]


# -- dispatch


async def test_dispatch_casts_to_all_members_and_counts(nursery: trio.Nursery) -> None:
    a, b = await start(nursery, Worker), await start(nursery, Worker)
    for ref in (a, b, a):
        WORKERS.join(ref)

    assert await WORKERS.dispatch(Worker.hear, "news") == 3

    assert await a.call(Worker.what_was_heard) == ["news", "news"]
    assert await b.call(Worker.what_was_heard) == ["news"]
    await stop(a)
    await stop(b)


async def test_dispatch_to_an_empty_group_returns_0() -> None:
    with trio.testing.assert_checkpoints():
        assert await WORKERS.dispatch(Worker.hear, "news") == 0


async def test_other_tasks_run_during_a_large_dispatch(nursery: trio.Nursery) -> None:
    member = await start(nursery, Worker)
    for _ in range(3 * BATCH):
        WORKERS.join(member)
    turns = list[int]()

    async def count() -> None:
        while True:
            turns.append(len(turns))
            await trio.lowlevel.checkpoint()

    nursery.start_soon(count)
    assert await WORKERS.dispatch(Worker.hear, "news") == 3 * BATCH
    assert len(turns) >= 3
    await member.call(Worker.what_was_heard)

    with trio.CancelScope() as scope:
        trio.lowlevel.current_trio_token().run_sync_soon(scope.cancel)
        # The cast is not left half done.
        assert await WORKERS.dispatch(Worker.hear, "news") == 3 * BATCH
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("when_full", [WhenFull.BLOCK, WhenFull.REJECT])
async def test_dispatch_skips_a_full_member(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, when_full: WhenFull
) -> None:
    class Full(Worker):
        mailbox = MailboxPolicy(1, when_full)

        async def hear(self, news: str) -> None:
            await trio.sleep_forever()

    full, free = await start(nursery, Full, path="/full"), await start(nursery, Worker)
    await full.cast(Worker.hear, "first")
    await wait_all_tasks_blocked()
    await full.cast(Worker.hear, "second")
    for ref in (full, free):
        WORKERS.join(ref)

    try:
        raise ValueError
    except ValueError:
        # `cast_nowait` would log here instead of raising, and the cast would count.
        assert await WORKERS.dispatch(Worker.hear, "news") == 1

    assert await free.call(Worker.what_was_heard) == ["news"]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message == (
        "Group('workers', Worker): hear was not cast to a member: /full cannot take hear(): its "
        "mailbox is full"
    )
    full.kill()
    await stop(free)


async def test_dispatch_skips_an_ending_member(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "okibi.actors")
    ending, free = await start(nursery, Worker, path="/ending"), await start(nursery, Worker)
    for ref in (ending, free):
        WORKERS.join(ref)
    ending.stop()

    assert await WORKERS.dispatch(Worker.hear, "news") == 1

    assert await free.call(Worker.what_was_heard) == ["news"]
    [record] = caplog.records
    assert record.levelno == logging.INFO
    assert record.message == (
        "Group('workers', Worker): hear was not cast to a member: /ending is gone: shutdown; a "
        "cast of hear() failed"
    )
    await stop(free)


async def test_send_reaches_all_members_but_the_full_and_the_ending(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Worker):
        mailbox = MailboxPolicy(1)

        async def hear(self, news: str) -> None:
            await trio.sleep_forever()

    @attrs.define(eq=False)
    class Listening(Worker):
        async def handle_info(self, message: object) -> None:
            self.heard.append(str(message))

    full, ending = await start(nursery, Full, path="/full"), await start(nursery, Worker)
    free = await start(nursery, Listening)
    await full.cast(Worker.hear, "first")
    await wait_all_tasks_blocked()
    await full.cast(Worker.hear, "second")
    for ref in (full, ending, free, free):
        WORKERS.join(ref)
    ending.stop()

    assert await WORKERS.send("news") == 2

    assert await free.call(Worker.what_was_heard) == ["news", "news"]
    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert record.message == (
        "Group('workers', Worker): a message of type str was not sent to a member: /full cannot "
        "take a message of type str: its mailbox is full"
    )
    full.kill()
    await stop(free)


async def test_a_cancelled_dispatch_reaches_nobody(nursery: trio.Nursery) -> None:
    worker = await start(nursery, Worker)
    WORKERS.join(worker)
    with trio.CancelScope() as scope:
        scope.cancel()
        await WORKERS.dispatch(Worker.hear, "news")

    assert scope.cancelled_caught
    assert await worker.call(Worker.what_was_heard) == []
    await stop(worker)


async def test_dispatch_of_a_hook_is_refused_even_without_members() -> None:
    with pytest.raises(TypeError, match="init cannot be a message"):
        await WORKERS.dispatch(Worker.init)


# -- monitors


async def test_a_group_monitor_has_the_members_then_each_change(
    nursery: trio.Nursery,
) -> None:
    a, b = await start(nursery, Worker), await start(nursery, Worker)
    watcher = await start(nursery, Watcher)
    WORKERS.join(a)

    monitor = await watcher.call(Watcher.watch, WORKERS)
    assert (monitor.group, monitor.members_at_start) == (WORKERS, (a,))
    WORKERS.join(b)
    WORKERS.join(a)
    OTHERS.join(a)
    WORKERS.leave(b)
    await stop(a)
    await wait_all_tasks_blocked()

    assert await watcher.call(Watcher.what_was_seen) == [
        Joined(WORKERS, b, monitor),
        Joined(WORKERS, a, monitor),
        Left(WORKERS, b, None, monitor),
        Left(WORKERS, a, SHUTDOWN, monitor),
        Left(WORKERS, a, SHUTDOWN, monitor),
    ]
    for ref in (b, watcher):
        ref.stop()


async def test_demonitor_removes_waiting_group_messages(nursery: trio.Nursery) -> None:
    worker, watcher = await start(nursery, Worker), await start(nursery, Watcher)
    kept = await watcher.call(Watcher.watch, WORKERS)

    await watcher.call(Watcher.watch_then_ignore, WORKERS, worker)
    WORKERS.join(worker)
    await wait_all_tasks_blocked()

    seen = await watcher.call(Watcher.what_was_seen)
    assert {message.monitor for message in seen} == {kept}  # type: ignore[attr-defined]
    assert len(seen) == 3
    for ref in (worker, watcher):
        await stop(ref)


async def test_ended_watchers_and_members_leave_nothing_behind(nursery: trio.Nursery) -> None:
    for _ in range(100):
        worker, watcher = await start(nursery, Worker), await start(nursery, Watcher)
        await watcher.call(Watcher.watch, WORKERS)
        WORKERS.join(worker)
        for ref in random.sample([worker, watcher], 2):
            await stop(ref)

    assert left_behind() is None


async def test_a_dead_watcher_gets_no_group_messages(nursery: trio.Nursery) -> None:
    watcher = await start(nursery, Watcher)
    await stop(watcher)

    monitor = WORKERS.add_monitor(watcher.process())

    assert monitor.members_at_start == ()
    assert left_behind() is None


async def test_a_watchers_view_matches_the_members_at_its_end(nursery: trio.Nursery) -> None:
    luck = random.Random(5)
    watcher = await start(nursery, Watcher)
    workers = [await start(nursery, Worker) for _ in range(5)]
    for _ in range(10):
        WORKERS.join(luck.choice(workers))
    monitor = await watcher.call(Watcher.watch, WORKERS)
    for _ in range(200):
        worker = luck.choice(workers)
        if luck.random() < 0.1:
            await stop(worker)
            workers[workers.index(worker)] = await start(nursery, Worker)
        else:
            luck.choice([WORKERS.join, WORKERS.leave])(worker)
    await wait_all_tasks_blocked()

    known = Counter(monitor.members_at_start)
    for message in await watcher.call(Watcher.what_was_seen):
        assert isinstance(message, (Joined, Left))
        known[message.ref] += 1 if isinstance(message, Joined) else -1
    assert +known == Counter(WORKERS.members())
    assert all(count >= 0 for count in known.values())
    for ref in (*workers, watcher):
        await stop(ref)
