"""Dynamic children: started, restarted, asked for and forgotten (Elixir: dynamic_supervisor_test).

Named by the rule; the case of OTP's supervisor_SUITE or of Elixir's test is in the docstring.
"""

import gc
from typing import Any, assert_type

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import Name, Ref, Server, stop
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
    append_arguments,
    snapshot,
    supervise,
)
from tests.garbage import no_collector
from tests.support.child_stage import Boom, Stage, alive, leave
from tests.support.dynamic_supervisor import Idle, a_pool, begin, counted, restarting

TEMPORARY = Restart.TEMPORARY


@pytest.fixture
def stage() -> Stage:
    return Stage()


# -- flags


def test_the_defaults_are_elixirs() -> None:
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


async def test_a_child_that_has_started_is_given_by_its_ref() -> None:
    """with different returns: {ok, pid}"""
    async with a_pool() as pool:
        ref = await pool.call(DynamicSupervisor.start_child, Child(Idle))
        sub = await pool.call(DynamicSupervisor.start_child, Child(DynamicSupervisorSpec()))

        assert_type(ref, Ref[Idle] | None)
        assert_type(sub, Ref[DynamicSupervisor] | None)
        assert ref is not None
        assert ref.alive
        assert await counted(pool) == (2, 2, 1, 1)


async def test_what_is_no_child_is_refused_and_the_pool_lives() -> None:
    """start_child with invalid spec"""
    async with a_pool() as pool:
        wrong: Any = Idle
        with pytest.raises(
            SpecError, match=r"^spec must be a Child, got Idle: write Child\(Idle\)$"
        ):
            await pool.call(DynamicSupervisor.start_child, wrong)

        assert await counted(pool) == (0, 0, 0, 0)


async def test_while_a_child_is_in_its_init_the_next_one_waits(
    stage: Stage, autojump_clock: MockClock
) -> None:
    """OTP: a supervisor is a gen_server (oracle K1)"""

    async def slow() -> None:
        await trio.sleep(2)
        stage.log.append("ready")

    async with a_pool() as pool:
        asked = [
            await pool.request(DynamicSupervisor.start_child, stage.child(name, init=slow))
            for name in "abc"
        ]
        refs = [await pending.result() for pending in asked]

        assert stage.said() == "; ".join(f"ready; start {name}" for name in "abc")
        assert trio.current_time() == pytest.approx(6)
        assert [ref and ref.path for ref in refs] == ["/pool/a-1", "/pool/b-2", "/pool/c-3"]


# -- extra arguments


@attrs.define(eq=False)
class Given(Server):
    arguments: tuple[object, ...]

    async def leave(self) -> None:
        raise Boom

    async def told(self) -> tuple[object, ...]:
        return self.arguments


async def test_extra_arguments_stand_in_front_of_the_childs_own_also_at_restart() -> None:
    """extra_arguments at restart"""

    def make(*args: object) -> Given:
        return Given(args)

    name = Name("given", Given)
    async with a_pool(extra_arguments=["one", 2]) as pool:
        child = Child(append_arguments(make, "own"), name=name)
        assert (await begin(pool, child)).path == "/pool/given-1"
        assert await name.call(Given.told) == ("one", 2, "own")

        await name.cast(Given.leave)
        await wait_all_tasks_blocked()

        assert await name.call(Given.told) == ("one", 2, "own")
        plain = await begin(pool, Child(make))
        assert await plain.call(Given.told) == ("one", 2)


async def test_flags_that_cannot_take_the_extra_arguments_are_refused() -> None:
    async with a_pool(extra_arguments=(1,)) as pool:
        with pytest.raises(SpecError, match="/pool gives its children extra_arguments"):
            await begin(pool, Child(SupervisorSpec()))


# -- asking for a child


async def test_a_child_that_restarts_is_asked_for_by_its_last_ref(
    stage: Stage, autojump_clock: MockClock
) -> None:
    async with a_pool(backoff=Backoff(5, 5)) as pool:
        ref = await restarting(pool, stage)

        info = await pool.call(DynamicSupervisor.which_child, ref)
        assert (info.id, info.ref, info.state) == ("a-1", None, ChildState.RESTARTING)
        assert (await pool.call(DynamicSupervisor.get_childspec, ref)).id == "a"
        assert [child.phase for child in snapshot(pool).children] == ["restarting"]
        assert await pool.call(DynamicSupervisor.which_children) == (info,)


async def test_an_older_ref_does_not_reach_the_child_that_came_after(stage: Stage) -> None:
    async with a_pool() as pool:
        old = await begin(pool, stage.child("a"))
        await leave("a")

        await pool.call(DynamicSupervisor.terminate_child, old)

        new = alive("a")
        assert new is not None
        assert new.alive
        assert (await pool.call(DynamicSupervisor.which_child, new)).ref == new


@pytest.mark.usefixtures(no_collector.__name__)
@pytest.mark.parametrize("flags", [DynamicSupervisorSpec(), TaskSupervisorSpec()])
async def test_a_pool_that_has_ended_leaves_nothing_to_the_garbage_collector(
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
