"""Dynamic children that end: restarted, or forgotten; all stopped at once.

Named by the rule; the case of OTP's supervisor_SUITE or of Elixir's test is in the docstring.
"""

import itertools
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    KILLED,
    NORMAL,
    SHUTDOWN,
    ActorExited,
    ExitReason,
    Ignore,
    Name,
    StartError,
    shutdown,
    stop,
)
from okibi.actors.names import names
from okibi.supervisors import (
    BRUTAL_KILL,
    INFINITY,
    Backoff,
    Child,
    Dynamic,
    DynamicSupervisor,
    MaxChildren,
    Restart,
    Supervision,
    SupervisorGaveUp,
    stop_report,
    supervise,
)
from tests.conformance.cancellation import every_step
from tests.support.child_stage import BOOM, Boom, Player, Stage, alive, leave, player
from tests.support.dynamic_supervisor import Idle, a_pool, begin, counted, restarting

POOL = Name("pool", DynamicSupervisor)
THREE = partial(trio.sleep, 3)


@pytest.fixture
def stage() -> Stage:
    return Stage()


# -- max_children


async def test_more_than_max_children_are_refused() -> None:
    """with max_children"""
    async with a_pool(max_children=0) as pool:
        with pytest.raises(MaxChildren, match="/pool has 0 children, and may have no more"):
            await begin(pool, Child(Idle))

    async with a_pool(max_children=1) as pool:
        first = await begin(pool, Child(Idle))
        with pytest.raises(MaxChildren):
            await begin(pool, Child(Idle))
        await pool.call(DynamicSupervisor.terminate_child, first)
        await begin(pool, Child(Idle))


async def test_a_child_that_is_about_to_restart_holds_its_place(
    stage: Stage, autojump_clock: MockClock
) -> None:
    """restarting counted in max_children"""
    async with a_pool(max_children=1, backoff=Backoff(10, 10)) as pool:
        await restarting(pool, stage)

        with pytest.raises(MaxChildren):
            await begin(pool, Child(Idle))
        assert await counted(pool) == (1, 0, 0, 1)


# -- restarts


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, shutdown("moved"), BOOM, KILLED])
@pytest.mark.parametrize("restart", Restart)
async def test_restart_type_and_reason_say_whether_a_child_comes_back(
    stage: Stage, restart: Restart, reason: ExitReason
) -> None:
    """temporary, transient, permanent child"""
    async with a_pool() as pool:
        await begin(pool, stage.child("a", restart=restart))

        await leave("a", reason)

        back = restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and not reason.quiet)
        assert (alive("a") is not None) is back
        assert await counted(pool) == (back, back, 0, back)
        # What has ended for good is forgotten: the same can be started anew.
        if not back:
            await begin(pool, stage.child("a", restart=restart))


async def test_only_the_one_that_ended_restarts_in_its_own_place(stage: Stage) -> None:
    """supervisor_SUITE 47: simple_one_for_one"""
    async with a_pool() as pool:
        for name in "ab":
            await begin(pool, stage.child(name))
        stage.said()

        await leave("a")

        ref = alive("a")
        assert ref is not None
        assert (ref.path, ref.incarnation) == ("/pool/a-1", 2)
        assert stage.said() == "term a crashed; start a"


@pytest.mark.parametrize("restart", [Restart.PERMANENT, Restart.TRANSIENT])
async def test_a_child_that_ignores_at_its_restart_is_forgotten(
    stage: Stage, restart: Restart
) -> None:
    """supervisor_SUITE 48; child is restarted with different values"""

    async def init() -> None:
        if stage.starts["a"] > 1:
            raise Ignore

    async with a_pool() as pool:
        await begin(pool, stage.child("a", init=init, restart=restart))

        await leave("a")

        assert await counted(pool) == (0, 0, 0, 0)


