"""DynamicSupervisor: max_children, the stop of all children, cancellation at every step.

A docstring names the matching case of OTP's supervisor_SUITE or of Elixir's test.
"""

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from okibi.actors import (
    Name,
    stop,
)
from okibi.actors.names import name_table
from okibi.supervisors import (
    INFINITY,
    Child,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    SupervisorSpec,
    stop_report,
    supervise,
)
from tests.support.child_stage import Stage
from tests.support.dynamic_supervisor import Idle, run_pool, start_child

POOL = Name("pool", DynamicSupervisor)


@pytest.fixture
def stage() -> Stage:
    return Stage()


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
