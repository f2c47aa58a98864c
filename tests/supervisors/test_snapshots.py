"""Snapshots of trees."""

import math
from functools import partial
from typing import Any, ClassVar

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    NO_REPLY,
    NORMAL,
    MailboxPolicy,
    Name,
    Reply,
    Server,
    debug,
    start,
    stop,
)
from okibi.supervisors import (
    Child,
    Restart,
    Snapshot,
    Supervisor,
    SupervisorSpec,
    snapshot,
    supervise,
)
from tests.support.child_stage import Stage, leave, player


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_snapshot_shows_every_place_in_start_order(
    stage: Stage, nursery: trio.Nursery
) -> None:
    sub = Child(stage.tree("bc"), id="sub")
    top = await supervise(nursery, SupervisorSpec([stage.child("a"), sub]), path="/top")

    def running(path: str, actor: str = "Player", *children: Snapshot) -> Snapshot:
        return Snapshot(path, actor, "running", 1, 0, children)

    assert snapshot(top) == running(
        "/top",
        "Supervisor",
        running("/top/a"),
        running("/top/sub", "Supervisor", running("/top/sub/b"), running("/top/sub/c")),
    )
    await stop(top)


async def test_a_snapshot_counts_restarts_and_waiting_messages(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("a"))
    await leave("a")
    await trio.testing.wait_all_tasks_blocked()
    for _ in range(4):
        # The waiting actor takes the first message at once.
        player("a").send_nowait("hello")

    [child] = snapshot(top).children

    assert (child.incarnation, child.restarts, child.waiting) == (2, 1, 3)
    await stop(top)


async def test_a_snapshot_shows_children_that_do_not_run(
    stage: Stage, nursery: trio.Nursery
) -> None:
    class Looking(Server):
        async def init(self) -> None:
            seen.append(snapshot())

    seen: list[Snapshot] = []
    children = [
        stage.child("a", restart=Restart.TRANSIENT),
        stage.child("b", restart=Restart.TEMPORARY),
        Child(Looking, id="look"),
    ]
    top = await supervise(nursery, SupervisorSpec(children, intensity=0))
    await leave("a", NORMAL)
    await leave("b", NORMAL)

    shown = [(child.path, child.phase, child.actor) for child in snapshot(top).children]
    assert shown == [
        ("/supervisor/a", "undefined", ""),
        ("/supervisor/look", "running", "Looking"),
    ]
    assert [child.phase for child in seen[0].children] == ["running", "running", "starting"]
    await stop(top)


async def test_a_snapshot_inside_an_actor_shows_the_whole_tree(
    stage: Stage, nursery: trio.Nursery
) -> None:
    class Looker(Server):
        async def look(self) -> Snapshot:
            return snapshot()

    sub = Child(SupervisorSpec([Child(Looker)]), id="sub")
    top = await supervise(nursery, SupervisorSpec([sub, stage.child("a")]), path="/top")
    supervisor: Any = top.process().actor
    looker: Any = supervisor.places[0].process.actor.places[0].process.actor

    assert await looker.ref.call(Looker.look) == snapshot(top)
    await stop(top)


async def test_a_snapshot_does_not_wait_for_a_busy_supervisor(stage: Stage) -> None:
    async with trio.open_nursery() as nursery:
        name = Name("top", Supervisor)
        child = stage.child("a", init=trio.sleep_forever)
        nursery.start_soon(partial(supervise, nursery, SupervisorSpec([child]), name=name))
        await wait_all_tasks_blocked()

        shown = snapshot(name.whereis())

        assert (shown.phase, [child.phase for child in shown.children]) == (
            "starting",
            ["starting"],
        )
        nursery.cancel_scope.cancel()


def test_a_snapshot_outside_an_actor_needs_a_root() -> None:
    with pytest.raises(
        RuntimeError, match=r"outside an actor needs the root of a tree: snapshot\(ref\)"
    ):
        snapshot()


# -- the current message and line


def line(text: str) -> str:
    """Return the position of a line of this file, as `file:line`."""
    with open(__file__, encoding="utf-8") as source:
        lines = [number for number, read in enumerate(source, 1) if read.strip() == text]
    return f"{__file__}:{lines[0]}"


class Worker(Server):
    async def work(self, what: str) -> None:
        await trio.sleep(100)

    async def quick(self) -> None: ...


