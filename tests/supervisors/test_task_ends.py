"""The end of a task: asked for, suffered, or unheard of (Elixir: task/supervisor_test).

Named by the rule; what Elixir's test or documentation calls it is in the docstring.
"""

import types
from collections.abc import Generator
from typing import Any

import pytest
import trio
from outcome import Error
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    KILLED,
    SHUTDOWN,
    ActorExited,
    Exit,
    ExitReason,
    Server,
    shutdown,
    start,
    stop,
)
from okibi.actors.names import names
from okibi.supervisors import (
    BRUTAL_KILL,
    Task,
    Tasks,
    TaskSupervisor,
    run_task,
    stop_report,
    supervise,
)
from tests.support.child_stage import Boom
from tests.support.task_supervisor import TASKS, begin, double, fail, said, some_tasks

# -- the end of a task


async def test_shutdown_ends_a_task_and_waits(autojump_clock: MockClock) -> None:
    """shutdown/2: returns nil for one that ends since it was asked to"""
    async with some_tasks():
        task = await begin(trio.sleep_forever)

        assert await task.shutdown() is None
        assert task.ref.reason is SHUTDOWN
        with pytest.raises(ActorExited):
            await task.result()


async def test_shutdown_gives_an_outcome_that_came_nevertheless() -> None:
    """shutdown/2: returns the reply if there is one"""

    async def stubborn() -> str:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "done"

    async with some_tasks():
        good, bad, late = await begin(double, 4), await begin(fail, 4), await begin(stubborn)
        await wait_all_tasks_blocked()

        for task, told in ((good, "Value(8)"), (bad, "Error(Boom(4))"), (late, "Value('done')")):
            assert repr(await task.shutdown()) == told


async def test_shutdown_tells_of_a_kill_that_was_somebody_else_s() -> None:
    """shutdown/2: returns {:exit, :killed} for one that was killed before, nil for one shut down"""
    async with some_tasks() as tasks:
        killed, ended = await begin(trio.sleep_forever), await begin(trio.sleep_forever)
        own = await begin(trio.sleep_forever)
        killed.ref.kill()
        own.kill()
        await tasks.call(TaskSupervisor.terminate_child, ended.ref)
        for task in (killed, own):
            await task.ref.wait()

        told = await killed.shutdown()

        assert isinstance(told, Error)
        assert isinstance(told.error, ActorExited)
        assert told.error.reason is KILLED
        assert await own.shutdown() is None
        assert await ended.shutdown() is None


async def test_shutdown_tells_of_a_kill_that_was_somebody_else_s_just_before() -> None:
    """exit(pid, :kill) comes before shutdown/2's own signal: {:exit, :killed}"""
    async with some_tasks():
        killed, own = await begin(trio.sleep_forever), await begin(trio.sleep_forever)
        killed.ref.kill()
        own.kill()

        told = await killed.shutdown()

        assert isinstance(told, Error)
        assert isinstance(told.error, ActorExited)
        assert told.error.reason is KILLED
        assert await own.shutdown() is None


async def test_shutdown_tells_of_a_shutdown_that_says_more() -> None:
    """shutdown/2: returns {:exit, {:shutdown, term}}, and nil for :shutdown alone"""

    async def leave(reason: ExitReason) -> None:
        raise Exit(reason)

    async def leave_when_asked() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            await leave(shutdown("late"))

    async with some_tasks():
        alone, early = await begin(leave, SHUTDOWN), await begin(leave, shutdown("early"))
        late, moved = await begin(leave_when_asked), await begin(trio.sleep_forever)
        await wait_all_tasks_blocked()
        moved.ref.stop(shutdown("moved"))

        assert await alone.shutdown() is None
        for task, detail in ((early, "early"), (late, "late"), (moved, "moved")):
            told = await task.shutdown()
            assert isinstance(told, Error)
            assert isinstance(told.error, ActorExited)
            assert told.error.reason == shutdown(detail)


async def test_a_task_that_does_not_end_within_its_grace_is_killed(
    autojump_clock: MockClock,
) -> None:
    """shutdown/2 with a time-out; custom shutdown of the supervisor"""

    async def slow() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(4)
        await trio.sleep_forever()

    async with some_tasks(shutdown=2) as tasks:
        task = await begin(slow)
        assert (await tasks.call(TaskSupervisor.get_childspec, task.ref)).shutdown == 2

        assert await task.shutdown(1) is None
        assert task.ref.reason is KILLED
        assert trio.current_time() == pytest.approx(4)


async def test_a_kill_is_told_as_such_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """shutdown/2: brutal_kill"""
    async with some_tasks(shutdown=BRUTAL_KILL):
        task = await begin(trio.sleep_forever)
        task.kill()

        with pytest.raises(ActorExited) as told:
            await task.result()

        assert told.value.reason is KILLED
        held = await begin(trio.sleep_forever)
        held.kill()
        await held.ref.wait()
        del held, task
    assert said(caplog) == []


async def test_an_exit_out_of_a_nursery_is_told_as_any_other() -> None:
    async def leaves() -> None:
        async with trio.open_nursery():
            raise Exit(shutdown("moved"))

    async with some_tasks():
        task = await begin(leaves)

        with pytest.raises(ActorExited) as gone:
            await task.result()
        assert gone.value.reason == shutdown("moved")
        assert repr(await task.shutdown()) == repr(Error(gone.value))


