"""Requests to a supervisor and their answers (OTP: the functions with a child id)."""

from functools import partial
from typing import Any

import pytest
import trio

from okibi.actors import AlreadyRegistered, Server, start, stop
from okibi.supervisors import (
    AlreadyStarted,
    Child,
    ChildFailed,
    DynamicSupervisor,
    DynamicSupervisorSpec,
    NotFound,
    Restart,
    SpecError,
    Supervisor,
    SupervisorSpec,
    supervise,
)
from tests.support.child_stage import Boom, Player, Stage, counted, player


@pytest.fixture
def stage() -> Stage:
    return Stage()


# -- start_child


async def test_start_child_is_refused_if_another_actor_has_the_name(
    stage: Stage, nursery: trio.Nursery
) -> None:
    """OTP: already_started_outside_supervisor."""
    quick = (trio.lowlevel.checkpoint, trio.lowlevel.checkpoint)
    other = await start(nursery, lambda: Player(stage, "x", *quick), name=player("a"))
    top = await supervise(nursery, SupervisorSpec())

    with pytest.raises(AlreadyStarted) as refused:
        await top.call(Supervisor.start_child, stage.child("a"))

    assert refused.value.ref == other
    assert isinstance(refused.value.__cause__, AlreadyRegistered)
    assert await counted(top) == [0, 0, 0, 0]
    await stop(top)
    await stop(other)


async def test_start_child_raises_child_failed_and_drops_the_spec(
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


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (3, "spec"),
        (Player, "spec"),
        (Child(Server, restart=Restart.TRANSIENT, significant=True), "significant"),
    ],
)
async def test_start_child_refuses_an_invalid_spec_and_keeps_running(
    nursery: trio.Nursery, spec: Any, field: str
) -> None:
    top = await supervise(nursery, SupervisorSpec())

    with pytest.raises(SpecError) as refused:
        await top.call(Supervisor.start_child, spec)

    assert refused.value.field == field
    assert await counted(top) == [0, 0, 0, 0]
    await stop(top)


# -- restart_child, delete_child


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
async def test_requests_for_an_unknown_child_raise_not_found(
    nursery: trio.Nursery, request_: Any
) -> None:
    top = await supervise(nursery, SupervisorSpec(), path="/top")

    with pytest.raises(NotFound, match="/top has no child 'a'"):
        await top.call(request_, "a")
    await stop(top)


# -- which_child, get_childspec


async def test_get_childspec_returns_the_spec(stage: Stage, nursery: trio.Nursery) -> None:
    spec = stage.child("a")
    top = await supervise(nursery, SupervisorSpec([spec]))

    assert await top.call(Supervisor.get_childspec, "a") is spec
    await stop(top)


class Pool(Server):
    def __init__(self, password: str) -> None:
        self.password = password

    __hash__ = None  # type: ignore[assignment]


REQUESTS: list[Any] = [
    Supervisor.terminate_child,
    Supervisor.delete_child,
    Supervisor.restart_child,
    DynamicSupervisor.terminate_child,
]


@pytest.mark.parametrize("request_", REQUESTS)
async def test_an_error_shows_the_id_of_a_spec_not_its_arguments(request_: Any) -> None:
    spec = Child(partial(Pool, "hunter2"), restart=Restart.TEMPORARY)
    async with trio.open_nursery() as nursery:
        dynamic = request_ is DynamicSupervisor.terminate_child
        top: Any = await supervise(
            nursery, DynamicSupervisorSpec() if dynamic else SupervisorSpec(), path="/top"
        )
        for given, name in ((spec, "Child 'Pool'"), (Pool("hunter2"), "Pool"), ("id", "'id'")):
            with pytest.raises(NotFound) as refused:
                await top.call(request_, given)
            hint = ": pass the child's Ref" if dynamic else ""
            assert str(refused.value) == f"/top has no child {name}{hint}"
        top.stop()
