"""Back-off: a restart that waits, and what its supervisor does meanwhile."""

import pytest
import trio
from trio.testing import MockClock

from okibi.actors import SHUTDOWN, stop
from okibi.supervisors import (
    Backoff,
    Child,
    ChildState,
    Strategy,
    Supervisor,
    SupervisorSpec,
    supervise,
)
from tests.support.child_stage import Stage, alive, leave

BACKOFF = Backoff(1.0, 4.0)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_without_back_off_a_restart_does_not_wait(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.refused = {"a2", "a3"}
    top = await supervise(nursery, stage.tree("a"))

    await leave("a")

    assert alive("a") is not None
    assert trio.current_time() == 0.0
    await stop(top)


async def test_each_restart_waits_longer_up_to_the_maximum(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    begun: list[float] = []

    async def init() -> None:
        begun.append(trio.current_time())

    stage.refused = {"a2", "a3", "a4"}
    flags = SupervisorSpec([stage.child("a", init=init)], intensity=10, backoff=BACKOFF)
    top = await supervise(nursery, flags)

    await leave("a")
    await trio.sleep(20)

    assert begun == pytest.approx([0, 1, 3, 7, 11])
    assert alive("a") is not None
    await stop(top)


async def test_a_child_that_has_run_for_a_period_begins_anew(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("a", backoff=BACKOFF))
    for _ in range(3):
        await leave("a")
        await trio.sleep(0.999)
        assert alive("a") is None
        await trio.sleep(5.1)
        assert alive("a") is not None
    await stop(top)


async def test_who_takes_longer_than_a_period_to_fail_to_start_has_not_run(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    begun: list[float] = []

    async def init() -> None:
        begun.append(trio.current_time())
        if len(begun) > 1:
            await trio.sleep(6)
            if len(begun) < 5:
                raise OSError("no database")

    flags = SupervisorSpec([stage.child("a", init=init)], intensity=10, backoff=BACKOFF)
    top = await supervise(nursery, flags)

    await leave("a")
    await trio.sleep(60)

    # Each time 6 s, and before it 1, 2, 4 and 4.
    assert begun == pytest.approx([0, 1, 9, 19, 29])
    assert alive("a") is not None
    await stop(top)


async def test_what_a_start_takes_is_no_part_of_the_run(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    begun: list[float] = []

    async def init() -> None:
        begun.append(trio.current_time())
        await trio.sleep(6 if len(begun) > 1 else 0)

    flags = SupervisorSpec([stage.child("a", init=init)], intensity=10, backoff=BACKOFF)
    top = await supervise(nursery, flags)

    await leave("a")
    await trio.sleep(8)
    await leave("a")
    await trio.sleep(9)
    await leave("a")
    await trio.sleep(20)

    # It ran for a second each time, and each wait is twice the one before.
    assert begun == pytest.approx([0, 1, 10, 21])
    await stop(top)


@pytest.mark.parametrize(
    ("strategy", "at_once", "later"),
    [
        (Strategy.ONE_FOR_ONE, "term b crashed", "start b"),
        (Strategy.REST_FOR_ONE, "term b crashed; term c shutdown", "start b; start c"),
        (
            Strategy.ONE_FOR_ALL,
            "term b crashed; term c shutdown; term a shutdown",
            "start a; start b; start c",
        ),
    ],
)
async def test_siblings_are_stopped_at_once_and_started_after_the_wait(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    strategy: Strategy,
    at_once: str,
    later: str,
) -> None:
    top = await supervise(nursery, stage.tree("abc", strategy, backoff=BACKOFF))
    stage.said()

    await leave("b")

    assert stage.said() == at_once
    await trio.sleep(0.999)
    assert stage.said() == ""
    await trio.sleep(0.002)
    assert stage.said() == later
    await stop(top)


async def test_waits_are_each_childs_own(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("ab", intensity=10, backoff=BACKOFF))
    await leave("a")
    await trio.sleep(1.5)
    await leave("a")

    await leave("b")
    await trio.sleep(1.1)

    assert (alive("a"), alive("b") is not None) == (None, True)
    await trio.sleep(1)
    assert alive("a") is not None
    await stop(top)


async def test_while_a_restart_waits_its_supervisor_answers(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("ab", backoff=Backoff(100, 100)))
    await leave("a")

    state = (await top.call(Supervisor.which_child, "a")).state

    assert state is ChildState.RESTARTING
    assert await top.call(Supervisor.start_child, stage.child("c")) == alive("c")
    assert trio.current_time() < 1
    await stop(top)


async def test_a_stop_does_not_wait_for_a_restart_that_does(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("ab", backoff=Backoff(100, 100)))
    await leave("a")

    assert await stop(top) is SHUTDOWN

    assert trio.current_time() < 1
    assert stage.starts == {"a": 1, "b": 1}


async def test_a_wait_that_was_called_off_starts_nobody_later(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("a", backoff=BACKOFF))
    await leave("a")
    await top.call(Supervisor.terminate_child, "a")
    await top.call(Supervisor.restart_child, "a")

    await leave("a")
    await trio.sleep(1.5)

    # The first wait's message has come meanwhile, and was passed over.
    assert alive("a") is None
    await trio.sleep(1)
    assert stage.starts == {"a": 3}
    await stop(top)


async def test_a_wait_behind_a_siblings_restart_is_called_off_by_it(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """rest_for_one: b must not be back before a, which it was started after."""
    tree = stage.tree("abc", Strategy.REST_FOR_ONE, backoff=Backoff(2, 2))
    top = await supervise(nursery, tree)
    await leave("b")
    await trio.sleep(1)
    stage.said()

    await leave("a")
    await trio.sleep(1.5)

    assert stage.said() == "term a crashed"
    await trio.sleep(1)
    assert stage.said() == "start a; start b; start c"
    await stop(top)


async def test_what_waits_is_counted_when_it_ended(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """The intensity bounds restarts in a period; with waits that grow it bounds bursts only."""
    flags = stage.tree("ab", intensity=1, backoff=Backoff(3, 3))
    sub = Child(flags, id="sub")
    top = await supervise(nursery, SupervisorSpec([sub]))
    for _ in range(4):
        await leave("a")
        await trio.sleep(8)

    assert stage.starts == {"a": 5, "b": 1}
    await leave("a")
    await leave("b")
    assert stage.starts["b"] == 2
    await stop(top)
