"""A child that somebody has asked to end before its supervisor does, and given longer."""

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
    """Takes a thousand seconds to clean up."""

    async def terminate(self, reason: ExitReason) -> None:
        await trio.sleep(1000)


SLOW = Name("slow", Slow)


async def asked(ref: Ref[Slow] | Ref[Supervisor] | None, grace: float) -> None:
    assert ref is not None
    ref.stop(grace=grace)
    await wait_all_tasks_blocked()


@pytest.mark.parametrize("grace", [600.0, math.inf])
async def test_a_child_has_the_seconds_of_its_spec_whatever_others_have_given_it(
    nursery: trio.Nursery, autojump_clock: MockClock, grace: float
) -> None:
    """OTP: each `exit(Pid, shutdown)` of a supervisor is followed by a kill in time"""
    top = await supervise(nursery, SupervisorSpec([Child(Slow, name=SLOW, shutdown=2)]))
    slow = SLOW.whereis()
    assert slow is not None
    await asked(slow, grace)

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
async def test_a_tree_stops_in_its_own_time_whatever_others_have_given_a_child(
    nursery: trio.Nursery, autojump_clock: MockClock, child: Child[Slow], seconds: float
) -> None:
    top = await supervise(nursery, SupervisorSpec([child]))
    await asked(SLOW.whereis(), 600)

    await stop(top)

    assert trio.current_time() == seconds
    report = stop_report(top)
    assert report is not None
    assert [stopped.forced for stopped in report.children] == [seconds > 0]
