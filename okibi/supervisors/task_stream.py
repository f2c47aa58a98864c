"""The outcomes of one function for many items, a few at a time (Elixir: `async_stream_nolink`).

The stream is drawn by whoever reads it: reading takes items from the input until `max_concurrency`
are under way, then waits for the next outcome. Nothing else runs here. The tasks are children of
their supervisor, so there is no nursery inside the iteration, which an async generator would have
to keep open across its `yield` and which then cancels the wrong code.

Items that were taken and whose outcome has not been handed out are never more than
`max_concurrency`, whether they still run or have ended: with a slow reader, or in order behind a
slow item, new ones wait in the input, not in memory.
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
from ..actors.process import Phase, Process
from ..actors.safe_repr import misplaced, shape
from .any_supervisor_spec import is_number
from .tasks import Task, TaskSupervisor, begun

T = TypeVar("T")
R = TypeVar("R")


class OnTimeout(enum.Enum):
    """What an item that takes too long is to the stream (Elixir: `:on_timeout`)."""

    EXIT = "exit"
    KILL_TASK = "kill_task"


class ItemOutcome(NamedTuple, Generic[T, R]):
    """What one item came to (Elixir gives the item with `zip_input_on_exit`; here it always is).

    Attributes:
        item: what was taken from the input.
        outcome: `outcome.Value` with what the function gave; `outcome.Error` with what it raised,
            with ActorExited if its task was stopped or killed, with TimeoutError if it took too
            long. `unwrap()` gives the one and raises the other.
    """

    item: T
    outcome: "Outcome[R]"


_NOTHING: Final = object()
_END: Final = object()


class _Item(Generic[T, R]):
    """One item under way. Called by its task, so that its time-out holds whoever else is busy.

    Attributes:
        func: what it calls, under the name that `partial` has for it: it names the task.
        late: whether it took too long.
    """

    __slots__ = ("_timeout", "func", "item", "late")

    def __init__(self, func: Callable[[T], Awaitable[R]], item: T, timeout: float) -> None:
        self.func = func
        self.item = item
        self.late = False
        self._timeout = timeout

    async def __call__(self, item: T) -> R:
        with trio.move_on_after(self._timeout) as limit:
            return cast("R", await begun(self.func, item))
        self.late = limit.cancelled_caught
        raise TimeoutError(f"it took longer than {self._timeout:g} s")


class TaskStream(Generic[T, R]):
    """The outcomes of a function for each item of an input.

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

    A crash of the function is an outcome like another: the stream goes on. When its block is
    left, for whatever reason, all tasks of it that still run are stopped and waited for.

    New items are taken before an outcome is handed out. So with an async input that waits, the
    outcomes wait too, unless `max_concurrency` items are under way; and a reader that is cancelled
    meanwhile ends an async generator, as Python has it: what comes after is lost, no error says so.

    | argument | default | meaning |
    | --- | --- | --- |
    | tasks | | the Ref or Name of the TaskSupervisor that runs them |
    | function | | async, takes one item |
    | items | | what to take them from: any iterable, or an async one |
    | max_concurrency | | how many are under way at most |
    | ordered | True | outcomes in the order of the items; False: as they come |
    | timeout | infinity | seconds that one item may take |
    | on_timeout | EXIT | EXIT: the stream ends with TimeoutError; KILL_TASK: it is an outcome |

    Raises:
        ValueError: one of the numbers is none, or makes no sense.
        TypeError: `tasks` is no address, `on_timeout` no OnTimeout, or `items` are none.
    """

    __slots__ = (
        "_busy",
        "_changed",
        "_ended",
        "_entered",
        "_function",
        "_late",
        "_most",
        "_next",
        "_on_timeout",
        "_ordered",
        "_over",
        "_running",
        "_source",
        "_starting",
        "_tasks",
        "_timeout",
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
            raise TypeError(f"tasks is a TaskSupervisor's Ref or Name, not {shape(tasks)}")
        if not isinstance(cast("object", max_concurrency), int) or max_concurrency < 1:
            raise ValueError(
                f"max_concurrency is a whole number from 1, not {misplaced(max_concurrency)}"
            )
        if not is_number(timeout) or timeout <= 0:
            raise ValueError(f"timeout is seconds above 0, not {misplaced(timeout)}")
        if not isinstance(cast("object", on_timeout), OnTimeout):
            raise TypeError(f"on_timeout is an OnTimeout, not {misplaced(on_timeout)}")
        self._tasks = tasks
        self._function = function
        self._source: Iterator[T] | AsyncIterator[T]
        self._source = aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        self._most = max_concurrency
        self._ordered = ordered
        self._timeout = timeout
        self._on_timeout = on_timeout
        # Under way or ended, not handed out yet, in the order of the input; and those that have
        # ended, in the order they did. An item does not know its task: the traceback of a crash
        # knows the item, and a task that is let go must not wait for the garbage collector.
        self._running: dict[_Item[T, R], Task[R]] = {}
        self._ended: deque[_Item[T, R]] = deque()
        # What is taken and not begun: kept, so that a reader who is cancelled loses no item.
        self._next: object = _NOTHING
        self._starting: tuple[_Item[T, R], Pending[Task[R]]] | None = None
        self._late: _Item[T, R] | None = None
        self._changed = trio.Event()
        self._entered = self._over = self._busy = False

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
            # Each ends within its grace, or is killed.
            for task in self._running.values():
                await task.ref.wait()
        self._late = None
        self._ended.clear()
        self._running.clear()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ItemOutcome[T, R]:
        """The next outcome. Cancelled, it loses nothing: it may be asked for again.

        Raises:
            StopAsyncIteration: there are no more.
            TimeoutError: an item took too long, and `on_timeout` is EXIT.
            MaxChildren: the supervisor has as many tasks as it may have.
            ActorExited: the supervisor has ended.
            RuntimeError: the stream's block has not been entered.
            trio.BusyResourceError: another task reads it at the same time.
            And whatever the input has raised.
        """
        if not self._entered:
            raise RuntimeError("a TaskStream is read in a block: async with TaskStream(...) as it")
        if self._busy:
            raise trio.BusyResourceError("another task reads this TaskStream")
        self._busy = True
        try:
            await trio.lowlevel.checkpoint()
            return await self._read()
        finally:
            self._busy = False

    # -- reading

    async def _read(self) -> ItemOutcome[T, R]:
        while not self._over:
            await self._fill()
            if self._late is not None:
                late = self._late
                self._stop()
                raise TimeoutError(f"the stream ends: an item ({shape(late.item)}) took too long")
            if not self._running:
                self._over = True
                break
            item = self._ready()
            if item is not None:
                return ItemOutcome(item.item, self._running.pop(item).outcome_nowait())
            self._changed = trio.Event()
            await self._changed.wait()
        raise StopAsyncIteration

    def _ready(self) -> _Item[T, R] | None:
        """Whose outcome is to be handed out now."""
        if not self._ordered:
            return self._ended.popleft() if self._ended else None
        first, task = next(iter(self._running.items()))
        return first if task.done else None

    # -- beginning

    async def _fill(self) -> None:
        while len(self._running) < self._most and self._late is None:
            if self._starting is None:
                if self._next is _NOTHING:
                    self._next = await self._take()
                if self._next is _END:
                    return
                item = _Item[T, R](self._function, cast("T", self._next), self._timeout)
                asked = await self._tasks.request(TaskSupervisor.start_task, item, item.item)
                self._starting, self._next = (item, asked), _NOTHING
            item, asked = self._starting
            try:
                self._running[item] = task = await asked.result()
            except Refusal:
                # It has not been begun: whoever reads on, when there is room, asks anew.
                self._next, self._starting = item.item, None
                raise
            self._starting = None
            self._watch(item, task.ref.process())

    async def _take(self) -> object:
        source = self._source
        if isinstance(source, AsyncIterator):
            return await anext(cast("AsyncIterator[object]", source), _END)
        return next(cast("Iterator[object]", source), _END)

    def _watch(self, item: _Item[T, R], process: Process) -> None:
        def note(_: Process) -> None:
            if not self._ordered:
                self._ended.append(item)
            if item.late and self._on_timeout is OnTimeout.EXIT:
                self._late = self._late or item
            self._changed.set()

        if process.phase is Phase.DEAD:
            note(process)
        else:
            process.watchers[item] = note

    # -- ending

    def _stop(self) -> None:
        self._over = True
        if self._starting is not None:
            item, asked = self._starting
            self._starting = None
            # Its supervisor does not begin it, or stops it again.
            asked.abandon()
            if asked.done:
                # It was begun after its reader had given up, so he was not told; or was refused.
                with suppress(Exception):
                    self._running[item] = cast("Task[R]", asked._request.result())
        for item, task in self._running.items():
            task.stop()
            if item.late and task.done:
                # It has been told of by the end of the stream.
                task.outcome_nowait()