async def test_a_snapshot_shows_the_current_message_duration_and_line(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    worker = await start(nursery, Worker)
    await trio.sleep(1)
    for what in ("first", "second", "third"):
        nursery.start_soon(worker.call, Worker.work, what)
        await wait_all_tasks_blocked()
    await trio.sleep(2)

    seen = snapshot(worker)

    assert (seen.age, seen.message, seen.message_age) == (3.0, "work(str[5])", 2.0)
    assert seen.line == line("await trio.sleep(100)")
    assert (seen.waiting, seen.peak, seen.callers) == (2, 2, 3)
    assert str(seen) == (
        f"Worker (Worker), 2 waiting (at most 2), 3 callers, "
        f"handling work(str[5]) for 2 s at {seen.line}"
    )
    nursery.cancel_scope.cancel()


async def test_callers_include_deferred_replies_and_blocked_senders(
    nursery: trio.Nursery,
) -> None:
    class Later(Worker):
        mailbox: ClassVar[MailboxPolicy] = MailboxPolicy(1)

        async def later(self) -> int:
            replies.append(self.reply_later())
            return NO_REPLY

    replies: list[Reply[int]] = []
    worker = await start(nursery, Later)
    nursery.start_soon(worker.call, Later.later)
    await wait_all_tasks_blocked()
    for _ in range(4):
        nursery.start_soon(worker.call, Worker.work, "long")
        await wait_all_tasks_blocked()

    assert snapshot(worker).callers == 5
    nursery.cancel_scope.cancel()


async def test_a_snapshot_counts_the_restarts_in_the_window(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("a", intensity=3, period=5))
    for _ in range(2):
        await leave("a")
        await trio.sleep(2)

    assert snapshot(top).recent_restarts == 2
    assert str(snapshot(top)).startswith("supervisor, 2 recent restarts")
    await trio.sleep(2)
    assert snapshot(top).recent_restarts == 1
    await trio.sleep(2)
    assert snapshot(top).recent_restarts == 0
    await stop(top)


async def test_a_snapshot_ignores_a_servers_field_named_restarts(nursery: trio.Nursery) -> None:
    class Counter(Server):
        def __init__(self) -> None:
            self.restarts = 3

    counter = await start(nursery, Counter)

    assert snapshot(counter).recent_restarts == 0
    await stop(counter)


async def test_a_snapshot_shows_a_suspended_server(nursery: trio.Nursery) -> None:
    worker = await start(nursery, Worker)
    await debug.suspend(worker)

    assert snapshot(worker).suspended
    assert str(snapshot(worker)).startswith("Worker (Worker), suspended")
    await debug.resume(worker)
    assert not snapshot(worker).suspended
    await stop(worker)


async def test_a_snapshot_shows_the_line_of_a_running_init(stage: Stage) -> None:
    async def init() -> None:
        await trio.sleep(200)

    async with trio.open_nursery() as nursery:
        name = Name("top", Supervisor)
        child = stage.child("a", init=init)
        nursery.start_soon(partial(supervise, nursery, SupervisorSpec([child]), name=name))
        await wait_all_tasks_blocked()

        [seen] = snapshot(name.whereis()).children

        assert (seen.phase, seen.line) == ("starting", line("await trio.sleep(200)"))
        assert str(seen).endswith(f", starting, at {seen.line}")
        nursery.cancel_scope.cancel()


async def test_a_snapshot_shows_the_reason_and_line_of_a_dying_actor(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def cleanup() -> None:
        await trio.sleep(2.5)

    top = await supervise(nursery, SupervisorSpec([stage.child("a", cleanup=cleanup)]))
    top.stop()
    await trio.sleep(1)

    [seen] = snapshot(top).children

    assert (seen.phase, seen.reason) == ("dying", "shutdown")
    assert seen.line == line("await trio.sleep(2.5)")
    assert ", dying, reason: shutdown, at " in str(seen)


async def test_a_snapshot_from_another_thread_has_no_ages(
    nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    name = Name("worker", Worker)
    top = await supervise(nursery, SupervisorSpec([Child(Worker, name=name)]))
    name.process().kill()
    await wait_all_tasks_blocked()
    await name.cast(Worker.work, "long")
    await wait_all_tasks_blocked()
    mock_clock.jump(9)

    seen = await trio.to_thread.run_sync(snapshot, top)

    [child] = seen.children
    assert math.isnan(seen.age)
    assert math.isnan(child.message_age)
    # Without a clock, the snapshot counts the restarts of the last decision.
    assert (seen.recent_restarts, snapshot(top).recent_restarts) == (1, 0)
    assert (child.incarnation, child.line) == (2, line("await trio.sleep(100)"))
    assert f", handling work(str[4]) at {child.line}" in str(child)
    nursery.cancel_scope.cancel()


# -- text


def test_a_printed_snapshot_shows_at_most_20_children() -> None:
    def tree(children: int) -> Snapshot:
        leaves = tuple(Snapshot(f"/top/{n}", "", "undefined", 1) for n in range(children))
        return Snapshot("/top", "Supervisor", "running", 1, 0, leaves)

    assert len(str(tree(20)).splitlines()) == 21
    assert str(tree(20)).splitlines()[-1] == "└─ 19, undefined"
    lines = str(tree(10_000)).splitlines()
    assert len(lines) == 22
    assert lines[-2:] == ["├─ 19, undefined", "└─ … and 9,980 more"]


def test_a_snapshot_is_printed_as_a_tree() -> None:
    def leaf(path: str, phase: str = "running", incarnation: int = 1) -> Snapshot:
        return Snapshot(path, "Player" if phase == "running" else "", phase, incarnation)

    sub = Snapshot("/top/sub", "Supervisor", "running", 1, 0, (leaf("/top/sub/b"),))
    tree = Snapshot(
        "/top",
        "Supervisor",
        "running",
        1,
        0,
        (leaf("/top/a", incarnation=3), sub, leaf("/top/c", "restarting", 2)),
    )

    assert str(tree).splitlines() == [
        "top",
        "├─ a (Player), restarted 2 x",
        "├─ sub",
        "│  └─ b (Player)",
        "└─ c, restarting, restarted 1 x",
    ]


def test_a_snapshot_refuses_a_spec() -> None:
    spec: Any = SupervisorSpec()

    with pytest.raises(
        TypeError, match=r"^root must be the Ref of a running actor, got SupervisorSpec$"
    ):
        snapshot(spec)


def test_a_snapshot_may_have_5000_levels() -> None:
    deepest = tree = Snapshot("/top", "Supervisor", "running", 1)
    for _ in range(5000):
        tree = attrs.evolve(deepest, children=(tree,))

    assert str(tree).count("\n") == 5000
    assert "children=<1>" in repr(tree)
    assert len(repr(tree)) == len(repr(deepest))
