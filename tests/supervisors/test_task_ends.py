"""The end of tasks: shutdown, kill, crash without an awaiter (Elixir: task/supervisor_test).

A docstring names the matching case of Elixir's test or documentation.
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
from okibi.actors.names import name_table
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
from tests.support.task_supervisor import (
    TASKS,
    double,
    fail,
    start_task,
    task_supervisor,
    warnings_in,
)

# -- stop, shutdown, kill


async def test_shutdown_stops_the_task_and_waits(autojump_clock: MockClock) -> None:
    """shutdown/2: returns nil for one that ends since it was asked to"""
    async with task_supervisor():
        task = await start_task(trio.sleep_forever)

        assert await task.shutdown() is None
        assert task.ref.reason is SHUTDOWN
        with pytest.raises(ActorExited):
            await task.result()


async def test_shutdown_returns_an_outcome_reached_anyway() -> None:
    """shutdown/2: returns the reply if there is one"""

    async def stubborn() -> str:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "done"

    async with task_supervisor():
        good, bad, late = (
            await start_task(double, 4),
            await start_task(fail, 4),
            await start_task(stubborn),
        )
        await wait_all_tasks_blocked()

        expected = ((good, "Value(8)"), (bad, "Error(Boom(4))"), (late, "Value('done')"))
        for task, outcome in expected:
            assert repr(await task.shutdown()) == outcome


async def test_shutdown_returns_another_actors_kill() -> None:
    """shutdown/2: returns {:exit, :killed} for one that was killed before, nil for one shut down"""
    async with task_supervisor() as tasks:
        killed, ended = await start_task(trio.sleep_forever), await start_task(trio.sleep_forever)
        own = await start_task(trio.sleep_forever)
        killed.ref.kill()
        own.kill()
        await tasks.call(TaskSupervisor.terminate_child, ended.ref)
        for task in (killed, own):
            await task.ref.wait()

        outcome = await killed.shutdown()

        assert isinstance(outcome, Error)
        assert isinstance(outcome.error, ActorExited)
        assert outcome.error.reason is KILLED
        assert await own.shutdown() is None
        assert await ended.shutdown() is None


async def test_a_task_is_killed_after_its_grace(
    autojump_clock: MockClock,
) -> None:
    """shutdown/2 with a time-out; custom shutdown of the supervisor"""

    async def slow() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(4)
        await trio.sleep_forever()

    async with task_supervisor(shutdown=2) as tasks:
        task = await start_task(slow)
        assert (await tasks.call(TaskSupervisor.get_childspec, task.ref)).shutdown == 2

        assert await task.shutdown(1) is None
        assert task.ref.reason is KILLED
        assert trio.current_time() == pytest.approx(4)


async def test_result_raises_killed_without_a_log(caplog: pytest.LogCaptureFixture) -> None:
    """shutdown/2: brutal_kill"""
    async with task_supervisor(shutdown=BRUTAL_KILL):
        task = await start_task(trio.sleep_forever)
        task.kill()

        with pytest.raises(ActorExited) as raised:
            await task.result()

        assert raised.value.reason is KILLED
        held = await start_task(trio.sleep_forever)
        held.kill()
        await held.ref.wait()
        del held, task
    assert warnings_in(caplog) == []


@pytest.mark.parametrize("kill", [True, False])
async def test_awaiters_resume_immediately_when_the_supervisor_ends(
    nursery: trio.Nursery, autojump_clock: MockClock, kill: bool
) -> None:
    raised: list[ActorExited] = []

    async def wait(task: Task[None]) -> None:
        try:
            await task.result()
        except ActorExited as exited:
            raised.append(exited)

    tasks = await supervise(nursery, TaskSupervisorSpec(), name=TASKS)
    for _ in range(3):
        nursery.start_soon(wait, await start_task(trio.sleep_forever))
    await wait_all_tasks_blocked()

    if kill:
        tasks.kill()
    else:
        tasks.stop()
    await wait_all_tasks_blocked()

    assert [exited.reason for exited in raised] == [KILLED if kill else SHUTDOWN] * 3
    assert trio.current_time() == 0
    assert tasks.reason is not None
    assert name_table() == {}


async def test_the_stop_report_lists_tasks(autojump_clock: MockClock) -> None:
    async with task_supervisor() as tasks:
        await start_task(trio.sleep_forever)
        await stop(tasks)

        report = stop_report(tasks)
        assert report is not None
        assert [stopped.path for stopped in report.children] == ["/tasks/sleep_forever-1"]


@pytest.mark.parametrize("verb", ["stop", "kill", "shutdown"])
async def test_stopping_a_task_from_another_trio_run_is_refused(
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
    async with task_supervisor():
        task = await start_task(waits)
        await wait_all_tasks_blocked()

        with pytest.raises(RuntimeError, match="is impossible from another thread or"):
            await trio.to_thread.run_sync(trio.run, other_run)

        go.set()
        assert await task.result() == "done"


# -- crashes without an awaiter


async def test_the_crash_of_a_cast_task_is_logged_with_its_caller(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """start_child/3: fire and forget"""

    class Boss(Server):
        async def begin(self) -> None:
            await TASKS.cast(TaskSupervisor.start_task, fail, 4)

    boss = await start(nursery, Boss, path="/boss")
    async with task_supervisor():
        await boss.call(Boss.begin)
        await wait_all_tasks_blocked()

        [text] = warnings_in(caplog)
        assert "/tasks/fail-1" in text
        assert "crashed (Boom: 4)" in text
        assert "fail(" in text
        assert "/boss" in text
    await stop(boss)


async def test_a_crash_is_logged_when_the_last_handle_is_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with task_supervisor():
        task = await start_task(fail, 4)
        await wait_all_tasks_blocked()
        assert warnings_in(caplog) == []

        del task

        [text] = warnings_in(caplog)
        assert text == (
            "/tasks/fail-1 ended: crashed (Boom: 4); the outcome was never awaited (ran fail())"
        )


CURE = "run blocking code with trio.to_thread.run_sync"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            len,
            f"a task must be an async function: len returned no awaitable; {CURE}",
        ),
        (
            Boom,
            f"a task must be an async function: Boom returned no awaitable; {CURE}",
        ),
        ("no function", "a task must be an async function, got str[11]"),
    ],
)
async def test_a_function_that_is_not_async_is_refused(function: Any, message: str) -> None:
    async with task_supervisor():
        with pytest.raises(TypeError) as refused:
            await run_task(TASKS, function, "an argument")

        assert str(refused.value) == message
        assert await run_task(TASKS, double, 2) == 4


async def test_run_task_refuses_a_function_as_first_argument() -> None:
    misplaced: Any = double

    with pytest.raises(TypeError) as refused:
        await run_task(misplaced, misplaced, 2)

    assert str(refused.value) == (
        "run_task(tasks, function, ...): tasks must be the Ref or Name of a TaskSupervisor, "
        "got function"
    )
