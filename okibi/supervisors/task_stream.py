"""Apply an async function to many items, a few at a time (Elixir: `async_stream_nolink`).

The reader drives the stream. Each read takes items from the input until `max_concurrency` tasks
run, then waits for the next outcome. No background task exists. The tasks are children of their
supervisor, so the iteration needs no nursery.

At most `max_concurrency` items have been taken and not yet returned, whether their tasks run or
have ended. If the reader is slow, or an ordered stream waits for a slow item, new items stay in
the input.

Rejected: an async generator. A nursery open across a `yield` cancels the wrong code.
"""

import enum
import math
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Final, Generic, NamedTuple, Self, TypeVar, cast

import trio
from outcome import Outcome

from ..actors import Address, Pending, Refusal
from ..actors.life import Phase
from ..actors.process import Process
from ..actors.safe_repr import describe_value, shape
from .any_supervisor_spec import is_number
from .tasks import Task, TaskSupervisor, call_async

T = TypeVar("T")
R = TypeVar("R")


class OnTimeout(enum.Enum):
    """The rule for an item of a TaskStream that exceeds `timeout` (Elixir: `:on_timeout`).

    EXIT ends the stream with TimeoutError. KILL_TASK stops the item's task, returns a TimeoutError
    as the item's outcome, and continues.
    """

    EXIT = "exit"
    KILL_TASK = "kill_task"


class ItemOutcome(NamedTuple, Generic[T, R]):
    """One item of a TaskStream and its outcome (Elixir: `zip_input_on_exit: true`).

    Attributes:
        item: the item from the input.
        outcome: `outcome.Value` holds the function's result; `outcome.Error` holds its exception,
            or ActorExited if the task was stopped or killed, or TimeoutError. `unwrap()` returns
            the result or raises the exception.
    """

    item: T
    outcome: "Outcome[R]"


_NOTHING: Final = object()
_END: Final = object()


class _Item(Generic[T, R]):
    """One item and its time limit. The item's own task enforces the limit, even under load.

    Attributes:
        func: the function. The attribute is named as in `functools.partial`: `factory_name` reads
            `func`, so the task gets the function's name.
        timed_out: whether the function exceeded the limit.
    """

    __slots__ = ("_timeout", "func", "item", "timed_out")

    def __init__(self, func: Callable[[T], Awaitable[R]], item: T, timeout: float) -> None:
        self.func = func
        self.item = item
        self.timed_out = False
        self._timeout = timeout

    async def __call__(self, item: T) -> R:
        with trio.move_on_after(self._timeout) as limit:
            return cast("R", await call_async(self.func, item))
        self.timed_out = limit.cancelled_caught
        raise TimeoutError(f"timed out after {self._timeout:g} s")


