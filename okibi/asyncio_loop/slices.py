"""asyncio's own selector loop, made to run in slices and to let trio wait.

The loop asks its selector to wait for events and for the next timer. This selector keeps that time
and ends the slice instead, so trio can wait in the loop's place. Slices need no private name of
asyncio; `ROOT_CALLBACK` may be missing.
"""

import asyncio
import math
import selectors
import time
from asyncio import base_events
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import ContextVar
from typing import Any, NoReturn, TypeVar, TypeVarTuple, Unpack
from weakref import WeakSet

import trio

R = TypeVar("R")
Ts = TypeVarTuple("Ts")

# Seconds that asyncio may keep trio's other tasks waiting.
SLICE = 0.001


Events = list[tuple[selectors.SelectorKey, int]]
# Waits for up to so many seconds, None for no limit, and returns what is ready, or ends the slice.
Wait = Callable[[float | None], Events]

# anyio ends its threads with the task that has this callback, as the task of `asyncio.run` has.
# Without one, they end with the job that started them, and each event starts threads anew.
ROOT_CALLBACK: Callable[[object], object] | None = getattr(
    base_events, "_run_until_complete_cb", None
)


class Origin:
    """For whom code on asyncio runs. It holds no result and no error of the code.

    Attributes:
        of_actor: whether an actor runs the code, and no handler.
        is_method: whether the code is a method of an actor, whose own task waits for it.
        running: the asyncio task of the code; None when it has ended.
        caller: the trio task that waits for the code; None when the code has ended.
    """

    __slots__ = ("caller", "is_method", "of_actor", "running")

    def __init__(self, *, of_actor: bool = False, is_method: bool = False) -> None:
        self.of_actor, self.is_method = of_actor, is_method
        self.running: asyncio.Task[None] | None = None
        self.caller: trio.lowlevel.Task | None = trio.lowlevel.current_task()


# Of the job that runs, for the tasks that its code starts, too.
ORIGIN: ContextVar[Origin] = ContextVar("origin of code on asyncio")


class SliceSelector(selectors.DefaultSelector):
    """A selector that ends the slice instead of waiting, and keeps how long the loop may sleep.

    Attributes:
        end_slice: has the loop return from `run_forever`.
        idle_for: seconds until the loop's next timer; 0 while callbacks are ready.
        slices: how often the loop has begun to run, after a wait within a slice, too.
        waits: whether a slice waits.
        look: waits for up to so many seconds, and returns the ready descriptors.
    """

    def __init__(self) -> None:
        super().__init__()
        self.end_slice: Callable[[], None] = lambda: None
        self.idle_for = math.inf
        self.slices, self.waits = 0, False
        self._wait: Wait | None = None
        self.look = super().select
        # The time of the monotonic clock at which the slice must end.
        self._until = math.inf
        self._looks = False

    def begin_slice(self, wait: Wait | None, *, looks: bool) -> None:
        """Let the loop run for up to SLICE seconds.

        Args:
            wait: takes the place of the end of the slice.
            looks: whether the slice looks for ready descriptors before it waits or ends.
        """
        self._wait, self._looks = wait, looks
        self._until = time.monotonic() + SLICE
        self.slices += 1
        # It stays 0 if the slice ends with callbacks that are ready.
        self.idle_for = 0.0

    def select(self, timeout: float | None = None) -> Events:
        """Return the ready descriptors; `timeout` is 0 if the loop has callbacks to run."""
        if timeout == 0:
            # A look costs as much as a callback, so one a slice suffices until nothing is ready.
            if time.monotonic() < self._until:
                return []
            self.end(0.0)
            return self.look(0)
        if self._looks:
            self._looks = False
            events = self.look(0)
            if events:
                return events
        if self._wait is not None:
            return self._wait(timeout)
        self.end(timeout)
        return []

    def end(self, idle_for: float | None) -> None:
        """End the slice.

        Args:
            idle_for: seconds for which the loop may sleep; None for no limit. A timer that falls
                due in this moment is run in this slice. What it makes ready runs after `idle_for`,
                at once.
        """
        self.idle_for = math.inf if idle_for is None else idle_for
        self.end_slice()


class SliceLoop(asyncio.SelectorEventLoop):
    """asyncio's loop on trio's clock. It leaves the process's signal handlers to trio.

    Attributes:
        run_soon: `AsyncioLoop.run_soon`.
        thread_calls: the number of functions that threads of executors run, or will run.
        has_new_tasks: whether code on the loop has started a task since this was set to False.
        tasks_of_actors: the tasks that code of actors has started, and the tasks that such a task
            has started.
    """

    run_soon: Callable[[], None]

    def __init__(self) -> None:
        # Virtual under a MockClock. Not a method, which each iteration would call.
        clock = trio.lowlevel.current_clock()
        self.time: Callable[[], float] = clock.current_time  # pyright: ignore[reportIncompatibleMethodOverride]
        self.thread_calls = 0
        self.has_new_tasks = False
        self.tasks_of_actors = WeakSet[asyncio.Task[Any]]()
        self.selector = SliceSelector()
        super().__init__(self.selector)
        self.selector.end_slice = self.stop

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """Start a task, and note that there is a new one."""
        task = super().create_task(coro, **options)
        origin = ORIGIN.get(None)
        if origin is None or not origin.of_actor:
            self.has_new_tasks = True
        else:
            self.tasks_of_actors.add(task)
        return task

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], R], *args: *Ts
    ) -> "asyncio.Future[R]":
        """Run a function in a thread, and count the call: virtual time does not pass meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self.thread_calls += 1
        future.add_done_callback(self._note_thread_call)
        return future

    def _note_thread_call(self, _: object) -> None:
        self.thread_calls -= 1

    def add_signal_handler(self, sig: int, callback: object, *args: object) -> NoReturn:
        """Refuse a signal handler: the loop would take the signals that trio waits for.

        Raises:
            NotImplementedError: always, as on a system without signals.
        """
        raise NotImplementedError(
            "this asyncio loop runs inside trio, which handles the signals of the process: use "
            "signal.signal, or trio.open_signal_receiver on trio"
        )
