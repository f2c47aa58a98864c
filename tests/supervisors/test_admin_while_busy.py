"""Requests to a busy supervisor: during the `init` of a child, or while a child stops."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    Actor,
    ActorExited,
    CallCycle,
    ExitReason,
    Name,
    Server,
    WhenStopped,
    debug,
    stop,
)
from okibi.actors.names import name_table
from okibi.supervisors import (
    INFINITY,
    Child,
    ChildFailed,
    Counts,
    Restart,
    Strategy,
    Supervisor,
    SupervisorSpec,
    supervise,
)
from tests.limits import HANG
from tests.support.child_stage import BOOM, Player, Stage, counted, player

TOP = Name("top", Supervisor)


@pytest.fixture
def stage() -> Stage:
    return Stage()


# -- while a child runs `init`


async def test_other_requests_wait_during_the_init_of_a_child(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def slow() -> None:
        await trio.sleep(3)

    top = await supervise(nursery, stage.tree("a"))
    nursery.start_soon(top.call, Supervisor.start_child, stage.child("b", init=slow))
    await wait_all_tasks_blocked()

    assert await counted(top) == [2, 2, 0, 2]

    assert trio.current_time() == pytest.approx(3)
    await stop(top)


async def test_start_timeout_limits_the_init_of_a_requested_child(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("a"), path="/top")
    child = stage.child("b", init=trio.sleep_forever, start_timeout=3)

    with pytest.raises(ChildFailed, match=r"/top/b did not start: .* init took longer than 3"):
        await top.call(Supervisor.start_child, child)

    assert await counted(top) == [1, 1, 0, 1]
    await stop(top)


@pytest.mark.parametrize("how", ["stop", "kill", "cancel"])
async def test_a_stop_does_not_wait_for_the_init_of_a_requested_child(
    stage: Stage, autojump_clock: MockClock, how: str
) -> None:
    async def ask() -> None:
        with pytest.raises(ActorExited, match="start_child"):
            await top.call(Supervisor.start_child, stage.child("b", init=trio.sleep_forever))
        refused.set()

    refused = trio.Event()
    async with trio.open_nursery() as outer:
        async with trio.open_nursery() as nursery:
            top = await supervise(nursery, stage.tree("a"))
            outer.start_soon(ask)
            await wait_all_tasks_blocked()
            if how == "cancel":
                nursery.cancel_scope.cancel()
            else:
                getattr(top, how)()
        await refused.wait()

    assert stage.said() == ("start a" if how == "kill" else "start a; term a shutdown")
    assert name_table() == {}
    assert trio.current_time() < 1


async def test_a_request_to_an_ended_supervisor_raises_actor_exited(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("a"))
    await stop(top)

    with pytest.raises(ActorExited):
        await top.call(Supervisor.which_children)


async def test_calling_the_supervisor_from_init_raises_call_cycle(
    stage: Stage, nursery: trio.Nursery
) -> None:
    async def ask() -> None:
        await TOP.call(Supervisor.count_children)

    top = await supervise(nursery, SupervisorSpec(), name=TOP)

    with pytest.raises(ChildFailed) as failed:
        await top.call(Supervisor.start_child, stage.child("a", init=ask, start_timeout=INFINITY))

    assert isinstance(failed.value.reason.error, CallCycle)
    assert failed.value.reason.error.paths == ("/supervisor/a", "/supervisor", "/supervisor/a")
    top.stop()


async def test_a_child_may_call_its_supervisor_after_init(
    nursery: trio.Nursery,
) -> None:
    counted: list[Counts] = []

    class Eager(Actor):
        async def run(self) -> None:
            counted.append(await TOP.call(Supervisor.count_children))

    tree = SupervisorSpec([Child(Eager, restart=Restart.TRANSIENT)])
    top = await supervise(nursery, tree, name=TOP)
    await wait_all_tasks_blocked()

    assert counted == [Counts(1, 1, 0, 1)]
    top.stop()


# -- children that drain and call their supervisor, which waits for their end


class Drains(Server):
    when_stopped = WhenStopped.DRAIN

    async def terminate_me(self) -> str:
        try:
            await TOP.call(Supervisor.terminate_child, "drains")
        except CallCycle as cycle:
            return str(cycle)
        return "answered"

    async def ask(self) -> Counts:
        return await TOP.call(Supervisor.count_children)

    async def terminate(self, reason: ExitReason) -> None:
        ENDED.append(reason.kind)


DRAINS = Name("drains", Drains)
ENDED: list[str] = []


@pytest.mark.parametrize("traced", [False, True])
async def test_a_child_that_terminates_itself_gets_call_cycle_and_ends(
    nursery: trio.Nursery, autojump_clock: MockClock, traced: bool
) -> None:
    ENDED.clear()
    tree = SupervisorSpec([Child(Drains, name=DRAINS, shutdown=60)])
    top = await supervise(nursery, tree, name=TOP, path="/top")
    if traced:
        await debug.trace(top)

    with trio.fail_after(HANG):
        assert await DRAINS.call(Drains.terminate_me) == (
            "/top/drains calls /top calls /top/drains: terminate_child() would never return"
        )
        assert await counted(top) == [1, 0, 0, 1]
    assert ENDED == ["shutdown"]
    await stop(top)


async def test_a_child_with_a_waiting_call_is_terminated_by_one_for_all(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    ENDED.clear()
    tree = SupervisorSpec([Child(Drains, name=DRAINS), stage.child("a")], Strategy.ONE_FOR_ALL)
    top = await supervise(nursery, tree, name=TOP, path="/top")
    nursery.start_soon(top.call, Supervisor.start_child, Child(Slow, restart=Restart.TEMPORARY))
    await wait_all_tasks_blocked()
    player("a").cast_nowait(Player.leave, BOOM)
    await wait_all_tasks_blocked()

    with pytest.raises(ActorExited, match="/top/drains calls /top calls /top/drains: count_child"):
        await DRAINS.call(Drains.ask)

    assert (ENDED, trio.current_time()) == (["crashed"], 1)
    await wait_all_tasks_blocked()
    assert await DRAINS.call(Drains.ask) == Counts(2, 2, 0, 2)
    await stop(top)


class Slow(Server):
    async def init(self) -> None:
        await trio.sleep(1)
