"""Supervisors under `okibi.actors.debug`."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import debug, stop
from okibi.supervisors import supervise
from tests.support.child_stage import Stage, alive, leave


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_suspended_supervisor_restarts_children_after_resume(
    stage: Stage, nursery: trio.Nursery
) -> None:
    top = await supervise(nursery, stage.tree("ab"))
    await debug.suspend(top)
    await leave("a")
    assert alive("a") is None

    await debug.resume(top)
    await wait_all_tasks_blocked()

    assert alive("a") is not None
    await stop(top)


async def test_the_state_of_a_supervisor_is_its_spec(stage: Stage, nursery: trio.Nursery) -> None:
    spec = stage.tree("a")
    top = await supervise(nursery, spec)

    assert await debug.get_state(top) == {"spec": spec}
    await stop(top)
