"""Dynamic children: started, restarted, asked for and forgotten (Elixir: dynamic_supervisor_test).

Named by the rule; the case of OTP's supervisor_SUITE or of Elixir's test is in the docstring.
"""

import gc
import weakref
from collections.abc import Callable
from typing import Any, assert_type

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import SHUTDOWN, Ignore, Name, Ref, Server, start, stop
from okibi.supervisors import (
    AlreadyStarted,
    Backoff,
    BadCombination,
    Child,
    ChildFailed,
    Counts,
    Dynamic,
    DynamicSupervisor,
    InvalidBackoff,
    InvalidChild,
    InvalidExtraArguments,
    InvalidIntensity,
    InvalidMaxChildren,
    InvalidPeriod,
    NotFound,
    Restart,
    SpecError,
    State,
    Supervision,
    Supervisor,
    Tasks,
    after_extra,
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
    flags = Dynamic()

    assert (flags.max_children, flags.intensity, flags.period) == (None, 3, 5.0)
    assert (flags.extra_arguments, flags.backoff) == ((), None)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"max_children": -1}, InvalidMaxChildren),
        ({"max_children": 1.0}, InvalidMaxChildren),
        ({"max_children": True}, InvalidMaxChildren),
        ({"intensity": -1}, InvalidIntensity),
        ({"period": 0}, InvalidPeriod),
        ({"extra_arguments": "ab"}, InvalidExtraArguments),
        ({"extra_arguments": None}, InvalidExtraArguments),
        ({"backoff": 1}, InvalidBackoff),
    ],
)
def test_each_wrong_flag_has_an_error_of_its_own(
    fields: dict[str, Any], error: type[SpecError]
) -> None:
    """start_link with non-ok init"""
    with pytest.raises(error):
        Dynamic(**fields)


async def test_a_pool_is_a_child_like_any_other_supervisor(nursery: trio.Nursery) -> None:
    name = Name("pool", DynamicSupervisor)
    child = Child(Dynamic(max_children=1), name=name)
    top = await supervise(nursery, Supervision([child, Child(Dynamic())]), path="/top")

    ref = await name.call(DynamicSupervisor.start_child, Child(Idle))

    assert ref is not None
    assert ref.path == "/top/pool/Idle-1"
    assert await top.call(Supervisor.count_children) == Counts(2, 2, 2, 0)
    assert [child.path for child in snapshot(top).children] == ["/top/pool", "/top/dynamic"]
    assert snapshot(top).children[0].children[0].path == ref.path
    await stop(top)


# -- start_child


async def test_a_child_that_has_started_is_given_by_its_ref() -> None:
    """with different returns: {ok, pid}"""
    async with a_pool() as pool:
        ref = await pool.call(DynamicSupervisor.start_child, Child(Idle))
        sub = await pool.call(DynamicSupervisor.start_child, Child(Dynamic()))

        assert_type(ref, Ref[Idle] | None)
        assert_type(sub, Ref[DynamicSupervisor] | None)
        assert ref is not None
        assert ref.alive
        assert await counted(pool) == (2, 2, 1, 1)


async def test_two_children_may_have_equal_specs() -> None:
    async with a_pool() as pool:
        paths = [(await begin(pool, Child(Idle, id="worker"))).path for _ in range(3)]

        assert paths == ["/pool/worker-1", "/pool/worker-2", "/pool/worker-3"]
        infos = await pool.call(DynamicSupervisor.which_children)
        assert [info.id for info in infos] == ["worker-3", "worker-2", "worker-1"]


@pytest.mark.parametrize("restart", Restart)
async def test_a_child_that_ignores_at_its_start_is_not_kept(restart: Restart) -> None:
    """supervisor_SUITE 6, 7; with different returns: ignore"""

    class Needless(Server):
        async def init(self) -> None:
            raise Ignore

    async with a_pool() as pool:
        child = Child(Needless, restart=restart)

        assert await pool.call(DynamicSupervisor.start_child, child) is None
        assert await counted(pool) == (0, 0, 0, 0)


