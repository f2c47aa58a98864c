"""Back-off: delayed restarts, and the supervisor during the delay."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import SHUTDOWN, Name, NoProcess, Server, stop
from okibi.supervisors import (
    INFINITY,
    Backoff,
    Child,
    ChildState,
    DynamicSupervisorSpec,
    SpecError,
    Strategy,
    Supervisor,
    SupervisorSpec,
    snapshot,
    supervise,
)
from tests.support.child_stage import Player, Stage, alive, leave, player

BACKOFF = Backoff(1.0, 4.0)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_the_delay_resets_after_a_child_has_run_for_a_period(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("a", backoff=BACKOFF))
    for _ in range(3):
        await leave("a")
        await trio.sleep(0.999)
        assert alive("a") is None
        await trio.sleep(5.1)
        assert alive("a") is not None
    await stop(top)


async def test_a_slow_failed_start_is_no_running_time(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    begun: list[float] = []

    async def init() -> None:
        begun.append(trio.current_time())
        if len(begun) > 1:
            await trio.sleep(6)
            if len(begun) < 5:
                raise OSError("no database")

    spec = SupervisorSpec([stage.child("a", init=init)], intensity=10, backoff=BACKOFF)
    top = await supervise(nursery, spec)

    await leave("a")
    await trio.sleep(60)

    # Each start takes 6 s, after delays of 1, 2, 4 and 4 s.
    assert begun == pytest.approx([0, 1, 9, 19, 29])
    assert alive("a") is not None
    await stop(top)


async def test_a_slow_successful_start_is_no_running_time(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    begun: list[float] = []

    async def init() -> None:
        begun.append(trio.current_time())
        await trio.sleep(6 if len(begun) > 1 else 0)

    spec = SupervisorSpec([stage.child("a", init=init)], intensity=10, backoff=BACKOFF)
    top = await supervise(nursery, spec)

    await leave("a")
    await trio.sleep(8)
    await leave("a")
    await trio.sleep(9)
    await leave("a")
    await trio.sleep(20)

    # Each run takes 1 s, and each delay is twice the previous delay.
    assert begun == pytest.approx([0, 1, 10, 21])
    await stop(top)


async def test_a_child_that_ends_in_its_first_step_keeps_the_longest_delay(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    begun: list[float] = []

    class Short(Server):
        async def run(self) -> None:
            begun.append(trio.current_time())
            raise OSError("no database")

    # The longest delay is longer than the period of 5 s.
    spec = SupervisorSpec([Child(Short)], intensity=INFINITY, backoff=Backoff(2.0, 8.0))
    top = await supervise(nursery, spec)

    await trio.sleep(40)

    assert begun == pytest.approx([0, 2, 6, 14, 22, 30, 38])
    await stop(top)


@pytest.mark.parametrize(
    ("strategy", "at_once", "later"),
    [
        (Strategy.ONE_FOR_ONE, "term b crashed", "start b"),
        (Strategy.REST_FOR_ONE, "term b crashed; term c shutdown", "start b; start c"),
        (
            Strategy.ONE_FOR_ALL,
            "term b crashed; term c shutdown; term a shutdown",
            "start a; start b; start c",
        ),
    ],
)
async def test_siblings_stop_at_once_and_start_after_the_delay(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    strategy: Strategy,
    at_once: str,
    later: str,
) -> None:
    top = await supervise(nursery, stage.tree("abc", strategy, backoff=BACKOFF))
    stage.said()

    await leave("b")

    assert stage.said() == at_once
    await trio.sleep(0.999)
    assert stage.said() == ""
    await trio.sleep(0.002)
    assert stage.said() == later
    await stop(top)


async def test_each_child_has_its_own_delay(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("ab", intensity=10, backoff=BACKOFF))
    await leave("a")
    await trio.sleep(1.5)
    await leave("a")

    await leave("b")
    await trio.sleep(1.1)

    assert (alive("a"), alive("b") is not None) == (None, True)
    await trio.sleep(1)
    assert alive("a") is not None
    await stop(top)


async def test_a_supervisor_handles_requests_during_a_delay(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("ab", backoff=Backoff(100, 100)))
    await leave("a")

    state = (await top.call(Supervisor.which_child, "a")).state

    assert state is ChildState.RESTARTING
    assert await top.call(Supervisor.start_child, stage.child("c")) == alive("c")
    assert trio.current_time() < 1
    await stop(top)


async def test_a_stop_does_not_wait_for_a_delayed_restart(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("ab", backoff=Backoff(100, 100)))
    await leave("a")

    assert await stop(top) is SHUTDOWN

    assert trio.current_time() < 1
    assert stage.starts == {"a": 1, "b": 1}


async def test_a_delayed_restart_that_was_called_off_never_happens(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("a", backoff=BACKOFF))
    await leave("a")
    await top.call(Supervisor.terminate_child, "a")
    await top.call(Supervisor.restart_child, "a")

    await leave("a")
    await trio.sleep(1.5)

    # The message of the first delay has arrived and was ignored.
    assert alive("a") is None
    await trio.sleep(1)
    assert stage.starts == {"a": 3}
    await stop(top)


async def test_a_siblings_restart_includes_a_delayed_restart(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """rest_for_one: b must not start before a."""
    tree = stage.tree("abc", Strategy.REST_FOR_ONE, backoff=Backoff(2, 2))
    top = await supervise(nursery, tree)
    await leave("b")
    await trio.sleep(1)
    stage.said()

    await leave("a")
    await trio.sleep(1.5)

    assert stage.said() == "term a crashed"
    await trio.sleep(1)
    assert stage.said() == "start a; start b; start c"
    await stop(top)


async def test_a_delayed_restart_counts_from_the_end_of_the_child(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """Restarts 8 s apart never exceed an intensity of 1 in 5 s, whatever their delay."""
    spec = stage.tree("ab", intensity=1, backoff=Backoff(3, 3))
    sub = Child(spec, id="sub")
    top = await supervise(nursery, SupervisorSpec([sub]))
    for _ in range(4):
        await leave("a")
        await trio.sleep(8)

    assert stage.starts == {"a": 5, "b": 1}
    await leave("a")
    await leave("b")
    assert stage.starts["b"] == 2
    await stop(top)


# -- a supervisor that never gives up

PATIENT: dict[str, Any] = {
    "intensity": INFINITY,
    "backoff": Backoff(1.0, 30.0, 3.0, immediate=3),
}


async def test_a_supervisor_with_infinite_intensity_never_gives_up(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    begun: list[float] = []

    async def init() -> None:
        begun.append(trio.current_time())

    stage.refused = {f"a{n}" for n in range(2, 100)}
    top = await supervise(nursery, SupervisorSpec([stage.child("a", init=init)], **PATIENT))

    await leave("a")
    await trio.sleep(4000)

    assert begun[:9] == pytest.approx([0, 0, 0, 0, 1, 4, 13, 40, 70])
    assert len(begun) == 100
    assert alive("a") is not None
    await stop(top)


@pytest.mark.parametrize("spec", [SupervisorSpec, DynamicSupervisorSpec])
def test_infinite_intensity_needs_a_backoff(spec: Callable[..., object]) -> None:
    with pytest.raises(
        SpecError, match=r"^intensity must be an integer >= 0 if there is no backoff"
    ):
        spec(intensity=INFINITY)
    with pytest.raises(SpecError, match=r"^Backoff: immediate must be an integer >= 0, got -1"):
        Backoff(1, 1, immediate=-1)


async def test_callers_learn_at_once_what_waits_why_and_for_how_long(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("ab", Strategy.ONE_FOR_ALL, **PATIENT))
    for _ in range(4):
        await leave("a")
    await trio.sleep(0.25)

    # Not the text of the error: another event has caused it.
    why = "because it has ended 4 times in a row: crashed"
    for name in "ab":
        with pytest.raises(NoProcess) as error:
            player(name).process()
        assert str(error.value) == (
            f"no actor is registered as {name!r}: /supervisor/a starts again in 0.75 s, {why}"
        )
    with pytest.raises(NoProcess, match=r"starts again in 0\.75 s"):
        await player("b").waiting(0.5).send("a word")
    assert trio.current_time() == 0.25
    await player("b").waiting(1).send("a word")
    assert trio.current_time() == 1.0
    await stop(top)


async def test_a_delay_that_begins_during_a_wait_ends_the_wait_if_longer(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.refused = {f"a{n}" for n in range(2, 9)}
    top = await supervise(nursery, stage.tree("a", **PATIENT))
    await leave("a")

    with pytest.raises(NoProcess, match=r"'a': /supervisor/a starts again in 9 s"):
        await player("a").waiting(8).send("a word")

    assert trio.current_time() == 4.0
    await stop(top)


async def test_callers_of_a_sibling_learn_why_a_failed_restart_waits(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    stage.refused = {f"a{n}" for n in range(2, 9)}
    top = await supervise(nursery, stage.tree("ab", Strategy.REST_FOR_ONE, **PATIENT))
    await leave("a")
    await trio.sleep(4)

    why = r"because it has ended 6 times in a row: Boom$"
    with pytest.raises(NoProcess, match=f"'b': /supervisor/a starts again in 9 s, {why}"):
        await player("b").waiting(2).send("a word")

    assert trio.current_time() == 4.0
    await stop(top)


async def test_a_repeated_crash_is_one_line_and_so_is_the_recovery(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("WARNING")
    stage.refused = {"a2", "a3", "a4", "a5"}
    top = await supervise(nursery, stage.tree("a", **PATIENT))

    await leave("a")
    await trio.sleep(60)

    assert [
        record.getMessage().partition("\n")[0].replace("ExitReason", "Exit...")
        for record in caplog.records
    ] == [
        "/supervisor/a (incarnation 1) ended: crashed (Boom: boom), while handling leave(Exit...)",
        "/supervisor/a (incarnation 2) ended: crashed (Boom: a)",
        "/supervisor/a did not start: crashed (Boom: a)",
        "/supervisor/a has ended 3 times in a row: crashed (Boom: a); its next start is now",
        "/supervisor/a has ended 4 times in a row: crashed (Boom: a); its next start is in 1 s",
        "/supervisor/a has ended 5 times in a row: crashed (Boom: a); its next start is in 3 s",
        "/supervisor/a runs again, 9 s after its first end",
    ]
    await leave("a")
    await trio.sleep(10)
    assert "incarnation 6" in caplog.records[7].getMessage()
    assert len(caplog.records) == 8
    await stop(top)


async def test_a_crash_at_another_line_or_in_another_row_is_reported_in_full(
    nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Wrong(Server):
        async def divide(self) -> None:
            raise ZeroDivisionError

        async def look_up(self) -> None:
            raise KeyError

    wrong = Name("wrong", Wrong)
    top = await supervise(nursery, SupervisorSpec([Child(Wrong, name=wrong)], **PATIENT))

    for method in (Wrong.divide, Wrong.divide, Wrong.look_up, Wrong.divide):
        await wrong.waiting(1).cast(method)
        await wait_all_tasks_blocked()
    await trio.sleep(7)  # the row ends
    await wrong.cast(Wrong.divide)
    await wait_all_tasks_blocked()

    full = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage().partition(",")[0] for record in full] == [
        "/supervisor/wrong (incarnation 1) ended: crashed (ZeroDivisionError)",
        "/supervisor/wrong (incarnation 3) ended: crashed (KeyError)",
        "/supervisor/wrong (incarnation 4) ended: crashed (ZeroDivisionError)",
        "/supervisor/wrong (incarnation 5) ended: crashed (ZeroDivisionError)",
    ]
    await stop(top)


async def test_a_slow_init_that_fails_again_is_one_line(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage.refused = {f"a{n}" for n in range(2, 9)}
    slow = stage.child("a", init=partial(trio.sleep, 6))
    top = await supervise(nursery, SupervisorSpec([slow], **PATIENT))
    await leave("a")
    await trio.sleep(40)

    full = [record for record in caplog.records if record.exc_info]
    assert len(full) == 2
    assert caplog.records[-1].getMessage().startswith("/supervisor/a has ended 6 times in a row")
    await stop(top)


async def test_a_row_ends_with_the_run_and_not_when_the_supervisor_has_time(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """b's init takes 6 s. Meanwhile a crashes, after a run of 1 s, and its supervisor is busy."""
    caplog.set_level("WARNING")
    slow = stage.child("b", init=partial(trio.sleep, 6))
    top = await supervise(nursery, SupervisorSpec([stage.child("a"), slow], **PATIENT))
    await leave("a")
    await trio.sleep(0.5)
    await leave("b")
    await trio.sleep(0.5)
    await leave("a")
    await trio.sleep(6)
    for _ in range(2):
        await leave("a")

    assert "/supervisor/a has ended 4 times in a row" in caplog.records[-1].getMessage()
    await stop(top)


