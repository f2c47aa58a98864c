"""A supervisor is a server: it can be looked into, and made to wait."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from okibi.actors import debug, stop
from okibi.supervisors import supervise
from tests.support.child_stage import Stage, alive, leave


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_suspended_supervisor_restarts_nobody_until_it_goes_on(
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


async def test_the_state_of_a_supervisor_is_its_flags(stage: Stage, nursery: trio.Nursery) -> None:
    flags = stage.tree("a")
    top = await supervise(nursery, flags)

    assert await debug.get_state(top) == {"spec": flags}
    await stop(top)