async def test_a_restart_that_fails_is_tried_again(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """child is restarted when trying again"""
    async with a_pool(intensity=2) as pool:
        await begin(pool, stage.child("a"))
        stage.refused = {"a2"}
        stage.said()

        await leave("a")

        assert stage.said() == "term a crashed; fail a; start a"
        assert "/pool/a-1 did not start: crashed (Boom: a)" in caplog.text
        supervisor = pool.process().actor
        assert isinstance(supervisor, DynamicSupervisor)
        assert len(supervisor.restarts) == 2


@pytest.mark.parametrize(("refused", "starts"), [(set[str](), 4), ({"a*"}, 3)])
async def test_more_restarts_than_the_intensity_end_the_pool_and_all_children(
    stage: Stage, refused: set[str], starts: int
) -> None:
    """child triggers maximum restarts, also when trying again; supervisor_SUITE 47, 52"""

    async def crash_on() -> None:
        async with trio.open_nursery() as nursery:
            pool = await supervise(nursery, Dynamic(intensity=2 + (not refused)), path="/pool")
            for name in "ab":
                await begin(pool, stage.child(name))
            stage.refused = refused
            while True:
                await leave("a")

    with pytest.raises(BaseExceptionGroup) as caught:
        await crash_on()

    [error] = caught.value.exceptions
    assert isinstance(error, SupervisorGaveUp)
    assert "/pool gave up: a-1 ended (crashed" in str(error)
    assert isinstance(error.__cause__, Boom)
    assert stage.starts == {"a": starts, "b": 1}
    assert stage.said().endswith("term b shutdown")
    assert names() == {}


async def test_what_is_asked_between_two_attempts_is_answered(stage: Stage) -> None:
    """supervisor_SUITE 82: hanging_restart_loop_simple"""

    async def init() -> None:
        if stage.starts["a"] == 3:
            asked.append(await pool.request(DynamicSupervisor.terminate_child, ref))
        if stage.starts["a"] > 1:
            raise Boom

    asked: list[Any] = []
    async with a_pool(intensity=1000) as pool:
        ref = await begin(pool, stage.child("a", init=init))
        await leave("a")

        await asked[0].result()
        await wait_all_tasks_blocked()
        assert stage.starts["a"] <= 4
        assert await counted(pool) == (0, 0, 0, 0)


async def test_with_back_off_a_restart_waits_and_the_wait_grows(
    stage: Stage, autojump_clock: MockClock
) -> None:
    async def init() -> None:
        tried.append(trio.current_time())
        if len(tried) == 4:
            up.set()

    tried: list[float] = []
    up = trio.Event()
    async with a_pool(intensity=10, backoff=Backoff(1, 60)) as pool:
        await begin(pool, stage.child("a", init=init))
        stage.refused = {"a2", "a3"}
        await leave("a")
        await up.wait()

    waits = [later - sooner for sooner, later in itertools.pairwise(tried)]
    assert waits == pytest.approx([1, 2, 4])


async def test_a_stop_between_two_attempts_ends_them(
    stage: Stage, autojump_clock: MockClock
) -> None:
    async with a_pool(backoff=Backoff(5, 5)) as pool:
        await restarting(pool, stage)
        assert await stop(pool) is SHUTDOWN
        await trio.sleep(60)

    assert stage.starts == {"a": 1}


# -- the stop


async def test_all_children_stop_at_once(stage: Stage, autojump_clock: MockClock) -> None:
    """supervisor_SUITE 49: it takes as long as the slowest"""
    slow = {"a": 3.0, "b": 1.0, "c": 2.0}
    async with a_pool() as pool:
        for name, seconds in slow.items():
            await begin(pool, stage.child(name, cleanup=partial(trio.sleep, seconds)))
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


async def test_each_child_has_its_own_grace(stage: Stage, autojump_clock: MockClock) -> None:
    """terminate: brutal_kill, infinity, integer, expired integer, mixed; supervisor_SUITE 18, 20"""
    graces: dict[str, Any] = {"a": BRUTAL_KILL, "b": INFINITY, "c": 4, "d": 2, "e": 2}
    async with a_pool() as pool:
        refs = [
            await begin(pool, stage.child(name, cleanup=THREE, shutdown=grace))
            for name, grace in graces.items()
        ]
        stage.said()
        began = trio.current_time()
        await stop(pool)
        assert trio.current_time() - began == pytest.approx(3)

    reasons = dict(zip(graces, [ref.reason for ref in refs], strict=True))
    assert reasons == {"a": KILLED, "b": SHUTDOWN, "c": SHUTDOWN, "d": KILLED, "e": KILLED}
    report = stop_report(pool)
    assert report is not None
    forced = {stopped.path: stopped.forced for stopped in report.children}
    assert forced == {
        "/pool/a-1": False,
        "/pool/b-2": False,
        "/pool/c-3": False,
        "/pool/d-4": True,
        "/pool/e-5": True,
    }


async def test_a_child_that_ends_with_another_reason_does_not_change_the_pools(
    stage: Stage,
) -> None:
    """terminate with an abnormal reason; supervisor_SUITE 22"""

    async def crash() -> None:
        raise Boom

    async with trio.open_nursery() as nursery:
        pool = await supervise(nursery, Dynamic())
        ref = await begin(pool, stage.child("a", cleanup=crash))

        assert await stop(pool) is SHUTDOWN
        assert ref.reason is not None
        assert ref.reason.kind == "crashed"


async def test_when_the_pools_own_grace_is_over_all_that_are_left_are_killed(
    stage: Stage, autojump_clock: MockClock
) -> None:
    slow = {"a": 1.0, "b": 100.0, "c": 100.0}
    async with trio.open_nursery() as nursery:
        tree = Supervision([Child(Dynamic(), name=POOL, shutdown=2)])
        top = await supervise(nursery, tree)
        for name, seconds in slow.items():
            cleanup = partial(trio.sleep, seconds)
            spec = stage.child(name, cleanup=cleanup, shutdown=INFINITY)
            await POOL.call(DynamicSupervisor.start_child, spec)
        began = trio.current_time()
        await stop(top)

    assert trio.current_time() - began == pytest.approx(2)
    assert names() == {}


async def test_many_children_are_asked_to_stop_in_more_than_one_step() -> None:
    """supervisor_SUITE 88: the other tasks run on meanwhile"""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += not all(ref.process().doom is None for ref in (refs[0], refs[-1]))
            if refs[-1].process().doom is not None:
                return

    async with trio.open_nursery() as nursery:
        pool = await supervise(nursery, Dynamic())
        refs = [await begin(pool, Child(Idle)) for _ in range(2000)]
        nursery.start_soon(turn)
        await stop(pool)

    assert turns > 2
    assert not any(ref.alive for ref in refs)


async def test_a_kill_of_a_pool_kills_its_children(stage: Stage) -> None:
    async with a_pool() as pool:
        refs = [await begin(pool, stage.child(name)) for name in "abc"]
        stage.said()

        pool.kill()

        assert await pool.wait() is KILLED
        assert [ref.reason for ref in refs] == [KILLED] * 3
        assert stage.said() == ""


async def test_children_that_leave_by_themselves_while_the_pool_stops_do_not_hang_it(
    stage: Stage, autojump_clock: MockClock
) -> None:
    """supervisor_SUITE 21: sup_stop_race"""
    async with a_pool() as pool:
        for restart in Restart:
            name = restart.value
            await begin(pool, stage.child(name, restart=restart))
        await begin(pool, stage.child("slow", cleanup=THREE))
        for restart in Restart:
            player(restart.value).cast_nowait(Player.leave, BOOM)
        pool.stop()
        assert await pool.wait() is SHUTDOWN

    assert set(stage.starts.values()) == {1}


@pytest.mark.parametrize("refused", [set[str](), {"b2"}, {"b2", "b3", "b4", "b5"}])
def test_cancelled_from_outside_at_every_step_all_end_and_nothing_is_left(
    refused: set[str],
) -> None:
    """Starts, a crash, its restarts, a child terminated, the stop: cancelled at each step."""
    stages: list[Stage] = []

    async def scenario() -> None:
        stage = Stage(refused=set(refused))
        stages.append(stage)
        try:
            async with trio.open_nursery() as nursery:
                pool = await supervise(nursery, Dynamic(intensity=3))
                refs = [await begin(pool, stage.child(name)) for name in "abc"]
                player("b").cast_nowait(Player.leave, BOOM)
                await wait_all_tasks_blocked()
                await pool.call(DynamicSupervisor.terminate_child, refs[2])
                await stop(pool)
        except* (SupervisorGaveUp, StartError, ActorExited):
            pass

    async def check() -> None:
        assert names() == {}
        up = list[str]()
        for line in stages[-1].log:
            what, who, *_ = line.split()
            if what == "start":
                up.append(who)
            elif what == "term":
                up.remove(who)
        assert up == [], stages[-1].log

    assert every_step(scenario, check) > 30
