"""TaskStream: outcomes, limits, time-outs (Elixir: async_stream).

A docstring names the matching case of Elixir's test or documentation.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import pytest
import trio
from outcome import Value
from trio.testing import MockClock

from okibi.supervisors import ItemOutcome, MaxChildren, OnTimeout, TaskStream, TaskSupervisor
from tests.support.child_stage import Boom
from tests.support.task_supervisor import (
    TASKS,
    count_tasks,
    double,
    fail,
    nap,
    read,
    task_supervisor,
    warnings_in,
)


class Source(Iterator[float]):
    """An input that counts the items taken."""

    def __init__(self, items: list[float]) -> None:
        self.items = items
        self.taken = 0

    def __next__(self) -> float:
        if self.taken == len(self.items):
            raise StopIteration
        self.taken += 1
        return self.items[self.taken - 1]


# -- outcomes


@pytest.mark.parametrize("most", [1, 2, 3, 10])
async def test_outcomes_come_in_input_order(autojump_clock: MockClock, most: int) -> None:
    """async_stream: streams in order"""
    async with task_supervisor() as tasks:
        stream = TaskStream(tasks, nap, [3, 1, 2, 0.5], max_concurrency=most)

        assert await read(stream) == [3, 1, 2, 0.5]
        assert (await count_tasks()).specs == 0


async def test_unordered_outcomes_come_as_tasks_end(autojump_clock: MockClock) -> None:
    """async_stream: ordered: false"""
    async with task_supervisor() as tasks:
        stream = TaskStream(tasks, nap, [3, 1, 2, 0.5], max_concurrency=4, ordered=False)

        assert await read(stream) == [0.5, 1, 2, 3]
        assert trio.current_time() == pytest.approx(3)


async def test_each_outcome_comes_with_its_item() -> None:
    """zip_input_on_exit"""
    async with task_supervisor() as tasks:
        async with TaskStream(tasks, double, range(3), max_concurrency=2) as results:
            pairs = [pair async for pair in results]

        assert_type(pairs, list[ItemOutcome[int, int]])
        assert pairs == [(0, Value(0)), (1, Value(2)), (2, Value(4))]


async def test_a_crash_is_an_outcome_and_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """async_stream_nolink: an exit is streamed"""

    async def odd(number: int) -> int:
        return await (fail if number % 2 else double)(number)

    async with task_supervisor() as tasks:
        stream = TaskStream(tasks, odd, range(4), max_concurrency=2)

        assert await read(stream) == [0, "Error(Boom(1))", 4, "Error(Boom(3))"]
    assert warnings_in(caplog) == []


async def test_a_killed_task_is_an_outcome() -> None:
    async def die(number: int) -> int:
        if number == 1:
            children = await TASKS.call(TaskSupervisor.which_children)
            [ref] = [child.ref for child in children if child.id == "die-2"]
            assert ref is not None
            ref.kill()
        return await double(number)

    async with task_supervisor() as tasks:
        first, second, third = await read(TaskStream(tasks, die, range(3), max_concurrency=1))

    assert (first, third) == (0, 4)
    assert str(second).startswith("Error(ActorExited('/tasks/die-2 is gone: killed")


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_empty_input_gives_no_outcomes(ordered: bool) -> None:
    async with task_supervisor() as tasks:
        none = list[int]()
        stream = TaskStream(tasks, double, none, max_concurrency=2, ordered=ordered)

        assert await read(stream) == []
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_the_input_may_be_an_async_iterable(autojump_clock: MockClock) -> None:
    send, receive = trio.open_memory_channel[int](5)
    async with task_supervisor() as tasks:
        for number in range(5):
            send.send_nowait(number)
        send.close()

        assert await read(TaskStream(tasks, double, receive, max_concurrency=3)) == [0, 2, 4, 6, 8]


async def test_an_exception_of_the_input_ends_the_stream(autojump_clock: MockClock) -> None:
    async def broken() -> AsyncIterator[float]:
        yield 60
        raise Boom

    async with task_supervisor() as tasks:
        with pytest.raises(Boom):
            await read(TaskStream(tasks, nap, broken(), max_concurrency=2))

        assert (await count_tasks()).active == 0
        assert trio.current_time() == 0


# -- limits and arguments


@pytest.mark.parametrize("ordered", [True, False])
async def test_at_most_max_concurrency_items_are_unreturned(
    autojump_clock: MockClock, ordered: bool
) -> None:
    """max_concurrency; back-pressure of a slow reader"""
    source = Source([5, 1, 1, 1, 1, 1])
    async with (
        task_supervisor() as tasks,
        TaskStream(tasks, nap, source, max_concurrency=2, ordered=ordered) as results,
    ):
        read = 0
        assert source.taken == 0
        async for _ in results:
            read += 1
            assert source.taken <= read + 1
            await trio.sleep(10)
            assert (await count_tasks()).active == 0
            assert source.taken <= read + 1
    assert read == source.taken == 6


async def test_the_stream_stops_its_tasks_at_max_children() -> None:
    """async_stream: raises when max_children is reached"""
    async with task_supervisor(max_children=1) as tasks:
        with pytest.raises(MaxChildren):
            await read(TaskStream(tasks, nap, [60.0, 60.0], max_concurrency=2))

        assert (await count_tasks()).active == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_concurrency": 0}, "max_concurrency must be an integer >= 1, got 0"),
        ({"max_concurrency": 1.5}, "max_concurrency must be an integer >= 1, got 1.5"),
        ({"timeout": 0}, "timeout must be seconds > 0, got 0"),
        ({"timeout": None}, "timeout must be seconds > 0, got None"),
    ],
)
async def test_an_illegal_number_is_refused(wrong: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"max_concurrency": 1, **wrong}
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - compared whole below
        TaskStream(TASKS, double, [], **arguments)

    assert str(refused.value) == message


async def test_a_string_as_on_timeout_is_refused() -> None:
    wrong: Any = "exit"
    with pytest.raises(TypeError) as refused:
        TaskStream(TASKS, double, [], max_concurrency=1, on_timeout=wrong)

    assert str(refused.value) == (
        "on_timeout must be OnTimeout.EXIT or OnTimeout.KILL_TASK, got str[4]"
    )


async def test_a_function_as_first_argument_is_refused() -> None:
    wrong: Any = double
    with pytest.raises(TypeError) as refused:
        TaskStream(wrong, wrong, [], max_concurrency=1)

    assert str(refused.value) == "tasks must be the Ref or Name of a TaskSupervisor, got function"


# -- time-outs


async def test_a_timed_out_item_ends_the_stream(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """timeout: exits; the others are shut down"""
    async with task_supervisor() as tasks:
        stream = TaskStream(tasks, nap, [1, 60, 2, 90], max_concurrency=4, timeout=3)
        async with stream as results:
            assert (await anext(results)).item == 1
            with pytest.raises(TimeoutError) as timed_out:
                await anext(results)

        assert str(timed_out.value) == "the stream ended: an item (int) timed out after 3 s"

        assert trio.current_time() == pytest.approx(3)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    assert warnings_in(caplog) == []


@pytest.mark.parametrize("ordered", [True, False])
async def test_with_kill_task_a_time_out_is_an_outcome(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, ordered: bool
) -> None:
    """on_timeout: :kill_task"""
    async with task_supervisor() as tasks:
        stream = TaskStream(
            tasks,
            nap,
            [1, 60, 2],
            max_concurrency=3,
            ordered=ordered,
            timeout=3,
            on_timeout=OnTimeout.KILL_TASK,
        )

        late = "Error(TimeoutError('timed out after 3 s'))"
        assert await read(stream) == ([1, late, 2] if ordered else [1, 2, late])
    assert warnings_in(caplog) == []


@pytest.mark.parametrize("ordered", [True, False])
async def test_with_kill_task_the_stream_continues_after_a_time_out(
    autojump_clock: MockClock, ordered: bool
) -> None:
    """on_timeout: :kill_task: the stream goes on, where :exit ends it"""
    async with task_supervisor() as tasks:
        stream = TaskStream(
            tasks,
            nap,
            [60, 1, 60, 2],
            max_concurrency=1,
            ordered=ordered,
            timeout=3,
            on_timeout=OnTimeout.KILL_TASK,
        )

        late = "Error(TimeoutError('timed out after 3 s'))"
        assert await read(stream) == [late, 1, late, 2]
