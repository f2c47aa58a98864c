"""What one can ask a supervisor, and what it answers (OTP: the table of the dynamic API)."""

from functools import partial
from typing import Any

import pytest
import trio

from okibi.actors import NORMAL, SHUTDOWN, AlreadyRegistered, Ref, Refusal, Server, start, stop
from okibi.supervisors import (
    AlreadyPresent,
    AlreadyStarted,
    AutoShutdown,
    BadCombination,
    Child,
    ChildFailed,
    ChildInfo,
    Dynamic,
    DynamicSupervisor,
    InvalidChild,
    NotFound,
    Restart,
    Running,
    State,
    Strategy,
    Supervision,
    Supervisor,
    supervise,
)
from tests.support.child_stage import Boom, Player, Stage, alive, counted, leave, player, states

Top = Ref[Supervisor]


@pytest.fixture
def stage() -> Stage:
    return Stage()


# -- start_child


async def test_a_started_child_is_the_last_in_start_order(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("ab"), path="/top")

    ref = await top.call(Supervisor.start_child, stage.child("c"))

    assert ref == alive("c")
    assert ref is not None
    assert ref.path == "/top/c"
    assert await counted(top) == [3, 3, 0, 3]
    stage.said()
    await stop(top)
    assert stage.said() == "term c shutdown; term b shutdown; term a shutdown"


async def test_a_started_child_is_restarted_like_any_other(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, Supervision(strategy=Strategy.REST_FOR_ONE))
    for name in "ab":
        await top.call(Supervisor.start_child, stage.child(name))
    stage.said()

    await leave("a")

    assert stage.said() == "term a crashed; term b shutdown; start a; start b"
    await stop(top)


async def test_an_id_that_lives_is_already_started(stage: Stage, nursery: trio.Nursery) -> None:
    top = await supervise(nursery, stage.tree("a"))

    with pytest.raises(AlreadyStarted, match="/supervisor/a has been started already") as refused:
        await top.call(Supervisor.start_child, stage.child("a"))

    assert refused.value.ref == alive("a")
    assert await counted(top) == [1, 1, 0, 1]
    await stop(top)


async def test_an_id_that_does_not_run_is_already_present(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("a"))
    await top.call(Supervisor.terminate_child, "a")

    with pytest.raises(AlreadyPresent, match="'a' that does not run: restart_child starts it"):
        await top.call(Supervisor.start_child, stage.child("a"))
    await stop(top)


async def test_a_name_that_a_stranger_bears_is_already_started(
    stage: Stage, nursery: trio.Nursery
) -> None:
    """OTP: already_started_outside_supervisor."""
    quick = (trio.lowlevel.checkpoint, trio.lowlevel.checkpoint)
    stranger = await start(nursery, lambda: Player(stage, "x", *quick), name=player("a"))
    top = await supervise(nursery, Supervision())

    with pytest.raises(AlreadyStarted) as refused:
        await top.call(Supervisor.start_child, stage.child("a"))

    assert refused.value.ref == stranger
    assert isinstance(refused.value.__cause__, AlreadyRegistered)
    assert await counted(top) == [0, 0, 0, 0]
    await stop(top)
    await stop(stranger)


async def test_a_child_that_fails_its_start_is_told_to_the_asker_and_not_kept(
    stage: Stage, nursery: trio.Nursery
) -> None:
    stage.refused = {"b1"}
    top = await supervise(nursery, stage.tree("a", intensity=0), path="/top")

    with pytest.raises(ChildFailed) as failed:
        await top.call(Supervisor.start_child, stage.child("b"))

    assert str(failed.value) == "/top/b did not start: crashed (Boom: b)"
    assert isinstance(failed.value.reason.error, Boom)
    assert failed.value.__cause__ is failed.value.reason.error
    assert await counted(top) == [1, 1, 0, 1]
    assert await top.call(Supervisor.start_child, stage.child("b")) is not None
    await stop(top)


@pytest.mark.parametrize("kind", Restart)
async def test_a_child_that_ignores_is_kept_unless_it_is_temporary(
    stage: Stage, nursery: trio.Nursery, kind: Restart
) -> None:
    stage.needless = {"b1"}
    top = await supervise(nursery, stage.tree("a"))

    ref = await top.call(Supervisor.start_child, stage.child("b", restart=kind))

    assert ref is None
    kept = kind is not Restart.TEMPORARY
    assert await counted(top) == [1 + kept, 1, 0, 1 + kept]
    await stop(top)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (3, InvalidChild),
        (Player, InvalidChild),
        (Child(Server, restart=Restart.TRANSIENT, significant=True), BadCombination),
    ],
)
async def test_a_spec_that_cannot_be_is_refused_and_the_supervisor_lives(
    nursery: trio.Nursery, spec: Any, error: type[Refusal]
) -> None:
    top = await supervise(nursery, Supervision())

    with pytest.raises(error):
        await top.call(Supervisor.start_child, spec)

    assert await counted(top) == [0, 0, 0, 0]
    await stop(top)


async def test_a_significant_child_is_taken_where_it_matters(
    stage: Stage, nursery: trio.Nursery
) -> None:
    flags = Supervision(auto_shutdown=AutoShutdown.ANY_SIGNIFICANT)
    top = await supervise(nursery, flags)
    child = stage.child("a", restart=Restart.TRANSIENT, significant=True)
    await top.call(Supervisor.start_child, child)

    await leave("a", NORMAL)

    assert await top.wait() is SHUTDOWN


# -- terminate_child


async def test_a_terminated_child_stays_down_and_its_spec_is_kept(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("ab", Strategy.ONE_FOR_ALL, intensity=0))
    stage.said()

    for _ in range(2):
        # Also of one that does not run any more.
        await top.call(Supervisor.terminate_child, "a")

    assert stage.said() == "term a shutdown"
    assert await states(top) == "b running, a undefined"
    assert await counted(top) == [2, 1, 0, 2]
    await stop(top)


