"""The outcome of a monitored task: exactly one Result message; the outcome counts as taken."""

import gc
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import ActorExited, Name, Ref, Result, Server, start, stop
from okibi.supervisors import Task, TaskSupervisor, TaskSupervisorSpec, supervise
from tests.garbage import no_collector

TASKS = Name("tasks", TaskSupervisor)


async def divide(by: int) -> float:
    await trio.sleep(1)
    return 1 / by


async def leave() -> None:
    raise SystemExit(3)


@attrs.define(eq=False)
class Boss(Server):
    """Starts tasks, monitors them, and collects their Results."""

    results: list[Result] = attrs.Factory(list)
    tasks: list[Task[Any]] = attrs.Factory(list)

    async def begin(self, function: Callable[..., Awaitable[object]], *args: int) -> Task[Any]:
        task = await TASKS.call(TaskSupervisor.start_task, function, *args)
        self.monitor(task)
        return task

    async def handle_info(self, message: object) -> None:
        assert isinstance(message, Result)
        self.results.append(message)


@pytest.fixture
async def boss(nursery: trio.Nursery) -> Boss:
    """The actor object itself, so that a test can read the fields."""
    await supervise(nursery, TaskSupervisorSpec(), name=TASKS)
    made = Boss()
    await start(nursery, lambda: made)
    return made


async def end(boss: Boss) -> None:
    await stop(boss.ref)
    tasks = TASKS.whereis()
    assert tasks is not None
    await stop(tasks)


async def test_a_monitored_task_sends_its_outcome_as_a_result(
    boss: Boss, autojump_clock: MockClock
) -> None:
    tasks = [await boss.ref.call(Boss.begin, divide, by) for by in (4, 0)]
    tasks.append(await boss.ref.call(Boss.begin, leave))

    await trio.sleep(2)

    found = {each.source: each for each in boss.results}
    good, bad, left = [found[task] for task in tasks]
    assert (good.value, good.error) == (0.25, None)
    assert isinstance(bad.error, ZeroDivisionError)
    assert isinstance(left.error, ActorExited)
    assert len(boss.results) == 3
    assert not boss._process.watchers
    await end(boss)


@pytest.mark.parametrize("end_it", ["stop", "kill"])
async def test_a_stopped_task_sends_actor_exited(boss: Boss, end_it: str) -> None:
    task = await boss.ref.call(Boss.begin, trio.sleep_forever)

    task.stop() if end_it == "stop" else task.kill()
    await wait_all_tasks_blocked()

    assert [type(each.error) for each in boss.results] == [ActorExited]
    await end(boss)


@pytest.mark.usefixtures(no_collector.__name__)
async def test_a_crash_delivered_as_a_result_is_not_logged(
    boss: Boss, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    await boss.ref.call(Boss.begin, divide, 0)
    await trio.sleep(2)
    boss.results.clear()
    gc.collect()

    assert not caplog.records
    await end(boss)


@pytest.mark.usefixtures(no_collector.__name__)
async def test_a_crash_after_the_watchers_exit_is_logged(
    boss: Boss,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await boss.ref.call(Boss.begin, divide, 0)
    await stop(boss.ref)
    await trio.sleep(2)
    gc.collect()

    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    tasks: Ref[TaskSupervisor] | None = TASKS.whereis()
    assert tasks is not None
    await stop(tasks)
