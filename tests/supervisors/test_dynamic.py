"""DynamicSupervisor: the spec, start_child, requests (Elixir: dynamic_supervisor_test).

A docstring names the matching case of OTP's supervisor_SUITE or of Elixir's test.
"""

import gc
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from okibi.actors import stop
from okibi.supervisors import (
    Backoff,
    Child,
    ChildState,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    Restart,
    SpecError,
    SupervisorSpec,
    TaskSupervisorSpec,
    snapshot,
    supervise,
)
from tests.garbage import no_collector
from tests.support.child_stage import Stage, alive, leave
from tests.support.dynamic_supervisor import (
    Idle,
    count_children,
    run_pool,
    start_child,
    start_then_crash,
)

TEMPORARY = Restart.TEMPORARY


@pytest.fixture
def stage() -> Stage:
    return Stage()


# -- the spec


def test_defaults_equal_elixirs() -> None:
    """init sets default options"""
    flags = DynamicSupervisorSpec()

    assert (flags.max_children, flags.intensity, flags.period) == (None, 3, 5.0)
    assert (flags.extra_arguments, flags.backoff) == ((), None)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"max_children": -1}, "max_children"),
        ({"max_children": 1.0}, "max_children"),
        ({"max_children": True}, "max_children"),
        ({"intensity": -1}, "intensity"),
        ({"period": 0}, "period"),
        ({"extra_arguments": "ab"}, "extra_arguments"),
        ({"extra_arguments": None}, "extra_arguments"),
        ({"backoff": 1}, "backoff"),
    ],
)
def test_the_error_of_a_wrong_field_names_the_field(fields: dict[str, Any], field: str) -> None:
    """start_link with non-ok init"""
    with pytest.raises(SpecError) as refused:
        DynamicSupervisorSpec(**fields)

    assert refused.value.field == field


# -- start_child


async def test_a_class_instead_of_a_child_is_refused() -> None:
    """start_child with invalid spec"""
    async with run_pool() as pool:
        wrong: Any = Idle
        with pytest.raises(
            SpecError, match=r"^spec must be a Child, got Idle: write Child\(Idle\)$"
        ):
            await pool.call(DynamicSupervisor.start_child, wrong)

        assert await count_children(pool) == (0, 0, 0, 0)


async def test_starts_run_one_after_another(stage: Stage, autojump_clock: MockClock) -> None:
    """OTP: a supervisor is a gen_server (oracle K1)"""

    async def slow() -> None:
        await trio.sleep(2)
        stage.log.append("ready")

    async with run_pool() as pool:
        asked = [
            await pool.request(DynamicSupervisor.start_child, stage.child(name, init=slow))
            for name in "abc"
        ]
        refs = [await pending.result() for pending in asked]

        assert stage.said() == "; ".join(f"ready; start {name}" for name in "abc")
        assert trio.current_time() == pytest.approx(6)
        assert [ref and ref.path for ref in refs] == ["/pool/a-1", "/pool/b-2", "/pool/c-3"]


# -- extra arguments


async def test_a_supervisor_spec_is_refused_with_extra_arguments() -> None:
    async with run_pool(extra_arguments=(1,)) as pool:
        with pytest.raises(SpecError, match="/pool gives its children extra_arguments"):
            await start_child(pool, Child(SupervisorSpec()))


# -- requests about one child


async def test_a_restarting_child_is_found_by_its_last_ref(
    stage: Stage, autojump_clock: MockClock
) -> None:
    async with run_pool(backoff=Backoff(5, 5)) as pool:
        ref = await start_then_crash(pool, stage)

        info = await pool.call(DynamicSupervisor.which_child, ref)
        assert (info.id, info.ref, info.state) == ("a-1", None, ChildState.RESTARTING)
        assert (await pool.call(DynamicSupervisor.get_childspec, ref)).id == "a"
        assert [child.phase for child in snapshot(pool).children] == ["restarting"]
        assert await pool.call(DynamicSupervisor.which_children) == (info,)


async def test_an_old_ref_does_not_terminate_the_new_incarnation(stage: Stage) -> None:
    async with run_pool() as pool:
        old = await start_child(pool, stage.child("a"))
        await leave("a")

        await pool.call(DynamicSupervisor.terminate_child, old)

        new = alive("a")
        assert new is not None
        assert new.alive
        assert (await pool.call(DynamicSupervisor.which_child, new)).ref == new


@pytest.mark.usefixtures(no_collector.__name__)
@pytest.mark.parametrize("flags", [DynamicSupervisorSpec(), TaskSupervisorSpec()])
async def test_a_stopped_pool_leaves_no_garbage_cycles(
    flags: DynamicSupervisorSpec | TaskSupervisorSpec,
) -> None:
    async def once() -> None:
        async with trio.open_nursery() as nursery:
            pool = await supervise(nursery, flags)
            await pool.call(DynamicSupervisor.start_child, Child(Idle, restart=TEMPORARY))
            await stop(pool)

    await once()
    gc.collect()
    await once()

    assert gc.collect() == 0