async def test_a_child_that_has_ended_does_not_run_again(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("WARNING")
    slow = stage.child("b", init=partial(trio.sleep, 6))
    top = await supervise(nursery, SupervisorSpec([stage.child("a"), slow], **PATIENT))
    for _ in range(4):
        await leave("a")
    await trio.sleep(5)
    await leave("b")
    await trio.sleep(2)
    await leave("a")  # after a run of 6 s, of which the supervisor has not been told
    await trio.sleep(5)

    assert "runs again" not in caplog.text
    await stop(top)


async def test_a_siblings_restart_does_not_continue_a_row_that_has_ended(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    top = await supervise(nursery, stage.tree("ab", Strategy.REST_FOR_ONE, **PATIENT))
    for _ in range(3):
        await leave("b")
    await trio.sleep(36000)
    await leave("a")
    caplog.clear()

    await leave("b")

    (record,) = caplog.records
    assert record.exc_info
    await stop(top)


async def test_a_repeated_crash_of_a_supervisor_that_is_ending_is_reported(
    stage: Stage,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    slow = stage.child("b", cleanup=partial(trio.sleep, 1))
    top = await supervise(nursery, SupervisorSpec([stage.child("a"), slow], **PATIENT))
    player("a").cast_nowait(Player.crash)
    await wait_all_tasks_blocked()
    top.stop()
    await wait_all_tasks_blocked()

    player("a").cast_nowait(Player.crash)
    await wait_all_tasks_blocked()

    assert "(incarnation 2) ended: crashed (Boom: a)" in caplog.text
    await top.wait()


async def test_the_snapshot_shows_a_child_that_waits(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, stage.tree("a", **PATIENT))
    for _ in range(4):
        await leave("a")

    assert str(snapshot(top)).splitlines()[1] == (
        "└─ a, restarting in 1 s, it has ended 4 times in a row: "
        "crashed (Boom: boom), restarted 3 x"
    )
    await stop(top)
