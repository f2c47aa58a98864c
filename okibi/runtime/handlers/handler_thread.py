"""The thread of a plain `def` that runs beside the loop, kept from one event to the next.

trio's `to_thread` makes each call a thread's whole work: it takes a token, names the thread, and
has the result told by a queue of trio's own, whose task wakes the one that waits: half of what such
an event costs. Here one call of `to_thread` lasts as long as the thread, so that all of
`trio.from_thread` works in it; what it is to run comes by a queue, and its waiter hears that it has
run where the loop waits (`handlers.thread_calls`).

What it keeps in a `threading.local`, a connection say, is there at the next event. So is a loop of
asyncio's, once it asks for one: with the official client a `def` runs on the main thread, where
`get_event_loop` makes one. From Python 3.14 on it gives only what was set there, at an import: who
has set one has one of its own in here, too. Mangum asks, and could serve nothing here without.

A thread cannot be ended. One whose event is over time is abandoned: it ends when its call does,
whose result is nobody's, and which may ask whether it is (`trio.from_thread.check_cancelled`).
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

from ..deadlines.where_it_stood import InThread
from ..process.forked_child import end_child
from ..system.scheduling import wake_behind_the_loop, wake_on_time
from .thread_calls import Call, exchange

# Of threads there is one for each event in flight. trio's own forty would be too few for many
# lanes, and a handler that waits for one of its own `to_thread` must not hold what that needs.
THREADS = trio.CapacityLimiter(math.inf)
# How many have begun in this process.
_begun = [0]


class HandlerThread(InThread):
    """One thread; from when it is made until it is abandoned, or its nursery ends.

    Args:
        nursery: what holds it.
    """

    __slots__ = (
        "_begun",
        "_calls",
        "_exchange",
        "_given",
        "_process",
        "_refused",
        "_scope",
        "_set",
        "_waits",
    )

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__()
        self._exchange = exchange()
        self._calls = SimpleQueue[Call | None]()
        self._given = self._begun = False
        # How many had begun by the time that this one could not be started.
        self._refused: int | None = None
        self._waits: Task | None = None
        self._scope = trio.CancelScope()
        self._process = os.getpid()
        self._set = _has_set_loop()
        nursery.start_soon(self._hold, current_task().name)

    @property
    def running(self) -> bool:
        """Whether it has a call that has not ended, begun or not."""
        return self._given

    @property
    def refused(self) -> bool:
        """Whether it could not be started, and none could since."""
        return self._refused == _begun[0]

    async def call(self, act: Callable[[], object]) -> object:
        """Run something of the handler's, with this task's context variables.

        One at a time; one that is cancelled must be the last (`abandon`).

        Raises:
            BaseException: what it raised.
        """
        context = copy_context()
        # What it came to, past trio: that refuses a function that returns a coroutine, which a
        # handler may, and an error that its frames pass on is kept by them, in a circle.
        results: list[object] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(context.run(self.run, act))
            except BaseException as error:
                errors.append(error)
            if os.getpid() != self._process:
                # It has forked, and this is the child.
                end_child(errors.pop() if errors else None)

        self._given = True
        self._exchange.give(self._calls, run)
        while True:
            # Even if it has run by now: whoever is cancelled is to hear of it here.
            self._waits = current_task()
            await wait_task_rescheduled(self._given_up)
            if results or errors:
                break
        if errors:
            raise errors.pop()
        return results.pop()

    def ended(self) -> None:
        """Its call has ended: wake who waits for that."""
        waits, self._waits = self._waits, None
        if waits is not None:
            reschedule(waits)

    def abandon(self) -> None:
        """Let it go: it ends when its call does. One that it has not taken by now never begins, for
        its event is answered.
        """
        with suppress(Empty):
            # It was put there by now: who is cancelled has its step a pass later. What there is may
            # also be the nursery's end.
            if self._calls.get_nowait() is not None:
                self._given = False
        self._calls.put(None)
        self._scope.cancel()

    def _given_up(self, _: object) -> Abort:
        self._waits = None
        return Abort.SUCCEEDED

    async def _hold(self, name: str) -> None:
        try:
            with self._scope:
                await trio.to_thread.run_sync(
                    self._serve, thread_name=name, abandon_on_cancel=True, limiter=THREADS
                )
        except RuntimeError:
            # The process has as many as it may have.
            self._refused = None if self._begun else _begun[0]
            raise
        finally:
            self._calls.put(None)

    def _serve(self) -> None:
        self._begun = True
        _begun[0] += 1
        wake_on_time()
        wake_behind_the_loop()
        _own.loop, offered = None, False
        try:
            while True:
                run = self._calls.get()
                if run is None:
                    return
                # The user's code may not have imported asyncio yet.
                offered = offered or (_set_loop() if self._set else _offer_loop())
                run()
                self._given = False
                # The event must not be kept until the next one.
                del run
                self._exchange.tell(self)
        finally:
            _leave_no_loop()


class _Own(threading.local):
    """What the thread of a handler has, and no other."""

    loop: Any


_own = _Own()


def _offer_loop() -> bool:
    """Have `asyncio.get_event_loop` make a loop for a handler's thread, if asyncio is imported."""
    asyncio: Any = sys.modules.get("asyncio")
    if sys.version_info < (3, 14) and hasattr(asyncio, "get_event_loop_policy"):
        policy = asyncio.get_event_loop_policy()
        if not isinstance(policy.get_event_loop, partial):
            policy.get_event_loop = partial(_loop_of, policy, policy.get_event_loop)
        return True
    return False


def _has_set_loop() -> bool:
    """Whether this thread was given a loop of asyncio's; before Python 3.14 to ask may make one."""
    asyncio: Any = sys.modules.get("asyncio")
    if sys.version_info >= (3, 14) and hasattr(asyncio, "get_event_loop"):
        # A policy of the user's may do whatever it likes.
        with suppress(Exception):
            asyncio.get_event_loop()
            return True
    return False


def _set_loop() -> bool:
    """Set a new one, if there is a descriptor left for it."""
    asyncio: Any = sys.modules["asyncio"]
    with suppress(OSError):
        _own.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(_own.loop)
    return _own.loop is not None


def _leave_no_loop() -> None:
    """Close its own, and have this thread know of none: trio keeps it for another, for a while."""
    asyncio: Any = sys.modules.get("asyncio")
    if hasattr(asyncio, "set_event_loop"):
        # A policy of the user's may do whatever it likes.
        with suppress(Exception):
            asyncio.set_event_loop(None)
    if _own.loop is not None:
        _own.loop.close()
    del _own.loop


def _loop_of(policy: Any, given: Callable[[], object]) -> object:
    try:
        return given()
    except RuntimeError:
        # Once, as for the main thread: what closes it need not find another.
        if getattr(_own, "loop", policy) is not None:
            raise
    _own.loop = policy.new_event_loop()
    policy.set_event_loop(_own.loop)
    return given()
