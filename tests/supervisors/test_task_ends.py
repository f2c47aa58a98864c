"""The end of a task: asked for, suffered, or unheard of (Elixir: task/supervisor_test).

Named by the rule; what Elixir's test or documentation calls it is in the docstring.
"""

from typing import Any

import pytest
import trio
from outcome import Error
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import (
    KILLED,
    SHUTDOWN,
    ActorExited,
    Server,
    start,
    stop,
)
from okibi.actors.names import names
from okibi.supervisors import (
    BRUTAL_KILL,
    Task,
    TaskSupervisor,
    TaskSupervisorSpec,
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

    tasks = await supervise(nursery, TaskSupervisorSpec(), name=TASKS)
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
