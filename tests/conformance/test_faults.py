"""Faults on which other actor libraries hang, lose messages or hide errors."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    SHUTDOWN,
    ActorExited,
    CallCycle,
    MailboxFull,
    MailboxPolicy,
    Name,
    Server,
    StartError,
    WhenFull,
    stop,
)
from okibi.actors.names import name_table
from okibi.supervisors import Child, SupervisorSpec, stop_report, supervise
from tests.limits import HANG
from tests.support.child_stage import BOOM, Boom, Stage, leave


@attrs.define(eq=False)
class Desk(Server):
    """Answers after a delay, and keeps the words it was asked."""

    asked: list[str] = attrs.Factory(list)

    async def ask(self, word: str, seconds: float = 0.0) -> str:
        self.asked.append(word)
        await trio.sleep(seconds)
        return word

    async def fail(self) -> None:
        raise Boom("handling")

    async def cast_to_oneself(self, word: str) -> None:
        await DESK.cast(Desk.ask, word)
        self.asked.append(f"{word} was sent")

    async def cast_to_oneself_twice(self) -> None:
        await DESK.cast(Desk.ask, "first")
        await DESK.cast(Desk.ask, "second")

    async def all(self) -> list[str]:
        return self.asked


class NarrowDesk(Desk):
    mailbox = MailboxPolicy(1, WhenFull.BLOCK)


DESK = Name("desk", Desk)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_a_call_fails_at_once_when_the_server_crashes(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, SupervisorSpec([Child(Desk, name=DESK)]))

    with pytest.raises(ActorExited) as failed:
        await DESK.call(Desk.fail)

    assert isinstance(failed.value.__cause__, Boom)
    assert trio.current_time() == 0
    await wait_all_tasks_blocked()
    assert await DESK.call(Desk.ask, "again") == "again"
    await stop(top)


async def test_queued_calls_fail_when_the_server_crashes(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def ask() -> None:
        with pytest.raises(ActorExited):
            await DESK.call(Desk.ask, "behind")
        failed.append("behind")

    failed: list[str] = []
    top = await supervise(nursery, SupervisorSpec([Child(Desk, name=DESK)]))
    DESK.cast_nowait(Desk.fail)

    async with trio.open_nursery() as askers:
        askers.start_soon(ask)
        askers.start_soon(ask)

    assert failed == ["behind", "behind"]
    await stop(top)


async def test_a_reply_after_the_callers_timeout_is_dropped(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, SupervisorSpec([Child(Desk, name=DESK)]))
    with pytest.raises(trio.TooSlowError), trio.fail_after(1):
        await DESK.call(Desk.ask, "late", 5)

    assert await DESK.call(Desk.ask, "next") == "next"

    desk = DESK.whereis()
    assert desk is not None
    assert desk.process().incarnation == 1
    await stop(top)


async def test_the_starter_gets_an_error_in_init_and_nothing_is_left(
    stage: Stage, nursery: trio.Nursery
) -> None:
    stage.refused = {"b1"}

    with pytest.raises(StartError, match="/supervisor/b did not start") as failed:
        await supervise(nursery, stage.tree("ab"))

    assert isinstance(failed.value.reason.error, StartError)
    assert isinstance(failed.value.reason.error.reason.error, Boom)
    assert stage.said() == "start a; fail b; term a shutdown"
    assert name_table() == {}
    assert not nursery.child_tasks


async def test_a_cast_to_oneself_is_handled_after_the_current_message(
    nursery: trio.Nursery,
) -> None:
    top = await supervise(nursery, SupervisorSpec([Child(Desk, name=DESK)]))

    await DESK.call(Desk.cast_to_oneself, "me")

    assert await DESK.call(Desk.all) == ["me was sent", "me"]
    await stop(top)


async def test_a_cast_to_oneself_with_a_full_mailbox_is_an_error(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    top = await supervise(nursery, SupervisorSpec([Child(NarrowDesk, name=DESK)]))

    with trio.fail_after(60), pytest.raises(ActorExited) as failed:
        await DESK.call(Desk.cast_to_oneself_twice)

    assert isinstance(failed.value.__cause__, MailboxFull | CallCycle)
    await stop(top)


async def test_a_stopping_supervisor_cancels_a_child_in_init(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def hang_in_second_init() -> None:
        if stage.starts["b"] == 2:
            await trio.sleep_forever()

    children = [stage.child("a"), stage.child("b", init=hang_in_second_init)]
    top = await supervise(nursery, SupervisorSpec(children))
    await leave("b")
    stage.said()

    assert await stop(top) is SHUTDOWN
    assert stage.said() == "term a shutdown"
    assert trio.current_time() == 0
    assert name_table() == {}


async def test_the_report_shows_the_line_of_a_child_that_does_not_end(
    stage: Stage, nursery: trio.Nursery, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def sleep_shielded() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(100)

    children = [
        stage.child("a"),
        stage.child("b", cleanup=sleep_shielded, shutdown=2),
        stage.child("c"),
    ]
    top = await supervise(nursery, SupervisorSpec(children))
    stage.said()

    await stop(top)

    assert stage.said() == "term c shutdown; term b shutdown; done b; term a shutdown"
    assert trio.current_time() == pytest.approx(100)
    assert "/supervisor/b has not ended" in caplog.text
    assert "test_faults.py" in caplog.text
    report = stop_report(top)
    assert report is not None
    assert [child.path for child in report.children if child.line] == ["/supervisor/b"]


async def test_a_crash_in_terminate_is_logged_and_blocks_nothing(
    stage: Stage, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash() -> None:
        raise ValueError("cleaning up")

    children = [stage.child("a"), stage.child("b", cleanup=crash)]
    top = await supervise(nursery, SupervisorSpec(children))
    stage.said()

    await leave("b", BOOM)
    assert stage.said() == "term b crashed; start b"

    assert await stop(top) is SHUTDOWN
    assert stage.said() == "term b shutdown; term a shutdown"
    assert caplog.text.count("ValueError: cleaning up") >= 2


async def test_an_exception_during_cancellation_is_a_crash(
    stage: Stage, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    class CrashesWhenCancelled(Server):
        async def handle_info(self, message: object) -> None:
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                raise ValueError("while cancelled") from None

    name = Name("crasher", CrashesWhenCancelled)
    top = await supervise(
        nursery, SupervisorSpec([stage.child("a"), Child(CrashesWhenCancelled, name=name)])
    )
    ref = name.whereis()
    assert ref is not None
    await ref.send("work")
    await wait_all_tasks_blocked()

    assert await stop(top) is SHUTDOWN

    assert ref.reason is not None
    assert isinstance(ref.reason.error, ValueError)
    assert "ValueError: while cancelled" in caplog.text
    assert stage.said() == "start a; term a shutdown"


async def test_outer_cancellation_stops_the_tree_in_order_despite_a_crash(
    stage: Stage,
) -> None:
    async def crash() -> None:
        await trio.lowlevel.checkpoint()
        raise ValueError("while cancelled")

    async with trio.open_nursery() as nursery:
        children = [stage.child("a"), stage.child("b", cleanup=crash), stage.child("c")]
        await supervise(nursery, SupervisorSpec(children))
        stage.said()
        nursery.cancel_scope.cancel()

    assert stage.said() == "term c shutdown; term b shutdown; term a shutdown"


TREE = """
    import signal, trio
    from okibi.actors import Server
    from okibi.supervisors import Child, SupervisorSpec, supervise

    # A shell starts background processes with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    class Leaf(Server):
        async def terminate(self, reason):
            await trio.sleep(0.01)
            print("stop", self.path, reason, flush=True)

    async def main():
        below = SupervisorSpec([Child(Leaf, id="b"), Child(Leaf, id="c")])
        tree = SupervisorSpec([Child(Leaf, id="a"), Child(below, id="sub"), Child(Leaf, id="d")])
        async with trio.open_nursery() as nursery:
            await supervise(nursery, tree, path="/top")
            print("ready", flush=True)

    try:
        trio.run(main)
    except* KeyboardInterrupt:
        raise SystemExit(130)
"""


def test_a_keyboard_interrupt_stops_the_tree_in_order() -> None:
    """Send a real SIGINT to a new process."""
    command = [sys.executable, "-c", textwrap.dedent(TREE)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        try:
            stdout, stderr = child.communicate(timeout=HANG)
        finally:
            child.kill()

    stopped = [f"stop /top/{path} shutdown" for path in ("d", "sub/c", "sub/b", "a")]
    assert stdout.splitlines() == stopped
    assert stderr == ""
    assert child.returncode == 130
