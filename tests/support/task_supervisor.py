"""A TaskSupervisor for a test's block, and functions to run as tasks."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from outcome import Value

from okibi.actors import Name, Ref, stop
from okibi.supervisors import (
    Counts,
    Task,
    TaskStream,
    TaskSupervisor,
    TaskSupervisorSpec,
    supervise,
)
from tests.support.child_stage import Boom

TASKS = Name("tasks", TaskSupervisor)


@asynccontextmanager
async def task_supervisor(**flags: Any) -> AsyncIterator[Ref[TaskSupervisor]]:
    async with trio.open_nursery() as nursery:
        tasks = await supervise(nursery, TaskSupervisorSpec(**flags), name=TASKS, path="/tasks")
        yield tasks
        await stop(tasks)


async def double(number: int, *, plus: int = 0) -> int:
    await trio.lowlevel.checkpoint()
    return 2 * number + plus


async def fail(number: int) -> int:
    await trio.lowlevel.checkpoint()
    raise Boom(number)


async def start_task(function: Any, *args: object) -> Task[Any]:
    task: Task[Any] = await TASKS.call(TaskSupervisor.start_task, function, *args)
    return task


async def count_tasks() -> Counts:
    return await TASKS.call(TaskSupervisor.count_children)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


async def nap(seconds: float) -> float:
    """Sleep, and return the seconds."""
    await trio.sleep(seconds)
    return seconds


async def read(stream: TaskStream[Any, Any]) -> list[object]:
    """Read all outcomes: the values, and the reprs of errors."""
    async with stream as results:
        return [
            outcome.value if isinstance(outcome, Value) else repr(outcome)
            async for _, outcome in results
        ]