async def test_a_child_that_fails_to_start_is_not_kept_and_the_asker_is_told(
    stage: Stage,
) -> None:
    """supervisor_SUITE 12; throw, error, exit"""
    stage.refused = {"a1"}
    async with a_pool(intensity=0) as pool:
        with pytest.raises(ChildFailed) as failed:
            await begin(pool, stage.child("a"))

        assert isinstance(failed.value.__cause__, Boom)
        assert await counted(pool) == (0, 0, 0, 0)


async def test_a_name_that_is_taken_is_told_with_who_bears_it(stage: Stage) -> None:
    async with a_pool() as pool:
        first = await begin(pool, stage.child("a"))

        with pytest.raises(AlreadyStarted) as refused:
            await begin(pool, stage.child("a"))

        assert refused.value.ref == first
        assert await counted(pool) == (1, 1, 0, 1)


async def test_what_is_no_child_is_refused_and_the_pool_lives() -> None:
    """start_child with invalid spec"""
    async with a_pool() as pool:
        wrong: Any = Idle
        with pytest.raises(InvalidChild):
            await pool.call(DynamicSupervisor.start_child, wrong)

        assert await counted(pool) == (0, 0, 0, 0)


async def test_a_significant_child_is_refused() -> None:
    """significant: true refused"""
    async with a_pool() as pool:
        with pytest.raises(BadCombination):
            await begin(pool, Child(Idle, restart=TEMPORARY, significant=True))


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
        child = Child(after_extra(make, "own"), name=name)
        assert (await begin(pool, child)).path == "/pool/given-1"
        assert await name.call(Given.told) == ("one", 2, "own")

        await name.cast(Given.leave)
        await wait_all_tasks_blocked()

        assert await name.call(Given.told) == ("one", 2, "own")
        plain = await begin(pool, Child(make))
        assert await plain.call(Given.told) == ("one", 2)


async def test_flags_that_cannot_take_the_extra_arguments_are_refused() -> None:
    async with a_pool(extra_arguments=(1,)) as pool:
        with pytest.raises(BadCombination, match="/pool gives its children extra_arguments"):
            await begin(pool, Child(Supervision()))


# -- asking for a child


async def test_terminate_child_stops_it_and_counts_nothing(stage: Stage) -> None:
    """supervisor_SUITE 25: by pid ok, twice ok"""
    async with a_pool(intensity=0) as pool:
        ref = await begin(pool, stage.child("a"))

        await pool.call(DynamicSupervisor.terminate_child, ref)
        assert ref.reason is SHUTDOWN
        assert await counted(pool) == (0, 0, 0, 0)

        await pool.call(DynamicSupervisor.terminate_child, ref)


@pytest.mark.parametrize("restart", Restart)
async def test_a_dynamic_child_may_be_terminated_twice(stage: Stage, restart: Restart) -> None:
    """OTP's simple_one_for_one: ok. Elixir's DynamicSupervisor: not_found."""
    async with a_pool() as pool:
        ref = await begin(pool, stage.child("a", restart=restart))

        for _ in range(2):
            await pool.call(DynamicSupervisor.terminate_child, ref)

        assert await counted(pool) == (0, 0, 0, 0)


async def test_somebody_elses_child_is_not_found(nursery: trio.Nursery) -> None:
    """supervisor_SUITE 14, 25: a foreign live pid"""
    stranger = await start(nursery, Idle, path="/pool/Idle-1")
    async with a_pool() as pool:
        own = await begin(pool, Child(Idle))
        assert own.path == stranger.path
        for method in (
            DynamicSupervisor.terminate_child,
            DynamicSupervisor.which_child,
            DynamicSupervisor.get_childspec,
        ):
            ask: Any = method
            with pytest.raises(NotFound, match="/pool has no child <Ref /pool/Idle-1"):
                await pool.call(ask, stranger)
            with pytest.raises(NotFound, match="it has no ids, ask with a Ref"):
                await pool.call(ask, "Idle-1")
        assert own.alive
        await stop(stranger)
        # OTP looks whether anybody lives there, and asks no more.
        await pool.call(DynamicSupervisor.terminate_child, stranger)