async def test_a_terminated_temporary_child_is_forgotten(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, Supervision([stage.child("a", restart=Restart.TEMPORARY)]))

    await top.call(Supervisor.terminate_child, "a")

    assert await counted(top) == [0, 0, 0, 0]
    with pytest.raises(NotFound):
        await top.call(Supervisor.terminate_child, "a")
    assert await top.call(Supervisor.start_child, stage.child("a")) is not None
    await stop(top)


async def test_a_terminated_child_comes_back_with_its_siblings(
    stage: Stage, nursery: trio.Nursery
) -> None:
    """OTP: a strategy starts every spec in its range, also one that somebody has terminated."""
    top = await supervise(nursery, stage.tree("ab", Strategy.ONE_FOR_ALL))
    await top.call(Supervisor.terminate_child, "a")
    stage.said()

    await leave("b")

    assert stage.said() == "term b crashed; start a; start b"
    await stop(top)


# -- restart_child, delete_child


async def test_a_restarted_child_is_fresh_and_not_counted(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("a", intensity=0))
    for number in (2, 3):
        await top.call(Supervisor.terminate_child, "a")
        ref = await top.call(Supervisor.restart_child, "a")

        assert ref == alive("a")
        assert ref is not None
        assert ref.incarnation == number
    await stop(top)


async def test_a_child_that_had_ended_quietly_can_be_restarted(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, Supervision([stage.child("a", restart=Restart.TRANSIENT)]))
    await leave("a", SHUTDOWN)

    assert await top.call(Supervisor.restart_child, "a") == alive("a")
    await stop(top)


async def test_a_child_that_lives_is_neither_restarted_nor_deleted(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("a"))

    for request in (Supervisor.restart_child, Supervisor.delete_child):
        with pytest.raises(Running, match=r"/supervisor/a lives: re|/supervisor/a lives: de"):
            await top.call(request, "a")
    await stop(top)


async def test_a_restart_that_fails_is_told_and_the_spec_is_kept(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("a", intensity=0))
    await top.call(Supervisor.terminate_child, "a")
    stage.refused = {"a2"}

    with pytest.raises(ChildFailed, match="did not start"):
        await top.call(Supervisor.restart_child, "a")

    assert await states(top) == "a undefined"
    assert await top.call(Supervisor.restart_child, "a") == alive("a")
    await stop(top)


async def test_a_restart_that_is_ignored_keeps_the_spec(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("a"))
    await top.call(Supervisor.terminate_child, "a")
    stage.needless = {"a2"}

    assert await top.call(Supervisor.restart_child, "a") is None
    assert await states(top) == "a undefined"
    await stop(top)


async def test_a_deleted_child_makes_room_for_another(stage: Stage, nursery: trio.Nursery) -> None:
    top = await supervise(nursery, stage.tree("a"))
    await top.call(Supervisor.terminate_child, "a")

    await top.call(Supervisor.delete_child, "a")

    assert await counted(top) == [0, 0, 0, 0]
    assert await top.call(Supervisor.start_child, stage.child("a")) is not None
    await stop(top)


@pytest.mark.parametrize(
    "request_",
    [
        Supervisor.terminate_child,
        Supervisor.restart_child,
        Supervisor.delete_child,
        Supervisor.which_child,
        Supervisor.get_childspec,
    ],
)
async def test_a_child_that_is_not_there_is_not_found(nursery: trio.Nursery, request_: Any) -> None:
    top = await supervise(nursery, Supervision(), path="/top")

    with pytest.raises(NotFound, match="/top has no child 'a'"):
        await top.call(request_, "a")
    await stop(top)


# -- looking


async def test_children_are_told_newest_first(stage: Stage, nursery: trio.Nursery) -> None:
    sub = Child(Supervision(), id="sub")
    top = await supervise(nursery, Supervision([stage.child("a"), sub]))

    newest, oldest = await top.call(Supervisor.which_children)

    assert oldest == ChildInfo("a", alive("a"), State.RUNNING, "worker")
    assert (newest.id, newest.kind) == ("sub", "supervisor")
    assert await top.call(Supervisor.which_child, "a") == oldest
    assert await counted(top) == [2, 2, 1, 1]
    await stop(top)


async def test_a_spec_can_be_asked_for(stage: Stage, nursery: trio.Nursery) -> None:
    spec = stage.child("a")
    top = await supervise(nursery, Supervision([spec]))

    assert await top.call(Supervisor.get_childspec, "a") is spec
    await stop(top)


class Pool(Server):
    def __init__(self, password: str) -> None:
        self.password = password

    __hash__ = None  # type: ignore[assignment]


ASKS: list[Any] = [
    Supervisor.terminate_child,
    Supervisor.delete_child,
    Supervisor.restart_child,
    DynamicSupervisor.terminate_child,
]


@pytest.mark.parametrize("ask", ASKS)
async def test_an_error_names_a_spec_by_its_id_not_by_its_arguments(ask: Any) -> None:
    spec = Child(partial(Pool, "hunter2"), restart=Restart.TEMPORARY)
    async with trio.open_nursery() as nursery:
        dynamic = ask is DynamicSupervisor.terminate_child
        top: Any = await supervise(nursery, Dynamic() if dynamic else Supervision(), path="/top")
        for given, name in ((spec, "Child 'Pool'"), (Pool("hunter2"), "Pool"), ("id", "'id'")):
            with pytest.raises(NotFound) as refused:
                await top.call(ask, given)
            hint = ": it has no ids, ask with a Ref" if dynamic else ""
            assert str(refused.value) == f"/top has no child {name}{hint}"
        top.stop()
