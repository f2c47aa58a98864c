"""Automatic shutdown after the end of significant children (OTP: auto_shutdown)."""

import pytest
import trio

from okibi.actors import KILLED, NORMAL, SHUTDOWN, ExitReason, Ref, shutdown, stop
from okibi.supervisors import (
    AutoShutdown,
    Child,
    Restart,
    Strategy,
    Supervisor,
    SupervisorSpec,
    supervise,
)
from tests.support.child_stage import BOOM, Stage, alive, leave

NEVER, ANY, ALL = AutoShutdown.NEVER, AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT
TRANSIENT, TEMPORARY = Restart.TRANSIENT, Restart.TEMPORARY
REASONS = [NORMAL, SHUTDOWN, shutdown("moved"), BOOM, KILLED]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def family(
    stage: Stage, kind: Restart, auto: AutoShutdown, strategy: Strategy = Strategy.ONE_FOR_ONE
) -> SupervisorSpec:
    """Return a spec with a and c significant, b and d permanent."""
    children = [
        stage.child(name, restart=kind, significant=True) if name in "ac" else stage.child(name)
        for name in "abcd"
    ]
    return SupervisorSpec(children, strategy, auto_shutdown=auto, intensity=10)


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("kind", [TRANSIENT, TEMPORARY])
async def test_any_significant_ends_after_the_first_significant_child(
    stage: Stage, nursery: trio.Nursery, kind: Restart, reason: ExitReason
) -> None:
    top = await supervise(nursery, family(stage, kind, ANY))
    stage.said()

    await leave("c", reason)

    if kind is TRANSIENT and not reason.quiet:
        assert alive("c") is not None
        assert top.alive
        await stop(top)
    else:
        assert top.reason is SHUTDOWN
        rest = "term d shutdown; term b shutdown; term a shutdown"
        assert stage.said() == f"term c {reason.kind}; {rest}"


@pytest.mark.parametrize("kind", [TRANSIENT, TEMPORARY])
async def test_all_significant_ends_after_the_last_significant_child(
    stage: Stage, nursery: trio.Nursery, kind: Restart
) -> None:
    top = await supervise(nursery, family(stage, kind, ALL))

    await leave("a", NORMAL)
    assert top.alive
    await leave("c", NORMAL)

    assert top.reason is SHUTDOWN
    assert alive("b") is None


@pytest.mark.parametrize("auto", [ANY, ALL])
@pytest.mark.parametrize("kind", [TRANSIENT, TEMPORARY])
async def test_an_insignificant_child_causes_no_shutdown(
    stage: Stage, nursery: trio.Nursery, kind: Restart, auto: AutoShutdown
) -> None:
    child = stage.child("a", restart=kind)
    top = await supervise(nursery, SupervisorSpec([child], auto_shutdown=auto))

    await leave("a", NORMAL)

    assert top.alive
    await stop(top)


@pytest.mark.parametrize("auto", [ANY, ALL])
@pytest.mark.parametrize("kind", [TRANSIENT, TEMPORARY])
async def test_terminate_child_causes_no_shutdown(
    stage: Stage, nursery: trio.Nursery, kind: Restart, auto: AutoShutdown
) -> None:
    top = await supervise(nursery, family(stage, kind, auto))

    for name in "ac":
        await top.call(Supervisor.terminate_child, name)

    assert top.alive
    await stop(top)


@pytest.mark.parametrize("auto", [ANY, ALL])
@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_a_stop_by_a_strategy_causes_no_shutdown(
    stage: Stage, nursery: trio.Nursery, strategy: Strategy, auto: AutoShutdown
) -> None:
    """OTP: significant_bystander."""
    top = await supervise(nursery, family(stage, TEMPORARY, auto, strategy))

    await leave("b")

    assert alive("c") is None
    assert top.alive
    await stop(top)


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


async def test_a_significant_sub_supervisor_shuts_down_its_parent(
    stage: Stage, nursery: trio.Nursery
) -> None:
    """OTP: significant_escalation."""
    sub = SupervisorSpec(
        [stage.child("a", restart=TEMPORARY, significant=True), stage.child("b")],
        auto_shutdown=ANY,
    )
    tree = SupervisorSpec(
        [stage.child("c"), Child(sub, restart=TRANSIENT, significant=True)], auto_shutdown=ANY
    )
    top = await supervise(nursery, tree)
    stage.said()

    await leave("a")

    assert top.reason is SHUTDOWN
    assert stage.said() == "term a crashed; term b shutdown; term c shutdown"


async def test_an_insignificant_sub_supervisor_shuts_down_alone(
    stage: Stage, nursery: trio.Nursery
) -> None:
    sub = SupervisorSpec([stage.child("a", restart=TEMPORARY, significant=True)], auto_shutdown=ANY)
    tree = SupervisorSpec([stage.child("c"), Child(sub, restart=TRANSIENT)], auto_shutdown=ANY)
    top: Ref[Supervisor] = await supervise(nursery, tree)

    await leave("a")

    assert top.alive
    assert [*await top.call(Supervisor.count_children)] == [2, 1, 1, 1]
    await stop(top)
