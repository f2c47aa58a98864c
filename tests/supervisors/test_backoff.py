"""Back-off: delayed restarts, and the supervisor during the delay."""

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


async def test_restarts_do_not_wait_without_backoff(
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
    spec = SupervisorSpec([stage.child("a", init=init)], intensity=10, backoff=BACKOFF)
    top = await supervise(nursery, spec)

    await leave("a")
    await trio.sleep(20)

    assert begun == pytest.approx([0, 1, 3, 7, 11])
    assert alive("a") is not None
    await stop(top)


async def test_the_delay_resets_after_a_child_has_run_for_a_period(
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


async def test_a_slow_failed_start_is_no_running_time(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    begun: list[float] = []

    async def init() -> None:
        begun.append(trio.current_time())
        if len(begun) > 1:
            await trio.sleep(6)
            if len(begun) < 5:
                raise OSError("no database")

    spec = SupervisorSpec([stage.child("a", init=init)], intensity=10, backoff=BACKOFF)
    top = await supervise(nursery, spec)

    await leave("a")
    await trio.sleep(60)

    # Each start takes 6 s, after delays of 1, 2, 4 and 4 s.
    assert begun == pytest.approx([0, 1, 9, 19, 29])
    assert alive("a") is not None
    await stop(top)


async def test_a_slow_successful_start_is_no_running_time(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    begun: list[float] = []

    async def init() -> None:
        begun.append(trio.current_time())
        await trio.sleep(6 if len(begun) > 1 else 0)

    spec = SupervisorSpec([stage.child("a", init=init)], intensity=10, backoff=BACKOFF)
    top = await supervise(nursery, spec)

    await leave("a")
    await trio.sleep(8)
    await leave("a")
    await trio.sleep(9)
    await leave("a")
    await trio.sleep(20)

    # Each run takes 1 s, and each delay is twice the previous delay.
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
async def test_siblings_stop_at_once_and_start_after_the_delay(
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


async def test_each_child_has_its_own_delay(
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


async def test_a_supervisor_handles_requests_during_a_delay(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("ab", backoff=Backoff(100, 100)))
    await leave("a")

    state = (await top.call(Supervisor.which_child, "a")).state

    assert state is ChildState.RESTARTING
    assert await top.call(Supervisor.start_child, stage.child("c")) == alive("c")
    assert trio.current_time() < 1
    await stop(top)


async def test_a_stop_does_not_wait_for_a_delayed_restart(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("ab", backoff=Backoff(100, 100)))
    await leave("a")

    assert await stop(top) is SHUTDOWN

    assert trio.current_time() < 1
    assert stage.starts == {"a": 1, "b": 1}


async def test_a_delayed_restart_that_was_called_off_never_happens(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("a", backoff=BACKOFF))
    await leave("a")
    await top.call(Supervisor.terminate_child, "a")
    await top.call(Supervisor.restart_child, "a")

    await leave("a")
    await trio.sleep(1.5)

    # The message of the first delay has arrived and was ignored.
    assert alive("a") is None
    await trio.sleep(1)
    assert stage.starts == {"a": 3}
    await stop(top)


async def test_a_siblings_restart_includes_a_delayed_restart(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """rest_for_one: b must not start before a."""
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


async def test_a_delayed_restart_counts_from_the_end_of_the_child(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Restarts 8 s apart never exceed an intensity of 1 in 5 s, whatever their delay."""
    spec = stage.tree("ab", intensity=1, backoff=Backoff(3, 3))
    sub = Child(spec, id="sub")
    top = await supervise(nursery, SupervisorSpec([sub]))
    for _ in range(4):
        await leave("a")
        await trio.sleep(8)

    assert stage.starts == {"a": 5, "b": 1}
    await leave("a")
    await leave("b")
    assert stage.starts["b"] == 2
    await stop(top)
