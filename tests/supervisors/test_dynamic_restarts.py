"""DynamicSupervisor: max_children, the stop of all children, cancellation at every step.

A docstring names the matching case of OTP's supervisor_SUITE or of Elixir's test.
"""

from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    SHUTDOWN,
    ActorExited,
    Name,
    StartError,
    stop,
)
from okibi.actors.names import name_table
from okibi.supervisors import (
    INFINITY,
    Child,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    MaxChildren,
    Restart,
    SupervisorGaveUp,
    SupervisorSpec,
    stop_report,
    supervise,
)
from tests.conformance.cancellation import every_step
from tests.support.child_stage import BOOM, Player, Stage, player
from tests.support.dynamic_supervisor import Idle, run_pool, start_child

POOL = Name("pool", DynamicSupervisor)
THREE = partial(trio.sleep, 3)


@pytest.fixture
def stage() -> Stage:
    return Stage()


# -- max_children


async def test_start_child_is_refused_at_max_children() -> None:
    """with max_children"""
    async with run_pool(max_children=0) as pool:
        with pytest.raises(MaxChildren) as refused:
            await start_child(pool, Child(Idle))
        assert str(refused.value) == (
            "/pool: cannot start another child, max_children=0 is reached"
        )

    async with run_pool(max_children=1) as pool:
        first = await start_child(pool, Child(Idle))
        with pytest.raises(MaxChildren):
            await start_child(pool, Child(Idle))
        await pool.call(DynamicSupervisor.terminate_child, first)
        await start_child(pool, Child(Idle))


# -- the stop


async def test_all_children_stop_at_the_same_time(stage: Stage, autojump_clock: MockClock) -> None:
    """supervisor_SUITE 49: the stop takes as long as the slowest child"""
    slow = {"a": 3.0, "b": 1.0, "c": 2.0}
    async with run_pool() as pool:
        for name, seconds in slow.items():
            await start_child(pool, stage.child(name, cleanup=partial(trio.sleep, seconds)))
        stage.said()
        began = trio.current_time()
        await stop(pool)
        assert trio.current_time() - began == pytest.approx(3)

    assert sorted(stage.log[:3]) == [f"term {name} shutdown" for name in "abc"]
    assert stage.log[3:] == ["done b", "done c", "done a"]
    report = stop_report(pool)
    assert report is not None
    assert [stopped.path for stopped in report.children] == ["/pool/b-2", "/pool/c-3", "/pool/a-1"]
    assert [stopped.seconds for stopped in report.children] == pytest.approx([1, 2, 3])


async def test_children_are_killed_after_the_pools_grace(
    stage: Stage, autojump_clock: MockClock
) -> None:
    slow = {"a": 1.0, "b": 100.0, "c": 100.0}
    async with trio.open_nursery() as nursery:
        tree = SupervisorSpec([Child(DynamicSupervisorSpec(), name=POOL, shutdown=2)])
        top = await supervise(nursery, tree)
        for name, seconds in slow.items():
            cleanup = partial(trio.sleep, seconds)
            spec = stage.child(name, cleanup=cleanup, shutdown=INFINITY)
            await POOL.call(DynamicSupervisor.start_child, spec)
        began = trio.current_time()
        await stop(top)

    assert trio.current_time() - began == pytest.approx(2)
    assert name_table() == {}


async def test_stopping_many_children_does_not_block_the_loop() -> None:
    """supervisor_SUITE 88: other tasks run between the batches"""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += not all(
                ref.process().life.ending_reason is None for ref in (refs[0], refs[-1])
            )
            if refs[-1].process().life.ending_reason is not None:
                return

    async with trio.open_nursery() as nursery:
        pool = await supervise(nursery, DynamicSupervisorSpec())
        refs = [await start_child(pool, Child(Idle)) for _ in range(2000)]
        nursery.start_soon(turn)
        await stop(pool)

    assert turns > 2
    assert not any(ref.alive for ref in refs)


async def test_children_that_crash_during_the_stop_do_not_hang_it(
    stage: Stage, autojump_clock: MockClock
) -> None:
    """supervisor_SUITE 21: sup_stop_race"""
    async with run_pool() as pool:
        for restart in Restart:
            name = restart.value
            await start_child(pool, stage.child(name, restart=restart))
        await start_child(pool, stage.child("slow", cleanup=THREE))
        for restart in Restart:
            player(restart.value).cast_nowait(Player.leave, BOOM)
        pool.stop()
        assert await pool.wait() is SHUTDOWN

    assert set(stage.starts.values()) == {1}


@pytest.mark.parametrize("refused", [set[str](), {"b2"}, {"b2", "b3", "b4", "b5"}])
def test_cancellation_at_every_step_leaves_no_child(
    refused: set[str],
) -> None:
    """Cancel at each step of: starts, a crash, restarts, terminate_child, the stop."""
    stages: list[Stage] = []

    async def scenario() -> None:
        stage = Stage(refused=set(refused))
        stages.append(stage)
        try:
            async with trio.open_nursery() as nursery:
                pool = await supervise(nursery, DynamicSupervisorSpec(intensity=3))
                refs = [await start_child(pool, stage.child(name)) for name in "abc"]
                player("b").cast_nowait(Player.leave, BOOM)
                await wait_all_tasks_blocked()
                await pool.call(DynamicSupervisor.terminate_child, refs[2])
                await stop(pool)
        except* (SupervisorGaveUp, StartError, ActorExited):
            pass

    async def check() -> None:
        assert name_table() == {}
        up = list[str]()
        for line in stages[-1].log:
            what, who, *_ = line.split()
            if what == "start":
                up.append(who)
            elif what == "term":
                up.remove(who)
        assert up == [], stages[-1].log

    assert every_step(scenario, check) > 30
