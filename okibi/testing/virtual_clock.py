"""Virtual time for tests: timers fire at once and in order, except while a thread works.

trio's MockClock jumps to the next deadline when all tasks wait. It does not know threads: it would
jump while a thread works, and each time limit would be over at once. Here an instrument looks after
each step of a task. While a thread works, the clock runs like the real one and does not jump.
"""

import inspect
import math
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import trio
import trio.testing
from trio.abc import Instrument
from trio.lowlevel import RunVar, Task
from trio.testing import MockClock

from ..runtime.handlers.thread_calls import handler_threads

# Seconds, some thirty years: the clock jumps to this limit when all tasks wait without one.
FOREVER = 1e9

P = ParamSpec("P")
T = TypeVar("T")


def virtual_time(test: Callable[P, Awaitable[T]]) -> Callable[P, T]:
    """Make a plain function of an async one: it runs on trio, in virtual time.

        @virtual_time
        async def test_bob_is_greeted() -> None:
            async with running(function) as app:
                assert await app.invoke({"name": "bob"}) == "hello bob"

    pytest, unittest and a script call the result like any `def`; pytest passes fixtures to it.
    Tests that pytest-trio runs with its `autojump_clock` do not need it.

    When all tasks wait, the clock jumps to the next deadline: `trio.sleep(3600)` takes no time.
    While a thread works (`trio.to_thread`, `asyncio.to_thread` on okibi's loop, a plain `def`
    handler or route of FastAPI in a thread), the clock runs like the real one. The clock jumps
    while a task waits for the network, a subprocess or a `threading.Thread`: run such a test by the
    real clock, `trio.run(test)`.

    Args:
        test: an `async def`.

    Raises:
        TypeError: `test` is no `async def`.
        TimeoutError: raised by the test: all its tasks wait without a time limit.
    """
    if not inspect.iscoroutinefunction(test):
        raise TypeError(f"virtual_time takes an `async def`, got {test!r}")

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        clock = MockClock(autojump_threshold=0)
        return trio.run(partial(_run, partial(test, *args, **kwargs)), clock=clock)

    return run


async def _run(test: Callable[[], Awaitable[T]]) -> T:
    watch_threads()
    results = list[T]()
    waiting: BaseException | None = None
    with trio.move_on_after(FOREVER) as limit:
        try:
            results.append(await test())
        except BaseException as error:
            waiting = error
            raise
    if limit.cancel_called:
        raise TimeoutError(
            "the test waits forever: all its tasks wait, without a time limit. Stop each actor at "
            "the end of its nursery. A wait for the network, a subprocess or a thread of your own "
            "needs the real clock: trio.run(test)"
        ) from waiting
    return results[0]


class ThreadWatch(Instrument):
    """Lets the clock run like the real one while a thread works.

    A handler's thread lives longer than its calls; only the calls are work.

    Attributes:
        works: functions that tell whether a thread works; any of them may say so.
    """

    def __init__(self, clock: MockClock) -> None:
        self.works: list[Callable[[], bool]] = [_is_in_thread]
        self._clock = clock
        # The clock's threshold and rate from before the thread's work; None if no thread works.
        self._paused: tuple[float, float] | None = None

    def after_task_step(self, task: Task) -> None:
        works = any(each() for each in self.works)
        clock, paused = self._clock, self._paused
        if works and paused is None and clock.autojump_threshold < math.inf:
            self._paused = clock.autojump_threshold, clock.rate
            clock.autojump_threshold, clock.rate = math.inf, 1.0
        elif not works and paused is not None:
            self._paused = None
            clock.autojump_threshold, clock.rate = paused


def _is_in_thread() -> bool:
    threads = handler_threads()
    others = trio.testing.active_thread_count() - len(threads)
    # Not imported for a test without asyncio.
    asyncio_loop = sys.modules.get("okibi.asyncio_loop.loop")
    in_executor = asyncio_loop is not None and asyncio_loop.waits_for_thread()
    return others > 0 or in_executor or any(each.waits for each in threads) or _anyio_works()


def _anyio_works() -> bool:
    """Return whether anyio runs a function in a thread for asyncio, as for FastAPI's plain `def`.

    On trio, anyio uses trio's threads.
    """
    if "anyio._backends._asyncio" not in sys.modules:
        return False
    workers: list[Any] = [
        each for each in threading.enumerate() if each.name == "AnyIO worker thread"
    ]
    # Attributes of a class that is not public: without them, the thread counts as idle.
    return any(
        not getattr(each, "stopping", True) and each not in getattr(each, "idle_workers", (each,))
        for each in workers
    )


def watch_threads() -> ThreadWatch | None:
    """Return the ThreadWatch of this run, created at the first call; None with the real clock."""
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, MockClock):
        return None
    try:
        return _watch_of_run.get()
    except LookupError:
        watch = ThreadWatch(clock)
        _watch_of_run.set(watch)
        trio.lowlevel.add_instrument(watch)
        return watch


_watch_of_run: RunVar[ThreadWatch] = RunVar("thread watch")


def wall_clock() -> Callable[[], float]:
    """Return a wall clock that follows virtual time: seconds since the epoch.

    Outside a trio run, and by a real clock, it is the real one.
    """
    clock = trio.lowlevel.current_clock() if trio.lowlevel.in_trio_run() else None
    if not isinstance(clock, MockClock):
        # Looked up at each call: a test may replace `time.time`.
        return lambda: time.time()
    ahead = time.time() - clock.current_time()
    # Threads call this too: there, trio.current_time() raises.
    return lambda: clock.current_time() + ahead
