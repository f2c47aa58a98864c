"""The supervisor: starts in order, restarts as decided, gives up in the open."""

import logging
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    SHUTDOWN,
    AlreadyRegistered,
    Name,
    StartError,
    stop,
)
from okibi.actors.names import names
from okibi.actors.start import spawn
from okibi.supervisors import (
    Child,
    Strategy,
    Supervisor,
    SupervisorGaveUp,
    SupervisorSpec,
    supervise,
)
from tests.support.child_stage import BOOM, Boom, Player, Stage, alive, leave, player, when_dead

ONE, ALL, REST = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def gives_up(nursery_body: Any) -> SupervisorGaveUp:
    """Run it in a nursery of its own and give what came out of it."""
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery_body(nursery)
    [error] = caught.value.exceptions
    assert isinstance(error, SupervisorGaveUp)
    return error


# -- the first start


async def test_a_child_that_fails_at_the_first_start_is_fatal(
    stage: Stage, nursery: trio.Nursery
) -> None:
    stage.refused = {"c1"}

    with pytest.raises(StartError) as failed:
        await supervise(nursery, stage.tree("abcd"), path="/top")

    assert stage.said() == "start a; start b; fail c; term b shutdown; term a shutdown"
    assert "/top did not start: crashed (StartError: /top/c did not start" in str(failed.value)
    cause = failed.value.__cause__
    assert isinstance(cause, StartError)
    assert isinstance(cause.__cause__, Boom)
    assert names() == {}


async def test_a_start_that_takes_too_long_is_a_failed_one(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    child = stage.child("a", init=trio.sleep_forever, start_timeout=3)

    with pytest.raises(StartError, match="init took longer than 3 s"):
        await supervise(nursery, SupervisorSpec([child]))


async def test_a_supervisor_may_have_no_children(nursery: trio.Nursery) -> None:
    assert await stop(await supervise(nursery, SupervisorSpec())) is SHUTDOWN


async def test_the_tree_can_be_started_again_from_the_same_spec(
    stage: Stage, nursery: trio.Nursery
) -> None:
    tree = stage.tree("ab")
    for _ in range(2):
        await stop(await supervise(nursery, tree))

    assert stage.said() == "; ".join(["start a; start b; term b shutdown; term a shutdown"] * 2)


# -- restarts


async def test_a_restart_is_fresh_and_the_next_incarnation(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("a"), path="/top")

    await leave("a")

    ref = alive("a")
    assert ref is not None
    assert (ref.path, ref.incarnation) == ("/top/a", 2)
    await stop(top)


async def test_two_children_that_crash_at_once_both_restart(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("abc"))
    stage.said()

    for name in "ac":
        player(name).cast_nowait(Player.leave, BOOM)
    await wait_all_tasks_blocked()

    assert sorted(stage.log) == ["start a", "start c", "term a crashed", "term c crashed"]
    supervisor = top.process().actor
    assert isinstance(supervisor, Supervisor)
    assert len(supervisor.restarts) == 2
    await stop(top)


async def test_two_that_crash_at_once_under_one_for_all_are_one_restart(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("abc", ALL, intensity=1))

    for name in "ac":
        player(name).cast_nowait(Player.leave, BOOM)
    await wait_all_tasks_blocked()

    assert stage.starts == {"a": 2, "b": 2, "c": 2}
    await stop(top)


async def test_a_restart_that_fails_is_logged_and_tried_again(
    stage: Stage, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    stage.refused = {"a2", "a3"}
    top = await supervise(nursery, stage.tree("a"), path="/top")
    stage.said()

    await leave("a")

    assert stage.said() == "term a crashed; fail a; fail a; start a"
    said = [r.getMessage() for r in caplog.records if r.name == "okibi.supervisors"]
    assert said == ["/top/a did not start: crashed (Boom: a)"] * 2
    await stop(top)


async def test_a_name_that_a_stranger_has_taken_is_a_failed_restart(
    stage: Stage, nursery: trio.Nursery
) -> None:
    def steal() -> None:
        quick = (trio.lowlevel.checkpoint, trio.lowlevel.checkpoint)
        spawn(nursery, lambda: Player(stage, "x", *quick), name=player("a"), path="/stranger")

    async def body(inner: trio.Nursery) -> None:
        await supervise(inner, stage.tree("a", intensity=2))
        when_dead("a", steal)
        player("a").cast_nowait(Player.leave, BOOM)

    error = await gives_up(body)

    assert isinstance(error.__cause__, AlreadyRegistered)
    stranger = alive("a")
    assert stranger is not None
    assert stranger.path == "/stranger"
    await stop(stranger)


# -- intensity


async def test_intensity_0_gives_up_at_the_first_crash(stage: Stage) -> None:
    async def body(nursery: trio.Nursery) -> None:
        await supervise(nursery, stage.tree("ab", intensity=0), path="/top")
        stage.said()
        player("a").cast_nowait(Player.leave, BOOM)

    error = await gives_up(body)

    assert stage.said() == "term a crashed; term b shutdown"
    assert str(error) == (
        "/top gave up after more than 0 restarts within 5 s: a ended (crashed (Boom: boom))"
    )
    assert isinstance(error.__cause__, Boom)


async def test_a_frozen_clock_that_jumps_does_not_use_up_the_intensity(
    stage: Stage, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("a", intensity=1))

    for _ in range(5):
        await leave("a")
        mock_clock.jump(3600)

    assert stage.starts == {"a": 6}
    await stop(top)


# -- escalation


async def test_budgets_multiply_two_floors_up(stage: Stage) -> None:
    """One restart a floor: it takes (1+1) * (1+1) crashes to bring the top down (OTP: E3)."""
    crashes = 0

    async def body(nursery: trio.Nursery) -> None:
        nonlocal crashes
        sub = Child(stage.tree("a", intensity=1), id="sub")
        await supervise(nursery, SupervisorSpec([sub], intensity=1))
        while True:
            await leave("a")
            crashes += 1

    error = await gives_up(body)

    assert stage.starts == {"a": 4}
    assert crashes == 3
    # The sentence names the first of it, however deep, and not each floor's in the other's.
    assert str(error) == (
        "/supervisor gave up after more than 1 restarts within 5 s: "
        "sub gave up because /supervisor/sub/a ended (crashed (Boom: boom))"
    )
    assert isinstance(error.__cause__, SupervisorGaveUp)
    assert isinstance(error.__cause__.__cause__, Boom)


# -- what else a supervisor is


async def test_a_supervisor_can_be_named(nursery: trio.Nursery) -> None:
    name = Name("top", Supervisor)
    top = await supervise(nursery, SupervisorSpec(), name=name)

    assert name.whereis() == top
    await stop(top)


async def test_a_stray_message_does_not_harm_a_supervisor(
    stage: Stage, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    top = await supervise(nursery, stage.tree("a"))
    await top.send("hello")
    await wait_all_tasks_blocked()

    assert caplog.records[-1].levelno == logging.WARNING
    await leave("a")
    assert alive("a") is not None
    await stop(top)


async def test_a_child_that_is_no_actor_fails_the_start(nursery: trio.Nursery) -> None:
    with pytest.raises(StartError, match="the factory made int, which is no Actor"):
        await supervise(nursery, SupervisorSpec([Child(lambda: 3)]))