@pytest.mark.parametrize("kill", [True, False])
async def test_all_awaiters_are_told_at_once_when_the_supervisor_ends(
    nursery: trio.Nursery, autojump_clock: MockClock, kill: bool
) -> None:
    told: list[ActorExited] = []

    async def wait(task: Task[None]) -> None:
        try:
            await task.result()
        except ActorExited as exited:
            told.append(exited)

    tasks = await supervise(nursery, Tasks(), name=TASKS)
    for _ in range(3):
        nursery.start_soon(wait, await begin(trio.sleep_forever))
    await wait_all_tasks_blocked()

    if kill:
        tasks.kill()
    else:
        tasks.stop()
    await wait_all_tasks_blocked()

    assert [exited.reason for exited in told] == [KILLED if kill else SHUTDOWN] * 3
    assert trio.current_time() == 0
    assert tasks.reason is not None
    assert names() == {}


async def test_a_stop_report_tells_of_tasks(autojump_clock: MockClock) -> None:
    async with some_tasks() as tasks:
        await begin(trio.sleep_forever)
        await stop(tasks)

        report = stop_report(tasks)
        assert report is not None
        assert [stopped.path for stopped in report.children] == ["/tasks/sleep_forever-1"]


async def test_shutdown_tells_of_a_kill_when_a_grace_was_over_that_somebody_else_began(
    autojump_clock: MockClock,
) -> None:
    async def deaf() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(deadline=trio.current_time() + 5, shield=True):
                await trio.sleep_forever()
            await trio.sleep_forever()

    async with some_tasks():
        task = await begin(deaf)
        task.ref.stop(grace=1)
        await task.ref.wait()

        reached = await task.shutdown()

        assert isinstance(reached, Error)
        assert isinstance(reached.error, ActorExited)
        assert reached.error.reason == KILLED


@pytest.mark.parametrize("verb", ["stop", "kill", "shutdown"])
async def test_a_task_is_not_ended_from_another_run_of_trio_and_comes_to_no_harm(
    verb: str,
) -> None:
    async def waits() -> str:
        await go.wait()
        return "done"

    async def other_run() -> None:
        given = getattr(task, verb)()
        if given is not None:
            await given

    go = trio.Event()
    async with some_tasks():
        task = await begin(waits)
        await wait_all_tasks_blocked()

        with pytest.raises(RuntimeError, match="outside its run of trio; use"):
            await trio.to_thread.run_sync(trio.run, other_run)

        go.set()
        assert await task.result() == "done"


# -- a crash that nobody awaits


async def test_a_crash_that_nobody_can_await_is_logged_with_path_message_and_caller(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """start_child/3: fire and forget"""

    class Boss(Server):
        async def begin(self) -> None:
            await TASKS.cast(TaskSupervisor.start_task, fail, 4)

    boss = await start(nursery, Boss, path="/boss")
    async with some_tasks():
        await boss.call(Boss.begin)
        await wait_all_tasks_blocked()

        [text] = said(caplog)
        assert "/tasks/fail-1" in text
        assert "crashed (Boom: 4)" in text
        assert "fail(" in text
        assert "/boss" in text
    await stop(boss)


async def test_a_crash_is_logged_when_the_last_who_could_await_it_lets_go(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with some_tasks():
        task = await begin(fail, 4)
        await wait_all_tasks_blocked()
        assert said(caplog) == []

        del task

        [text] = said(caplog)
        assert text.startswith("/tasks/fail-1 ended: crashed (Boom: 4), and nobody took")
        assert text.endswith("it ran fail()")


async def test_a_task_that_is_let_go_while_it_runs_is_logged_when_it_crashes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def later() -> None:
        await go.wait()
        raise Boom

    go = trio.Event()
    async with some_tasks():
        task = await begin(later)
        del task
        assert said(caplog) == []
        go.set()
        await wait_all_tasks_blocked()

        [text] = said(caplog)
        assert "/tasks/later-1" in text


async def test_a_task_that_somebody_else_has_killed_is_logged_if_nobody_asks(
    caplog: pytest.LogCaptureFixture, nursery: trio.Nursery
) -> None:
    class Boss(Server):
        async def begin(self) -> Task[None]:
            return await TASKS.call(TaskSupervisor.start_task, trio.sleep_forever)

    boss = await start(nursery, Boss, path="/boss")
    async with some_tasks():
        task = await boss.call(Boss.begin)
        task.ref.kill()
        await task.ref.wait()
        del task

        [text] = said(caplog)
        assert text == (
            "/tasks/sleep_forever-1 ended: killed, and nobody took its outcome: "
            "it ran sleep_forever() for /boss"
        )
    await stop(boss)


@pytest.mark.parametrize("given", [len, "no function", Boom])
async def test_what_is_no_async_function_is_told_of_by_name(given: Any) -> None:
    async with some_tasks():
        with pytest.raises(
            TypeError, match="a task is an async function: there is nothing to await"
        ):
            await run_task(TASKS, given, "what it takes")

        assert await run_task(TASKS, double, 2) == 4


async def test_who_is_to_run_a_task_comes_first() -> None:
    misplaced: Any = double

    with pytest.raises(TypeError, match="run_task takes a Ref or a Name, then the function"):
        await run_task(misplaced, misplaced, 2)


async def test_a_generator_that_is_marked_as_a_coroutine_is_an_async_function() -> None:
    @types.coroutine
    def doubled(number: int) -> Generator[Any, Any, int]:
        yield from trio.lowlevel.checkpoint().__await__()  # noqa: ASYNC105
        return 2 * number

    async with some_tasks():
        assert await run_task(TASKS, doubled, 2) == 4
