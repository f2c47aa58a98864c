"""The cases of Elixir's task/supervisor_test without a test in tests/supervisors.

Adapted in all cases: a task has no link, and its outcome is not a message.
"""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from okibi.actors import ActorExited, start, stop
from okibi.supervisors import (
    BRUTAL_KILL,
    Child,
    Counts,
    NotFound,
    Restart,
    SpecError,
    SupervisorSpec,
    TaskStream,
    TaskSupervisor,
    TaskSupervisorSpec,
    callers,
    run_task,
)
from tests.support.child_stage import Boom
from tests.support.dynamic_supervisor import Idle
from tests.support.task_supervisor import (
    TASKS,
    count_tasks,
    double,
    fail,
    nap,
    read,
    start_task,
    task_supervisor,
)

NO_CHILDREN = Counts(0, 0, 0, 0)


def test_multiple_supervisors_can_be_supervised_and_identified_with_simple_child_spec() -> None:
    """Adapted: without names, the two need ids. Equal ids are refused when the spec is made."""
    assert [
        child.id
        for child in (Child(TaskSupervisorSpec()), Child(TaskSupervisorSpec(), name=TASKS, id="b"))
    ] == [
        "tasks",
        "b",
    ]
    with pytest.raises(SpecError, match="two children have the id 'tasks'"):
        SupervisorSpec([Child(TaskSupervisorSpec()), Child(TaskSupervisorSpec())])


async def test_counts_and_returns_children() -> None:
    async with task_supervisor():
        assert await count_tasks() == NO_CHILDREN
        task = await start_task(trio.sleep_forever)

        (info,) = await TASKS.call(TaskSupervisor.which_children)

        assert info.ref == task.ref
        assert await count_tasks() == Counts(1, 1, 0, 1)


async def test_async_nolink_1_spawns_a_task_under_the_supervisor_without_linking_to_the_caller() -> (  # noqa: E501
    None
):
    async with task_supervisor() as tasks, trio.open_nursery() as nursery:
        caller = await start(nursery, Idle)
        good, bad = await start_task(double, 2), await start_task(fail, 1)

        assert await good.result() == 4
        with pytest.raises(Boom):
            await bad.result()
        assert tasks.alive
        assert await count_tasks() == NO_CHILDREN
        caller.stop()


async def test_async_nolink_1_with_custom_shutdown() -> None:
    """Adapted: shutdown is a flag of the supervisor, the same for all tasks."""
    async with task_supervisor(shutdown=BRUTAL_KILL) as tasks:
        task = await start_task(trio.sleep_forever)
        await stop(tasks)

        with pytest.raises(ActorExited) as exited:
            await task.result()
        assert exited.value.reason.kind == "killed"


async def test_start_child_1() -> None:
    """Adapted: a task without a result is started by a cast."""
    seen: list[int] = []

    async def note(number: int) -> None:
        seen.append(number)

    async with task_supervisor():
        await TASKS.cast(TaskSupervisor.start_task, note, 1)
        await wait_all_tasks_blocked()

        assert seen == [1]
        assert await count_tasks() == NO_CHILDREN


async def test_start_child_1_with_custom_shutdown() -> None:
    """Adapted: a task with a different shutdown is a temporary child."""
    async with task_supervisor() as tasks:
        spec = Child(Idle, restart=Restart.TEMPORARY, shutdown=BRUTAL_KILL)
        child = await tasks.call(TaskSupervisor.start_child, spec)
        await stop(tasks)

        assert child is not None
        assert (await child.wait()).kind == "killed"


async def test_start_child_1_with_custom_restart() -> None:
    """Adapted: a task never restarts. A DynamicSupervisor has children that restart."""
    async with task_supervisor() as tasks:
        with pytest.raises(SpecError) as refused:
            await tasks.call(TaskSupervisor.start_child, Child(Idle))
        assert refused.value.field == "restart"


async def test_terminate_child_2() -> None:
    """Adapted: a second request is no error, as in OTP. An unrelated actor is an error."""
    async with task_supervisor() as tasks, trio.open_nursery() as nursery:
        task = await start_task(trio.sleep_forever)
        for _ in range(2):
            await tasks.call(TaskSupervisor.terminate_child, task.ref)
        assert await count_tasks() == NO_CHILDREN

        unrelated = await start(nursery, Idle)
        with pytest.raises(NotFound):
            await tasks.call(TaskSupervisor.terminate_child, unrelated)
        unrelated.stop()


async def test_async_stream_with_callers() -> None:
    async def get_callers(_: int) -> tuple[str, ...]:
        return callers()

    async def outer() -> list[object]:
        return await read(TaskStream(TASKS, get_callers, [1], max_concurrency=1))

    async with task_supervisor():
        task = await start_task(outer)

        assert await task.result() == [(task.path,)]


async def test_async_stream_consuming_from_another_process() -> None:
    async with task_supervisor() as tasks:
        stream = TaskStream(tasks, double, [1, 2, 3], max_concurrency=2)

        assert await run_task(tasks, read, stream) == [2, 4, 6]


async def test_async_stream_with_outer_halt_on_failure_and_zip_input_on_exit() -> None:
    """Adapted: every outcome has its item."""
    taken = []
    async with task_supervisor() as tasks:
        async with TaskStream(tasks, fail, range(1, 9), max_concurrency=2) as results:
            async for item, outcome in results:
                taken.append((item, repr(outcome)))
                if len(taken) == 4:
                    break

        assert taken == [(n, f"Error(Boom({n}))") for n in range(1, 5)]
        assert await count_tasks() == NO_CHILDREN


async def test_async_stream_nolink_streams_an_enumerable_without_leaking_tasks() -> None:
    async with task_supervisor() as tasks:
        stream = TaskStream(tasks, double, [1, 2, 3, 4], max_concurrency=4)

        assert await read(stream) == [2, 4, 6, 8]
        assert await count_tasks() == NO_CHILDREN


async def test_async_stream_nolink_streams_an_enumerable_with_slowest_first(
    autojump_clock: MockClock,
) -> None:
    async with task_supervisor() as tasks:
        stream = TaskStream(tasks, nap, [4, 3, 2, 1], max_concurrency=4)

        assert await read(stream) == [4, 3, 2, 1]
