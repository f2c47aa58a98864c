"""Children that are not needed after all (OTP: ignore)."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import stop
from okibi.supervisors import Restart, Strategy, Supervision, Supervisor, supervise
from tests.support.child_stage import BOOM, Player, Stage, alive, leave, player


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize("kind", Restart)
async def test_at_the_first_start_the_next_children_follow_and_the_spec_is_kept_unless_temporary(
    stage: Stage, nursery: trio.Nursery, kind: Restart
) -> None:
    stage.needless = {"a1"}
    tree = Supervision([stage.child("a", restart=kind), stage.child("b")])
    top = await supervise(nursery, tree)

    assert stage.said() == "ignore a; start b"
    kept = kind is not Restart.TEMPORARY
    assert [*await top.call(Supervisor.count_children)] == [1 + kept, 1, 0, 1 + kept]
    if kept:
        assert await top.call(Supervisor.restart_child, "a") == alive("a")
    await stop(top)


@pytest.mark.parametrize("kind", [Restart.PERMANENT, Restart.TRANSIENT])
async def test_at_a_restart_the_spec_is_kept_and_nothing_is_tried_again(
    stage: Stage, nursery: trio.Nursery, kind: Restart
) -> None:
    stage.needless = {"a2"}
    top = await supervise(nursery, Supervision([stage.child("a", restart=kind)]))

    await leave("a")

    assert stage.said() == "start a; term a crashed; ignore a"
    assert [*await top.call(Supervisor.count_children)] == [1, 0, 0, 1]
    await stop(top)


async def test_at_a_restart_of_several_the_others_follow(
    stage: Stage, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    stage.needless = {"b2"}
    caplog.set_level("INFO", "okibi.supervisors")
    top = await supervise(nursery, stage.tree("abc", Strategy.ONE_FOR_ALL), path="/top")
    stage.said()

    player("c").cast_nowait(Player.leave, BOOM)
    await wait_all_tasks_blocked()

    assert stage.said() == (
        "term c crashed; term b shutdown; term a shutdown; start a; ignore b; start c"
    )
    said = [r.getMessage() for r in caplog.records if r.name == "okibi.supervisors"]
    assert said == ["/top/a restarted", "/top/c restarted"]
    await stop(top)


async def test_an_ignored_child_is_started_again_with_its_siblings(
    stage: Stage, nursery: trio.Nursery
) -> None:
    stage.needless = {"a1"}
    top = await supervise(nursery, stage.tree("ab", Strategy.ONE_FOR_ALL))
    stage.said()

    await leave("b")

    assert stage.said() == "term b crashed; start a; start b"
    await stop(top)
