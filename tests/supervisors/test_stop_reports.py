"""Stop reports: durations, kills, and children that do not end."""

import inspect
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from okibi.actors import KILLED, SHUTDOWN, Ref, stop
from okibi.supervisors import (
    BRUTAL_KILL,
    INFINITY,
    Child,
    Stopped,
    StopReport,
    Supervisor,
    SupervisorSpec,
    stop_report,
    supervise,
)
from tests.support.child_stage import Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def shielded(seconds: float) -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep(seconds)


SHIELDED = f"{__file__}:{inspect.getsourcelines(shielded)[1] + 2}"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "okibi.supervisors"]


def report(top: Ref[Supervisor]) -> StopReport:
    found = stop_report(top)
    assert found is not None
    return found


async def test_a_stop_without_problems_is_reported_but_not_logged(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = stage.child("b", cleanup=partial(trio.sleep, 3))
    top = await supervise(nursery, SupervisorSpec([stage.child("a"), slow]), path="/top")
    assert stop_report(top) is None

    await stop(top)

    found = report(top)
    assert [child.path for child in found.children] == ["/top/b", "/top/a"]
    assert [child.seconds for child in found.children] == pytest.approx([3, 0])
    assert {child.reason for child in found.children} == {SHUTDOWN}
    assert found.problems() == []
    assert str(found) == "/top stopped 2 of 2 children in 3 s"
    assert warnings(caplog) == []
    await trio.sleep(100)
    assert report(top).seconds == pytest.approx(3)


async def test_a_killed_child_is_reported_and_logged(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = stage.child("a", cleanup=trio.sleep_forever, shutdown=2)
    top = await supervise(nursery, SupervisorSpec([slow, stage.child("b")]), path="/top")

    await stop(top)

    _, child = report(top).children
    assert (child.path, child.reason, child.forced, child.line) == ("/top/a", KILLED, True, "")
    assert warnings(caplog) == [
        "/top stopped 2 of 2 children in 2 s; /top/a was killed 2 s after the stop request"
    ]


async def test_brutal_kill_is_no_problem(
    stage: Stage, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    top = await supervise(nursery, SupervisorSpec([stage.child("a", shutdown=BRUTAL_KILL)]))

    await stop(top)

    [child] = report(top).children
    assert (child.reason, child.forced) == (KILLED, False)
    assert warnings(caplog) == []


async def test_a_child_that_survives_a_kill_is_logged_at_once(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stuck = stage.child("a", cleanup=partial(shielded, 10), shutdown=2)
    top = await supervise(nursery, SupervisorSpec([stuck, stage.child("b")]), path="/top")

    top.stop()
    await trio.sleep(5)

    assert warnings(caplog) == [
        (
            f"/top/a has not ended 0.1 s after a kill: it is at {SHIELDED}; "
            f"the supervisor keeps waiting"
        )
    ]
    assert str(report(top)) == (
        f"/top stopped 1 of 2 children in 5 s; "
        f"/top/a was killed and has not ended: it is at {SHIELDED}"
    )
    await top.wait()
    assert warnings(caplog)[1:] == [
        (
            f"/top stopped 2 of 2 children in 10 s; "
            f"/top/a was killed and ended 10 s after the stop request: it was at {SHIELDED}"
        )
    ]


async def test_a_report_includes_the_reports_of_supervisors_below(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    slow = [stage.child(name, cleanup=partial(trio.sleep, 3), shutdown=INFINITY) for name in "ab"]
    sub = Child(SupervisorSpec(slow), id="sub", shutdown=2)
    top = await supervise(nursery, SupervisorSpec([sub]), path="/top")

    await stop(top)

    [child] = report(top).children
    assert child.inner is not None
    # a got no stop request: its supervisor's grace period was over before.
    assert [below.path for below in child.inner.children] == ["/top/sub/b", "/top/sub/a"]
    assert report(top).problems() == [
        "/top/sub/b was killed 2 s after the stop request",
        "/top/sub/a was killed 0 s after the stop request",
        "/top/sub was killed 2 s after the stop request",
    ]


async def test_an_init_that_survives_its_start_timeout_is_logged(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    top = await supervise(nursery, SupervisorSpec(), path="/top")
    child = stage.child("a", init=partial(shielded, 10), start_timeout=2)

    nursery.start_soon(partial(stop_after, 5, top))
    with pytest.raises(Exception, match="/top is gone"):
        await top.call(Supervisor.start_child, child)
    await top.wait()

    assert warnings(caplog)[0] == (
        f"/top/a has not ended 0.1 s after a kill: it is at {SHIELDED}; "
        f"the supervisor keeps waiting"
    )


async def stop_after(seconds: float, top: Ref[Supervisor]) -> None:
    await trio.sleep(seconds)
    top.stop()


# -- values


def test_a_report_of_5000_levels_lists_the_lowest_child_first() -> None:
    report = StopReport("/0", 1.0, (Stopped("/0/a", 1.0, KILLED, forced=True),))
    for level in range(1, 5000):
        inner = Stopped(f"/{level}", 1.0, KILLED, forced=True, inner=report)
        last = Stopped(f"/{level}/last", 1.0, SHUTDOWN)
        report = StopReport(f"/{level}", 1.0, (inner, last))

    killed = [f"/{level} was killed 1 s after the stop request" for level in range(1, 5000)]
    problems = ["/0/a was killed 1 s after the stop request", *killed]
    assert report.problems() == problems
    assert report.children[0].problems() == problems
    assert str(report) == f"/4999 stopped 2 of 2 children in 1 s; {'; '.join(problems)}"
    assert repr(report) == "StopReport(path='/4999', seconds=1.0, children=<2>)"
    assert len(repr(report.children[0])) < 200
