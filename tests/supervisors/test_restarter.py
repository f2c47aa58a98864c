"""The base class of supervisors that restart their children."""

import logging

import pytest
import trio
from trio.testing import MockClock

from okibi.actors import SHUTDOWN, stop
from okibi.supervisors import (
    INFINITY,
    Backoff,
    Child,
    Strategy,
    SupervisorSpec,
    supervise,
)
from okibi.supervisors.restarter import Restarter
from tests.support.child_stage import Boom, Player, Stage, leave, player
from tests.support.counting import counting


@pytest.mark.parametrize(("method", "count"), [("_handle_child_end", 2), ("_restart", 1)])
async def test_a_restarter_needs_both_handlers_of_ends(method: str, count: int) -> None:
    class Half(Restarter):
        """Overrides neither handler."""

    half = Half.__new__(Half)

    with pytest.raises(NotImplementedError, match=f"Half needs a `{method}`"):
        await getattr(half, method)(*[None] * count)


async def test_the_traceback_of_a_failed_attempt_to_start_is_logged_once(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(refused={"a2"})
    top = await supervise(nursery, stage.tree("a"), path="/top")

    await leave("a")

    # Without those of INFO, which other tests of the same process may have turned on.
    *_, report, logged = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert logged.getMessage() == "/top/a did not start: crashed (Boom: a)"
    assert logged.exc_info is None
    assert report.getMessage().startswith("/top/a (incarnation 2) ended: crashed (Boom: a)")
    assert report.exc_info is not None
    assert isinstance(report.exc_info[1], Boom)
    await stop(top)


async def test_crashes_restarts_and_the_end_of_a_supervisor_are_counted(
    nursery: trio.Nursery,
) -> None:
    stage = Stage()
    with counting() as counts:
        tree = stage.tree("ab", Strategy.ONE_FOR_ALL, intensity=2)
        below = SupervisorSpec([Child(tree, id="below")])
        top = await supervise(nursery, below, path="/top")
        await leave("a")
        await leave("b", SHUTDOWN)
        await leave("a")
        await stop(top)

    assert counts == {
        ("Crashes", "/top/below/a"): 2,
        ("Crashes", "/top/below"): 1,
        ("Restarts", "/top/below/a"): 2,
        ("Restarts", "/top/below/b"): 2,
        ("Restarts", "/top/below"): 1,
        ("GiveUps", "/top/below"): 1,
    }


async def test_each_pause_after_restarts_that_have_not_helped_is_counted(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    backoff = Backoff(1.0, 4.0, immediate=1)
    with counting() as counts:
        tree = Stage().tree("a", intensity=INFINITY, backoff=backoff)
        top = await supervise(nursery, tree, path="/top")
        for _ in range(4):
            player("a").cast_nowait(Player.crash)
            await trio.sleep(4.5)
        await stop(top)

    # The second crash and the later ones have one line in the log.
    assert counts == {("Crashes", "/top/a"): 4, ("Restarts", "/top/a"): 4, ("GiveUps", "/top/a"): 3}


async def test_the_first_delay_of_a_back_off_is_no_pause_to_count(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    with counting() as counts:
        top = await supervise(nursery, Stage().tree("a", backoff=Backoff(1.0, 4.0)), path="/top")
        await leave("a")
        await trio.sleep(20)
        await stop(top)

    assert counts == {("Crashes", "/top/a"): 1, ("Restarts", "/top/a"): 1}
