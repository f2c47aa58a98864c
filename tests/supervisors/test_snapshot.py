"""A tree as it stands now."""

from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors import NORMAL, Name, Server, start, stop
from supervisors import Child, Restart, Snapshot, Supervision, Supervisor, snapshot, supervise
from tests.supervisors.stage import Stage, leave, player


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_snapshot_shows_every_place_in_start_order(
    stage: Stage, nursery: trio.Nursery
) -> None:
    sub = Child(stage.tree("bc"), id="sub")
    top = await supervise(nursery, Supervision([stage.child("a"), sub]), path="/top")

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
        # The first is in the hands of whoever waited for it.
        player("a").send_nowait("hello")

    [child] = snapshot(top).children

    assert (child.incarnation, child.restarts, child.waiting) == (2, 1, 3)
    await stop(top)


async def test_a_place_where_nobody_lives_says_why(stage: Stage, nursery: trio.Nursery) -> None:
    class Looking(Server):
        async def init(self) -> None:
            seen.append(snapshot())

    seen: list[Snapshot] = []
    children = [
        stage.child("a", restart=Restart.TRANSIENT),
        stage.child("b", restart=Restart.TEMPORARY),
        Child(Looking, id="look"),
    ]
    top = await supervise(nursery, Supervision(children, intensity=0))
    await leave("a", NORMAL)
    await leave("b", NORMAL)

    shown = [(child.path, child.phase, child.actor) for child in snapshot(top).children]
    assert shown == [
        ("/supervisor/a", "undefined", ""),
        ("/supervisor/look", "running", "Looking"),
    ]
    assert [child.phase for child in seen[0].children] == ["running", "running", "starting"]
    await stop(top)


async def test_a_snapshot_from_inside_is_of_the_whole_tree(
    stage: Stage, nursery: trio.Nursery
) -> None:
    class Looker(Server):
        async def look(self) -> Snapshot:
            return snapshot()

    sub = Child(Supervision([Child(Looker)]), id="sub")
    top = await supervise(nursery, Supervision([sub, stage.child("a")]), path="/top")
    supervisor: Any = top.process().actor
    looker: Any = supervisor.places[0].process.actor.places[0].process.actor

    assert await looker.ref.call(Looker.look) == snapshot(top)
    await stop(top)


async def test_a_snapshot_does_not_wait_for_a_supervisor_that_is_busy(stage: Stage) -> None:
    async with trio.open_nursery() as nursery:
        name = Name("top", Supervisor)
        child = stage.child("a", init=trio.sleep_forever)
        nursery.start_soon(partial(supervise, nursery, Supervision([child]), name=name))
        await wait_all_tasks_blocked()

        shown = snapshot(name.whereis())

        assert (shown.phase, [child.phase for child in shown.children]) == (
            "starting",
            ["starting"],
        )
        nursery.cancel_scope.cancel()


async def test_a_snapshot_of_a_bare_actor_is_a_leaf(nursery: trio.Nursery) -> None:
    class Bare(Server): ...

    bare = await start(nursery, Bare, path="/bare")

    assert snapshot(bare) == Snapshot("/bare", "Bare", "running", 1)
    await stop(bare)
    assert snapshot(bare).phase == "dead"


def test_outside_an_actor_a_snapshot_needs_a_root() -> None:
    with pytest.raises(RuntimeError, match=r"outside an actor, say which tree: snapshot\(ref\)"):
        snapshot()


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
