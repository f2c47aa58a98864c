"""Stopping a supervisor: order, grace periods and kills."""

import gc
from contextlib import nullcontext
from functools import partial

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    SHUTDOWN,
    ActorExited,
    CallCycle,
    ExitReason,
    Name,
    Server,
    start,
    stop,
)
from okibi.actors.names import name_table
from okibi.supervisors import (
    INFINITY,
    Child,
    Strategy,
    Supervisor,
    SupervisorGaveUp,
    SupervisorSpec,
    supervise,
)
from tests.garbage import no_collector
from tests.support.child_stage import Boom, Stage, leave, player

TOP = Name("top", Supervisor)
THREE = partial(trio.sleep, 3)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def stopped_in(tree: SupervisorSpec, nursery: trio.Nursery) -> float:
    """Start and stop a tree. Return the duration of the stop."""
    top = await supervise(nursery, tree)
    began = trio.current_time()
    await stop(top)
    return trio.current_time() - began


# -- order and grace


async def test_a_longer_grace_from_outside_does_not_extend_shutdown(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, SupervisorSpec([stage.child("a", cleanup=trio.sleep_forever)]))
    player("a").process().stop(grace=3600)
    await trio.sleep(1)

    with trio.fail_after(5.1):
        await stop(top)


# -- a stop during a start or a restart


async def test_a_stop_during_a_one_for_all_restart_starts_no_more_children(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """OTP finishes the restart first, then stops all children."""

    async def init() -> None:
        if stage.starts["b"] > 1:
            await trio.sleep(3)

    children = [stage.child("a"), stage.child("b", init=init), stage.child("c")]
    top = await supervise(nursery, SupervisorSpec(children, Strategy.ONE_FOR_ALL))
    stage.said()
    await leave("a")
    assert stage.said() == "term a crashed; term c shutdown; term b shutdown; start a"

    assert await stop(top) is SHUTDOWN

    assert stage.said() == "term a shutdown"
    assert trio.current_time() == 0


async def test_a_stop_in_the_step_of_a_failed_restart_is_no_crash(
    stage: Stage, nursery: trio.Nursery
) -> None:
    async def init() -> None:
        if stage.starts["a"] == 2:
            await go.wait()
            top.stop()
            raise ValueError("boom")

    go = trio.Event()
    top = await supervise(nursery, SupervisorSpec([stage.child("a", init=init)]))
    await leave("a")
    go.set()

    assert await top.wait() is SHUTDOWN


async def test_a_restarting_child_is_stopped_in_order(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def init() -> None:
        if stage.starts["a"] > 1:
            try:
                await trio.sleep_forever()
            finally:
                stage.log.append("cut a")

    tree = SupervisorSpec([stage.child("a", init=init), stage.child("b", cleanup=THREE)])
    top = await supervise(nursery, tree)
    await leave("a")
    stage.said()

    await stop(top)

    assert stage.said() == "term b shutdown; done b; cut a"


# -- kills, and sub-supervisors


async def test_a_supervisor_kills_the_rest_when_its_grace_period_is_over(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    slow = [stage.child(name, cleanup=THREE, shutdown=INFINITY) for name in "abc"]
    tree = SupervisorSpec([Child(SupervisorSpec(slow), id="sub", shutdown=4)])

    assert await stopped_in(tree, nursery) == pytest.approx(4)
    assert stage.said().endswith("term c shutdown; done c; term b shutdown")
    assert name_table() == {}


async def test_grace_begins_with_the_stop_request_while_giving_up(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    hanging = stage.child("a", cleanup=trio.sleep_forever, shutdown=INFINITY)
    sub = SupervisorSpec([hanging, stage.child("b")], intensity=0)
    top = await supervise(nursery, SupervisorSpec([Child(sub, id="sub", shutdown=2)]))
    await leave("b")
    await trio.sleep(100)
    began = trio.current_time()

    await stop(top)

    assert trio.current_time() - began == pytest.approx(2)
    assert name_table() == {}


# -- requests to a supervisor that ends


@attrs.define(eq=False)
class Inquirer(Server):
    """Calls its supervisor in `terminate` and records the error."""

    errors: list[str]

    async def terminate(self, reason: ExitReason) -> None:
        try:
            await TOP.call(Supervisor.count_children)
        except (ActorExited, CallCycle) as error:
            self.errors.append(type(error).__name__)


@pytest.mark.parametrize("end", ["gives up", "is cancelled", "is stopped", "stops it"])
async def test_calling_an_ending_supervisor_from_terminate_fails_at_once(
    stage: Stage, autojump_clock: MockClock, end: str
) -> None:
    errors: list[str] = []
    asker = Child(partial(Inquirer, errors), id="asker", shutdown=INFINITY)
    tree = SupervisorSpec([asker, stage.child("a")], intensity=0)
    gives_up = pytest.RaisesGroup(SupervisorGaveUp) if end == "gives up" else nullcontext()

    with gives_up:
        async with trio.open_nursery() as nursery:
            top = await supervise(nursery, tree, name=TOP)
            if end == "gives up":
                await leave("a")
            elif end == "is cancelled":
                nursery.cancel_scope.cancel()
            elif end == "stops it":
                await top.call(Supervisor.terminate_child, "asker")
            top.stop()

    assert errors == ["CallCycle" if end == "stops it" else "ActorExited"]
    assert trio.current_time() == 0


async def test_calling_a_supervisor_that_gives_up_fails_at_once(
    stage: Stage, autojump_clock: MockClock
) -> None:
    tree = SupervisorSpec([stage.child("a"), stage.child("b", cleanup=THREE)], intensity=0)

    with pytest.RaisesGroup(SupervisorGaveUp):
        async with trio.open_nursery() as nursery:
            top = await supervise(nursery, tree)
            await leave("a")
            with pytest.raises(ActorExited, match="is gone: crashed"):
                await top.call(Supervisor.count_children)
            assert (trio.current_time(), top.alive) == (0, False)


class Careless(Supervisor):
    async def stop_children(self) -> None:
        raise Boom("in stop_children")


async def test_children_are_killed_if_an_overridden_stop_children_fails(stage: Stage) -> None:
    with pytest.RaisesGroup(Boom):
        async with trio.open_nursery() as nursery:
            top = await start(nursery, partial(Careless, stage.tree("ab")))
            top.stop()

    assert (stage.said(), name_table()) == ("start a; start b", {})


@pytest.mark.usefixtures(no_collector.__name__)
async def test_an_ended_supervisor_leaves_no_reference_cycles(
    nursery: trio.Nursery,
) -> None:
    tree = SupervisorSpec([Child(Server)])
    await stop(await supervise(nursery, tree))
    gc.collect()
    await stop(await supervise(nursery, tree))
    await wait_all_tasks_blocked()

    assert gc.collect() == 0


async def test_the_grace_of_a_supervisor_limits_many_short_stops(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    class Flushes(Server):
        async def terminate(self, reason: ExitReason) -> None:
            autojump_clock.jump(1)

    tree = SupervisorSpec([Child(Flushes, id=str(n)) for n in range(5)])
    top = await supervise(nursery, tree)
    began = trio.current_time()
    await stop(top, grace=1.5)

    assert trio.current_time() - began <= 3
