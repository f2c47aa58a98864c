"""Automatic shutdown after the end of significant children (OTP: auto_shutdown)."""

import pytest
import trio

from okibi.actors import NORMAL, SHUTDOWN
from okibi.supervisors import (
    AutoShutdown,
    Restart,
    SupervisorSpec,
    supervise,
)
from tests.support.child_stage import Stage, alive, leave

NEVER, ANY, ALL = AutoShutdown.NEVER, AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT
TRANSIENT, TEMPORARY = Restart.TRANSIENT, Restart.TEMPORARY


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_significant_child_that_waits_for_a_restart_counts_as_running(
    stage: Stage, nursery: trio.Nursery
) -> None:
    async def init() -> None:
        if stage.starts["a"] > 1:
            other = alive("c")
            if other is not None:
                other.stop(NORMAL)
                await other.wait()
                raise ValueError("boom")

    children = [
        stage.child("a", restart=TRANSIENT, significant=True, init=init),
        stage.child("c", restart=TRANSIENT, significant=True),
    ]
    top = await supervise(nursery, SupervisorSpec(children, auto_shutdown=ALL))

    await leave("a")

    assert top.alive
    assert alive("a") is not None
    assert alive("c") is None
    await leave("a", NORMAL)
    assert top.reason is SHUTDOWN
