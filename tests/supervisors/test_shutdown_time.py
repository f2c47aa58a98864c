"""Children that got a stop request with a longer grace before the supervisor stops them."""

import math

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import KILLED, ExitReason, Name, Ref, Server, stop
from okibi.supervisors import (
    BRUTAL_KILL,
    Child,
    Supervisor,
    SupervisorSpec,
    stop_report,
    supervise,
)


class Slow(Server):
    """Takes 1000 s to clean up."""

    async def terminate(self, reason: ExitReason) -> None:
        await trio.sleep(1000)


SLOW = Name("slow", Slow)


async def request_stop(ref: Ref[Slow] | Ref[Supervisor] | None, grace: float) -> None:
    assert ref is not None
    ref.stop(grace=grace)
    await wait_all_tasks_blocked()


@pytest.mark.parametrize("grace", [600.0, math.inf])
async def test_terminate_child_uses_the_shutdown_of_the_spec(
    nursery: trio.Nursery, autojump_clock: MockClock, grace: float
) -> None:
    """OTP: a supervisor follows each `exit(Pid, shutdown)` with a kill after the shutdown time."""
    top = await supervise(nursery, SupervisorSpec([Child(Slow, name=SLOW, shutdown=2)]))
    slow = SLOW.whereis()
    assert slow is not None
    await request_stop(slow, grace)

    await top.call(Supervisor.terminate_child, "slow")

    assert (slow.reason, trio.current_time()) == (KILLED, 2)
    await stop(top)


@pytest.mark.parametrize(
    ("child", "seconds"),
    [
        (Child(Slow, name=SLOW, shutdown=2), 2),
        (Child(Slow, name=SLOW, shutdown=BRUTAL_KILL), 0),
    ],
)
async def test_stopping_a_tree_uses_the_shutdown_of_the_spec(
    nursery: trio.Nursery, autojump_clock: MockClock, child: Child[Slow], seconds: float
) -> None:
    top = await supervise(nursery, SupervisorSpec([child]))
    await request_stop(SLOW.whereis(), 600)

    await stop(top)

    assert trio.current_time() == seconds
    report = stop_report(top)
    assert report is not None
    assert [stopped.forced for stopped in report.children] == [seconds > 0]