async def test_a_child_that_restarts_is_asked_for_by_its_last_ref(
    stage: Stage, autojump_clock: MockClock
) -> None:
    async with a_pool(backoff=Backoff(5, 5)) as pool:
        ref = await restarting(pool, stage)

        info = await pool.call(DynamicSupervisor.which_child, ref)
        assert (info.id, info.ref, info.state) == ("a-1", None, State.RESTARTING)
        assert (await pool.call(DynamicSupervisor.get_childspec, ref)).id == "a"
        assert [child.phase for child in snapshot(pool).children] == ["restarting"]
        assert await pool.call(DynamicSupervisor.which_children) == (info,)


async def test_terminate_child_calls_a_restart_off(stage: Stage, autojump_clock: MockClock) -> None:
    """terminate_child: restarting child. Adapted: a second call is done, not not_found: the child
    has ended, and OTP's answer to that is ok."""
    async with a_pool(backoff=Backoff(5, 5)) as pool:
        ref = await restarting(pool, stage)

        await pool.call(DynamicSupervisor.terminate_child, ref)

        assert await counted(pool) == (0, 0, 0, 0)
        with pytest.raises(NotFound):
            await pool.call(DynamicSupervisor.which_child, ref)
        await pool.call(DynamicSupervisor.terminate_child, ref)
        await trio.sleep(60)
        assert stage.starts == {"a": 1}


async def test_an_older_ref_does_not_reach_the_child_that_came_after(stage: Stage) -> None:
    async with a_pool() as pool:
        old = await begin(pool, stage.child("a"))
        await leave("a")

        await pool.call(DynamicSupervisor.terminate_child, old)

        new = alive("a")
        assert new is not None
        assert new.alive
        assert (await pool.call(DynamicSupervisor.which_child, new)).ref == new


async def test_supervisors_among_the_children_are_counted_until_they_have_ended() -> None:
    """supervisor_SUITE 73"""
    async with a_pool() as pool:
        subs = [await begin(pool, Child(Supervision(), restart=TEMPORARY)) for _ in range(3)]
        await begin(pool, Child(Idle))
        assert await counted(pool) == (4, 4, 3, 1)

        await pool.call(DynamicSupervisor.terminate_child, subs[0])
        subs[1].kill()
        await wait_all_tasks_blocked()

        assert await counted(pool) == (2, 2, 1, 1)


@pytest.mark.usefixtures(no_collector.__name__)
async def test_a_thousand_children_are_counted_and_forgotten_when_killed() -> None:
    """supervisor_SUITE 72, 76-78: nothing of a temporary child is kept"""
    async with a_pool() as pool:
        specs: list[weakref.ref[Callable[[], Idle]]] = []
        refs: list[Ref[Any]] = []
        for _ in range(1000):

            def make() -> Idle:
                return Idle()

            specs.append(weakref.ref(make))
            refs.append(await begin(pool, Child(make, restart=TEMPORARY)))
        assert await counted(pool) == (1000, 1000, 0, 1000)

        del make
        for ref in refs:
            ref.kill()
        await wait_all_tasks_blocked()

        assert await counted(pool) == (0, 0, 0, 0)
        refs.clear()
        del ref
        gc.collect()
        assert [spec for spec in specs if spec() is not None] == []


async def test_a_stray_message_does_not_harm_a_pool(caplog: pytest.LogCaptureFixture) -> None:
    async with a_pool() as pool:
        await pool.send("hello")

        assert await counted(pool) == (0, 0, 0, 0)
        assert "was sent a message of type str" in caplog.text


@pytest.mark.usefixtures(no_collector.__name__)
@pytest.mark.parametrize("flags", [Dynamic(), Tasks()])
async def test_a_pool_that_has_ended_leaves_nothing_to_the_garbage_collector(
    flags: Dynamic | Tasks,
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
