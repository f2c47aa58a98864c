"""The thread of a plain `def` that runs beside the loop, kept from one event to the next.

`trio.to_thread` uses a thread for one call: it takes a token, names the thread, and wakes the
caller through a task of its own. That is half of the cost of such an event. Here one `to_thread`
call lasts as long as the thread, so that all of `trio.from_thread` works in the thread. Calls
arrive in a queue, and their ends return at the loop's wait (`handlers.thread_calls`).

Values in a `threading.local` (a connection) are still there at the next event. An asyncio loop too:
with the official client a `def` runs on the main thread, where `asyncio.get_event_loop` creates a
loop, and Mangum relies on that. From Python 3.14 on, `get_event_loop` only returns a loop that was
set. If the user's import has set one, this thread gets a loop of its own.

A thread cannot be ended. A thread whose event is past its deadline is abandoned: it ends when its
call returns, and the result is dropped. The call can ask for this with
`trio.from_thread.check_cancelled`.
"""

import math
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import trio
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from ..deadlines.where_it_stood import ThreadFrameSource
from ..process_end.forked_child import exit_child
from ..system.scheduling import remove_timer_slack, use_batch_scheduling
from .thread_calls import Call, get_thread_calls

# One thread per event in flight. trio's limit of forty threads is too low for many lanes, and a
# handler that waits for its own `to_thread` must not hold a token of the limit.
THREADS = trio.CapacityLimiter(math.inf)
# The number of threads that have begun in this process.
_begun_count = [0]


class HandlerThread(ThreadFrameSource):
    """One thread of a handler, until the thread is abandoned or its nursery ends.

    Args:
        nursery: runs the task that owns the thread.
    """

    __slots__ = (
        "_begun",
        "_calls",
        "_has_call",
        "_needs_loop",
        "_process",
        "_refused_at",
        "_scope",
        "_thread_calls",
        "_waiting",
    )

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__()
        self._thread_calls = get_thread_calls()
        self._calls = SimpleQueue[Call | None]()
        self._has_call = self._begun = False
        # The number of begun threads when this one was refused.
        self._refused_at: int | None = None
        self._waiting: Task | None = None
        self._scope = trio.CancelScope()
        self._process = os.getpid()
        self._needs_loop = _has_loop()
        nursery.start_soon(self._hold, current_task().name)

    @property
    def running(self) -> bool:
        """Whether the thread has a call that has not ended; the call may not have begun."""
        return self._has_call

    @property
    def waits(self) -> bool:
        """Whether a task waits for the end of a call now."""
        return self._waiting is not None

    @property
    def refused(self) -> bool:
        """Whether the system refused this thread, and no thread has begun since."""
        return self._refused_at == _begun_count[0]

    async def call(self, act: Callable[[], object]) -> object:
        """Run a function in the thread, with this task's context variables.

        One call at a time. After a cancellation call `abandon`.

        Raises:
            BaseException: whatever `act` raises.
        """
        context = copy_context()
        # The result does not pass through trio: trio refuses a function that returns a coroutine,
        # and an error that passes through these frames would form a reference cycle with them.
        results: list[object] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(context.run(self.run, act))
            except BaseException as error:
                errors.append(error)
            if os.getpid() != self._process:
                # The call forked, and this is the child.
                exit_child(errors.pop() if errors else None)

        self._has_call = True
        self._thread_calls.hand_out(self._calls, run)
        while True:
            # Wait even if the call has already ended: a cancellation has to arrive here.
            self._waiting = current_task()
            await wait_task_rescheduled(self._abort)
            if results or errors:
                break
        if errors:
            raise errors.pop()
        return results.pop()

    def call_ended(self) -> None:
        """Wake the task that waits for the call."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            reschedule(waiting)

    def abandon(self) -> None:
        """Let the thread end with its call. A call that has not begun never begins, because its
        event is already answered.
        """
        with suppress(Empty):
            # A postponed call is in the queue by now: a cancelled task runs one pass later. The
            # queue may also hold the nursery's None.
            if self._calls.get_nowait() is not None:
                self._has_call = False
        self._calls.put(None)
        self._scope.cancel()

    def _abort(self, _: object) -> Abort:
        self._waiting = None
        return Abort.SUCCEEDED

    async def _hold(self, name: str) -> None:
        self._thread_calls.threads.add(self)
        try:
            with self._scope:
                await trio.to_thread.run_sync(
                    self._serve, thread_name=name, abandon_on_cancel=True, limiter=THREADS
                )
        except RuntimeError:
            # The system allows no more threads.
            self._refused_at = None if self._begun else _begun_count[0]
            raise
        finally:
            self._thread_calls.threads.discard(self)
            self._calls.put(None)

    def _serve(self) -> None:
        self._begun = True
        _begun_count[0] += 1
        remove_timer_slack()
        use_batch_scheduling()
        _local.loop, loop_offered = None, False
        try:
            while True:
                run = self._calls.get()
                if run is None:
                    return
                # Repeated until the user's code has imported asyncio.
                loop_offered = loop_offered or (_set_loop() if self._needs_loop else _offer_loop())
                run()
                self._has_call = False
                # Free the event before the next one.
                del run
                self._thread_calls.report_end(self)
        finally:
            _remove_loop()


class _ThreadLocal(threading.local):
    """The asyncio loop of a handler's thread."""

    loop: Any


_local = _ThreadLocal()


def _offer_loop() -> bool:
    """Make `asyncio.get_event_loop` create a loop in a handler's thread, if asyncio is imported."""
    asyncio: Any = sys.modules.get("asyncio")
    if sys.version_info < (3, 14) and hasattr(asyncio, "get_event_loop_policy"):
        policy = asyncio.get_event_loop_policy()
        if not isinstance(policy.get_event_loop, partial):
            policy.get_event_loop = partial(_get_or_create_loop, policy, policy.get_event_loop)
        return True
    return False


def _has_loop() -> bool:
    """Return whether a loop is set in this thread; before Python 3.14, asking may create one."""
    asyncio: Any = sys.modules.get("asyncio")
    if sys.version_info >= (3, 14) and hasattr(asyncio, "get_event_loop"):
        # A policy of the user may raise anything.
        with suppress(Exception):
            asyncio.get_event_loop()
            return True
    return False


def _set_loop() -> bool:
    """Set a new loop in this thread, unless the process has no descriptor left."""
    asyncio: Any = sys.modules["asyncio"]
    with suppress(OSError):
        _local.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(_local.loop)
    return _local.loop is not None


def _remove_loop() -> None:
    """Close the thread's loop: trio reuses the thread."""
    asyncio: Any = sys.modules.get("asyncio")
    if hasattr(asyncio, "set_event_loop"):
        # A policy of the user may raise anything.
        with suppress(Exception):
            asyncio.set_event_loop(None)
    if _local.loop is not None:
        _local.loop.close()
    del _local.loop


def _get_or_create_loop(policy: Any, given: Callable[[], object]) -> object:
    try:
        return given()
    except RuntimeError:
        # Create a loop once, as on the main thread: code that closes the loop gets no other.
        if getattr(_local, "loop", policy) is not None:
            raise
    _local.loop = policy.new_event_loop()
    policy.set_event_loop(_local.loop)
    return given()
