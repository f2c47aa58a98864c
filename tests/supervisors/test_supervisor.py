"""Supervisor: start, restarts, intensity and giving up."""

import logging
import re
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
from okibi.actors.names import name_table
from okibi.actors.start import spawn
from okibi.supervisors import (
    Child,
    Supervisor,
    SupervisorGaveUp,
    SupervisorSpec,
    supervise,
)
from tests.support.child_stage import BOOM, Boom, Player, Stage, alive, leave, player, when_dead


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def run_until_it_gives_up(body: Any) -> SupervisorGaveUp:
    """Run the body in a nursery, and return the SupervisorGaveUp that the nursery raises."""
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await body(nursery)
    [error] = caught.value.exceptions
    assert isinstance(error, SupervisorGaveUp)
    return error


# -- the first start


async def test_a_child_that_fails_in_the_first_start_is_fatal(
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
    assert name_table() == {}


async def test_a_start_that_takes_too_long_fails(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    child = stage.child("a", init=trio.sleep_forever, start_timeout=3)

    with pytest.raises(StartError, match="init took longer than 3 s"):
        await supervise(nursery, SupervisorSpec([child]))


async def test_an_init_that_takes_too_long_is_shown_with_line_and_name(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def init() -> None:
        await player("absent").wait()

    child = stage.child("a", init=init, start_timeout=3)

    with pytest.raises(StartError) as late:
        await supervise(nursery, SupervisorSpec([child]))
    where = rf"test_supervisor\.py:{init.__code__.co_firstlineno + 1}"
    wait = "in the wait for the name 'absent'"
    assert re.search(rf"init took longer than 3 s: it was at .*{where}, {wait}", str(late.value))


async def test_a_supervisor_may_have_no_children(nursery: trio.Nursery) -> None:
    assert await stop(await supervise(nursery, SupervisorSpec())) is SHUTDOWN


async def test_a_spec_can_be_started_twice(stage: Stage, nursery: trio.Nursery) -> None:
    tree = stage.tree("ab")
    for _ in range(2):
        await stop(await supervise(nursery, tree))

    assert stage.said() == "; ".join(["start a; start b; term b shutdown; term a shutdown"] * 2)


# -- restarts


async def test_a_failed_restart_is_logged_and_tried_again(
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


async def test_a_restart_fails_if_another_actor_has_taken_the_name(
    stage: Stage, nursery: trio.Nursery
) -> None:
    def take_name() -> None:
        quick = (trio.lowlevel.checkpoint, trio.lowlevel.checkpoint)
        spawn(nursery, lambda: Player(stage, "x", *quick), name=player("a"), path="/other")

    async def body(inner: trio.Nursery) -> None:
        await supervise(inner, stage.tree("a", intensity=2))
        when_dead("a", take_name)
        player("a").cast_nowait(Player.leave, BOOM)

    error = await run_until_it_gives_up(body)

    assert isinstance(error.__cause__, AlreadyRegistered)
    other = alive("a")
    assert other is not None
    assert other.path == "/other"
    await stop(other)


# -- intensity


async def test_intensity_0_gives_up_at_the_first_crash(stage: Stage) -> None:
    async def body(nursery: trio.Nursery) -> None:
        await supervise(nursery, stage.tree("ab", intensity=0), path="/top")
        stage.said()
        player("a").cast_nowait(Player.leave, BOOM)

    error = await run_until_it_gives_up(body)

    assert stage.said() == "term a crashed; term b shutdown"
    assert str(error) == (
        "/top gave up after more than 0 restarts within 5 s: a ended (crashed (Boom: boom))"
    )
    assert isinstance(error.__cause__, Boom)


async def test_a_crash_report_of_a_supervisor_does_not_repeat_its_spec(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(nursery: trio.Nursery) -> None:
        await supervise(nursery, stage.tree("ab", intensity=0), path="/top")
        player("a").cast_nowait(Player.leave, BOOM)

    await run_until_it_gives_up(body)

    assert "/top (incarnation 1) ended" in caplog.text
    assert "SupervisorSpec" not in caplog.text


async def test_a_jump_of_the_clock_does_not_use_up_the_intensity(
    stage: Stage, nursery: trio.Nursery, mock_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("a", intensity=1))

    for _ in range(5):
        await leave("a")
        mock_clock.jump(3600)

    assert stage.starts == {"a": 6}
    await stop(top)


# -- escalation


async def test_intensities_of_two_levels_multiply(stage: Stage) -> None:
    """With one restart at each level, the top gives up at crash (1 + 1) * (1 + 1) (OTP: E3)."""
    crashes = 0

    async def body(nursery: trio.Nursery) -> None:
        nonlocal crashes
        sub = Child(stage.tree("a", intensity=1), id="sub")
        await supervise(nursery, SupervisorSpec([sub], intensity=1))
        while True:
            await leave("a")
            crashes += 1

    error = await run_until_it_gives_up(body)

    assert stage.starts == {"a": 4}
    assert crashes == 3
    # The message names the first child only, at any depth.
    assert str(error) == (
        "/supervisor gave up after more than 1 restart within 5 s: "
        "sub gave up because /supervisor/sub/a ended (crashed (Boom: boom))"
    )
    assert isinstance(error.__cause__, SupervisorGaveUp)
    assert isinstance(error.__cause__.__cause__, Boom)


# -- more about supervisors


async def test_a_supervisor_can_be_named(nursery: trio.Nursery) -> None:
    name = Name("top", Supervisor)
    top = await supervise(nursery, SupervisorSpec(), name=name)

    assert name.whereis() == top
    await stop(top)


async def test_an_unknown_message_is_logged_and_ignored(
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
    with pytest.raises(StartError, match="the factory must return an Actor, got int"):
        await supervise(nursery, SupervisorSpec([Child(lambda: 3)]))
