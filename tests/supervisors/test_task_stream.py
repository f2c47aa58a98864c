"""Streams of tasks: bounded, in order or not, each item with a time limit (Elixir: async_stream).

Named by the rule; what Elixir's test or documentation calls it is in the docstring.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import pytest
import trio
from outcome import Value
from trio.testing import MockClock

from okibi.supervisors import ItemOutcome, MaxChildren, OnTimeout, TaskStream, TaskSupervisor
from tests.support.child_stage import Boom
from tests.support.task_supervisor import TASKS, counted, double, fail, nap, read, said, some_tasks


class Source(Iterator[float]):
    """An input that knows how much was taken from it."""

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
async def test_outcomes_come_in_the_order_of_the_input(
    autojump_clock: MockClock, most: int
) -> None:
    """async_stream: streams in order"""
    async with some_tasks() as tasks:
        stream = TaskStream(tasks, nap, [3, 1, 2, 0.5], max_concurrency=most)

        assert await read(stream) == [3, 1, 2, 0.5]
        assert (await counted()).specs == 0


async def test_unordered_outcomes_come_as_they_come(autojump_clock: MockClock) -> None:
    """async_stream: ordered: false"""
    async with some_tasks() as tasks:
        stream = TaskStream(tasks, nap, [3, 1, 2, 0.5], max_concurrency=4, ordered=False)

        assert await read(stream) == [0.5, 1, 2, 3]
        assert trio.current_time() == pytest.approx(3)


async def test_each_outcome_comes_with_its_item() -> None:
    """zip_input_on_exit"""
    async with some_tasks() as tasks:
        async with TaskStream(tasks, double, range(3), max_concurrency=2) as results:
            pairs = [pair async for pair in results]

        assert_type(pairs, list[ItemOutcome[int, int]])
        assert pairs == [(0, Value(0)), (1, Value(2)), (2, Value(4))]


async def test_a_crash_is_an_outcome_like_another_and_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """async_stream_nolink: an exit is streamed"""

    async def odd(number: int) -> int:
        return await (fail if number % 2 else double)(number)

    async with some_tasks() as tasks:
        stream = TaskStream(tasks, odd, range(4), max_concurrency=2)

        assert await read(stream) == [0, "Error(Boom(1))", 4, "Error(Boom(3))"]
    assert said(caplog) == []


async def test_a_task_that_somebody_kills_is_an_outcome_too() -> None:
    async def die(number: int) -> int:
        if number == 1:
            children = await TASKS.call(TaskSupervisor.which_children)
            [ref] = [child.ref for child in children if child.id == "die-2"]
            assert ref is not None
            ref.kill()
        return await double(number)

    async with some_tasks() as tasks:
        first, second, third = await read(TaskStream(tasks, die, range(3), max_concurrency=1))

    assert (first, third) == (0, 4)
    assert str(second).startswith("Error(ActorExited('/tasks/die-2 is gone: killed")


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_input_without_items_has_no_outcomes(ordered: bool) -> None:
    async with some_tasks() as tasks:
        none = list[int]()
        stream = TaskStream(tasks, double, none, max_concurrency=2, ordered=ordered)

        assert await read(stream) == []
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_the_input_may_be_an_async_one(autojump_clock: MockClock) -> None:
    send, receive = trio.open_memory_channel[int](5)
    async with some_tasks() as tasks:
        for number in range(5):
            send.send_nowait(number)
        send.close()

        assert await read(TaskStream(tasks, double, receive, max_concurrency=3)) == [0, 2, 4, 6, 8]


async def test_what_the_input_raises_ends_the_stream(autojump_clock: MockClock) -> None:
    async def broken() -> AsyncIterator[float]:
        yield 60
        raise Boom

    async with some_tasks() as tasks:
        with pytest.raises(Boom):
            await read(TaskStream(tasks, nap, broken(), max_concurrency=2))

        assert (await counted()).active == 0
        assert trio.current_time() == 0


# -- bounds


@pytest.mark.parametrize("ordered", [True, False])
async def test_no_more_than_max_concurrency_are_taken_and_not_handed_out(
    autojump_clock: MockClock, ordered: bool
) -> None:
    """max_concurrency; back-pressure of a slow reader"""
    source = Source([5, 1, 1, 1, 1, 1])
    async with (
        some_tasks() as tasks,
        TaskStream(tasks, nap, source, max_concurrency=2, ordered=ordered) as results,
    ):
        read = 0
        assert source.taken == 0
        async for _ in results:
            read += 1
            assert source.taken <= read + 1
            await trio.sleep(10)
            assert (await counted()).active == 0
            assert source.taken <= read + 1
    assert read == source.taken == 6


async def test_a_supervisor_that_is_full_refuses_and_all_is_stopped() -> None:
    """async_stream: raises when max_children is reached"""
    async with some_tasks(max_children=1) as tasks:
        with pytest.raises(MaxChildren):
            await read(TaskStream(tasks, nap, [60.0, 60.0], max_concurrency=2))

        assert (await counted()).active == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_concurrency": 0},
        {"max_concurrency": 1.5},
        {"timeout": 0},
        {"timeout": None},
    ],
)
async def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"max_concurrency": 1, **wrong}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TaskStream(TASKS, double, [], **arguments)


async def test_what_is_no_on_timeout_is_refused() -> None:
    wrong: Any = "exit"
    with pytest.raises(TypeError, match=r"on_timeout is an OnTimeout, not str\[4\]"):
        TaskStream(TASKS, double, [], max_concurrency=1, on_timeout=wrong)


async def test_who_is_to_run_the_items_comes_first() -> None:
    wrong: Any = double
    with pytest.raises(TypeError, match="tasks is a TaskSupervisor's Ref or Name, not function"):
        TaskStream(wrong, wrong, [], max_concurrency=1)


# -- time


async def test_an_item_that_takes_too_long_ends_the_stream(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """timeout: exits; the others are shut down"""
    async with some_tasks() as tasks:
        stream = TaskStream(tasks, nap, [1, 60, 2, 90], max_concurrency=4, timeout=3)
        async with stream as results:
            assert (await anext(results)).item == 1
            with pytest.raises(TimeoutError, match=r"stream ends: an item \(int\) took too long"):
                await anext(results)

        assert trio.current_time() == pytest.approx(3)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    assert said(caplog) == []


@pytest.mark.parametrize("ordered", [True, False])
async def test_with_kill_task_it_is_an_outcome_like_another(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture, ordered: bool
) -> None:
    """on_timeout: :kill_task"""
    async with some_tasks() as tasks:
        stream = TaskStream(
            tasks,
            nap,
            [1, 60, 2],
            max_concurrency=3,
            ordered=ordered,
            timeout=3,
            on_timeout=OnTimeout.KILL_TASK,
        )

        late = "Error(TimeoutError('it took longer than 3 s'))"
        assert await read(stream) == ([1, late, 2] if ordered else [1, 2, late])
    assert said(caplog) == []


@pytest.mark.parametrize("ordered", [True, False])
async def test_with_kill_task_the_items_after_it_have_their_turn(
    autojump_clock: MockClock, ordered: bool
) -> None:
    """on_timeout: :kill_task: the stream goes on, where :exit ends it"""
    async with some_tasks() as tasks:
        stream = TaskStream(
            tasks,
            nap,
            [60, 1, 60, 2],
            max_concurrency=1,
            ordered=ordered,
            timeout=3,
            on_timeout=OnTimeout.KILL_TASK,
        )

        late = "Error(TimeoutError('it took longer than 3 s'))"
        assert await read(stream) == [late, 1, late, 2]