class TaskStream(Generic[T, R]):
    """Applies an async function to each item of an input (Elixir: `async_stream_nolink`).

    >>> import trio
    >>> from okibi.supervisors import TaskSupervisorSpec, TaskStream, supervise
    >>> async def invert(number: int) -> float:
    ...     return 1 / number
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         tasks = await supervise(nursery, TaskSupervisorSpec())
    ...         async with TaskStream(tasks, invert, [4, 0, 2], max_concurrency=2) as results:
    ...             async for number, outcome in results:
    ...                 print(number, outcome)
    ...         tasks.stop()
    >>> trio.run(main)
    4 Value(0.25)
    0 Error(ZeroDivisionError('division by zero'))
    2 Value(0.5)

    A crash of the function is an ordinary outcome; the stream continues. Leaving the block stops
    all running tasks of the stream and waits for them.

    A read takes new items before it returns an outcome. If an async input blocks while fewer than
    `max_concurrency` tasks run, the outcomes wait too. If the reader is cancelled meanwhile and
    the input is an async generator, Python ends the generator: the remaining items are lost.

    | argument | default | meaning |
    | --- | --- | --- |
    | tasks | | the Ref or Name of the TaskSupervisor that runs the tasks |
    | function | | an async function of one item |
    | items | | an iterable or an async iterable |
    | max_concurrency | | an integer >= 1: the limit of items taken and not yet returned |
    | ordered | True | True: outcomes in the order of the items; False: as the tasks end |
    | timeout | infinity | seconds > 0 that one item may take |
    | on_timeout | EXIT | see OnTimeout |

    Raises:
        ValueError: `max_concurrency` or `timeout` is out of range.
        TypeError: `tasks` is no Ref or Name, `on_timeout` is no OnTimeout, or `items` is not
            iterable.
    """

    __slots__ = (
        "_being_read",
        "_ended",
        "_entered",
        "_finished",
        "_function",
        "_max_concurrency",
        "_next_item",
        "_on_timeout",
        "_ordered",
        "_source",
        "_starting",
        "_task_ended",
        "_tasks",
        "_timed_out",
        "_timeout",
        "_unreturned",
    )

    def __init__(
        self,
        tasks: Address[TaskSupervisor],
        function: Callable[[T], Awaitable[R]],
        items: Iterable[T] | AsyncIterable[T],
        *,
        max_concurrency: int,
        ordered: bool = True,
        timeout: float = math.inf,
        on_timeout: OnTimeout = OnTimeout.EXIT,
    ) -> None:
        if not isinstance(cast("object", tasks), Address):
            raise TypeError(
                f"tasks must be the Ref or Name of a TaskSupervisor, got {shape(tasks)}"
            )
        if not isinstance(cast("object", max_concurrency), int) or max_concurrency < 1:
            raise ValueError(
                f"max_concurrency must be an integer >= 1, got {describe_value(max_concurrency)}"
            )
        if not is_number(timeout) or timeout <= 0:
            raise ValueError(f"timeout must be seconds > 0, got {describe_value(timeout)}")
        if not isinstance(cast("object", on_timeout), OnTimeout):
            raise TypeError(
                f"on_timeout must be OnTimeout.EXIT or OnTimeout.KILL_TASK, "
                f"got {describe_value(on_timeout)}"
            )
        self._tasks = tasks
        self._function = function
        self._source: Iterator[T] | AsyncIterator[T]
        self._source = aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        self._max_concurrency = max_concurrency
        self._ordered = ordered
        self._timeout = timeout
        self._on_timeout = on_timeout
        # Items whose outcome has not been returned, in input order; their tasks run or have ended.
        # An _Item must not refer to its Task: a crash's traceback refers to the item, and the
        # cycle would keep the task until the garbage collector runs.
        self._unreturned: dict[_Item[T, R], Task[R]] = {}
        # Unordered streams: items in the order in which their tasks ended.
        self._ended: deque[_Item[T, R]] = deque()
        # An item taken from the input whose task has not started. A cancelled read keeps the item.
        self._next_item: object = _NOTHING
        self._starting: tuple[_Item[T, R], Pending[Task[R]]] | None = None
        # The first item that timed out, if `on_timeout` is EXIT.
        self._timed_out: _Item[T, R] | None = None
        self._task_ended = trio.Event()
        self._entered = self._finished = self._being_read = False

    async def __aenter__(self) -> Self:
        self._entered = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        with trio.CancelScope(shield=True):
            # Bounded: a task that exceeds its grace is killed.
            for task in self._unreturned.values():
                await task.ref.wait()
        self._timed_out = None
        self._ended.clear()
        self._unreturned.clear()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ItemOutcome[T, R]:
        """Return the next outcome. A cancelled read loses nothing; read again.

        Raises:
            StopAsyncIteration: all outcomes have been returned.
            TimeoutError: an item exceeded `timeout`, and `on_timeout` is EXIT.
            MaxChildren: the supervisor's `max_children` is reached.
            ActorExited: the supervisor has exited.
            RuntimeError: the stream has not been entered with `async with`.
            trio.BusyResourceError: another task is reading this stream.
            Exception: the exception raised by the input.
        """
        if not self._entered:
            raise RuntimeError(
                "enter the TaskStream before reading: async with TaskStream(...) as outcomes"
            )
        if self._being_read:
            raise trio.BusyResourceError("another task is reading this TaskStream")
        self._being_read = True
        try:
            await trio.lowlevel.checkpoint()
            return await self._read()
        finally:
            self._being_read = False

    # -- read

    async def _read(self) -> ItemOutcome[T, R]:
        while not self._finished:
            await self._start_tasks()
            if self._timed_out is not None:
                late = self._timed_out
                self._stop()
                raise TimeoutError(
                    f"the stream ended: an item ({shape(late.item)}) "
                    f"timed out after {self._timeout:g} s"
                )
            if not self._unreturned:
                self._finished = True
                break
            item = self._next_done()
            if item is not None:
                return ItemOutcome(item.item, self._unreturned.pop(item).outcome_nowait())
            self._task_ended = trio.Event()
            await self._task_ended.wait()
        raise StopAsyncIteration

    def _next_done(self) -> _Item[T, R] | None:
        """Return the item whose outcome is the next to return, if its task is done."""
        if not self._ordered:
            return self._ended.popleft() if self._ended else None
        first, task = next(iter(self._unreturned.items()))
        return first if task.done else None

    # -- start tasks

    async def _start_tasks(self) -> None:
        """Take items and start their tasks, up to `max_concurrency`."""
        while len(self._unreturned) < self._max_concurrency and self._timed_out is None:
            if self._starting is None:
                if self._next_item is _NOTHING:
                    self._next_item = await self._take_item()
                if self._next_item is _END:
                    return
                item = _Item[T, R](self._function, cast("T", self._next_item), self._timeout)
                pending = await self._tasks.request(TaskSupervisor.start_task, item, item.item)
                self._starting, self._next_item = (item, pending), _NOTHING
            item, pending = self._starting
            try:
                self._unreturned[item] = task = await pending.result()
            except Refusal:
                # The task has not started. The next read tries the item again.
                self._next_item, self._starting = item.item, None
                raise
            self._starting = None
            self._watch(item, task.ref.process())

    async def _take_item(self) -> object:
        source = self._source
        if isinstance(source, AsyncIterator):
            return await anext(cast("AsyncIterator[object]", source), _END)
        return next(cast("Iterator[object]", source), _END)

    def _watch(self, item: _Item[T, R], process: Process) -> None:
        def on_end(_: Process) -> None:
            if not self._ordered:
                self._ended.append(item)
            if item.timed_out and self._on_timeout is OnTimeout.EXIT:
                self._timed_out = self._timed_out or item
            self._task_ended.set()

        if process.life.phase is Phase.DEAD:
            on_end(process)
        else:
            process.watch(item, on_end)

    # -- stop

    def _stop(self) -> None:
        self._finished = True
        if self._starting is not None:
            item, pending = self._starting
            self._starting = None
            # The supervisor does not start an abandoned task, or stops it.
            pending.abandon()
            if pending.done:
                # The reply arrived after the read was cancelled: a Task, or a refusal.
                with suppress(Exception):
                    self._unreturned[item] = cast("Task[R]", pending._request.result())
        for item, task in self._unreturned.items():
            task.stop()
            if item.timed_out and task.done:
                # Mark the outcome as taken: the stream's TimeoutError has reported the item.
                task.outcome_nowait()
