"""Run the methods of actors on asyncio: a `Loop` of `okibi.actors.loops`.

A method runs as a job of the loop of this run of trio, while the actor's task waits. So mailbox,
order, supervision and deadlines are those of any actor.

A cancelled method may clean up until the grace of its actor is over. Then, and after a kill, the
actor ends without the method: asyncio cancels a task once, and code on asyncio may wait for a
server that does not answer.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import TypeVar

from trio.lowlevel import checkpoint_if_cancelled
from trio.lowlevel import current_task as current_trio_task

from ..actors.process import Process
from .from_asyncio import run_on_trio
from .job import Job
from .loop import AsyncioLoop, loop_of_run
from .slices import ORIGIN

__all__ = ["current_task", "run", "run_method", "run_on_trio"]

R = TypeVar("R")

# Seconds that a cancelled function which is no method has to clean up.
CLEAN_UP = 0.25

current_task = asyncio.current_task


async def run(act: Callable[[], Awaitable[R]]) -> R:
    """Run an async function of an actor on asyncio, and wait for its result.

    The actor's loop does not wait for it, as it does for a method. A cancelled function that has
    not ended after CLEAN_UP seconds is left behind.
    """
    await checkpoint_if_cancelled()
    loop = loop_of_run()
    job = loop.begin_job(lambda: _run_for_actor(act))
    if not job.ended:
        task, timer = current_trio_task(), None

        def limit(_: Job) -> None:
            nonlocal timer
            if loop.loop is not None:
                timer = loop.loop.call_later(CLEAN_UP, loop.abandon, task)
            loop.run_later()

        try:
            await job.wait(limit)
        finally:
            if timer is not None:
                timer.cancel()
    return job.take_result()  # type: ignore[no-any-return]


async def _run_for_actor(act: Callable[[], Awaitable[R]]) -> R:
    ORIGIN.get().of_actor = True
    return await act()


async def run_method(process: Process, method: Awaitable[R]) -> R:
    """Run an actor's method on asyncio, and wait for its result in the actor's task."""
    try:
        loop = loop_of_run()
    except BaseException:
        if isinstance(method, CoroutineType):
            method.close()
        raise
    job = loop.begin_job(lambda: method, is_method=True)
    if not job.ended:
        limit = _GraceLimit(process, loop)
        try:
            await job.wait(limit.begin)
        finally:
            limit.end()
    return job.take_result()  # type: ignore[no-any-return]


class _GraceLimit:
    """Ends the wait for a cancelled method at the end of the actor's grace, and at a kill."""

    __slots__ = ("_began", "_loop", "_process", "_task", "_timer")

    def __init__(self, process: Process, loop: AsyncioLoop) -> None:
        self._process, self._loop, self._task = process, loop, current_trio_task()
        self._began = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, _: Job) -> None:
        """Limit the wait: the job was cancelled."""
        self._began = True
        self._process.scopes.call_back(self._set_timer, self._set_timer)
        self._set_timer()

    def _set_timer(self) -> None:
        # On asyncio, so that a method that ends in its next step has ended before.
        if self._timer is not None:
            self._timer.cancel()
        end, running = self._process.deadline(), self._loop.loop
        if end < math.inf and running is not None:
            self._timer = running.call_at(end, self._loop.abandon, self._task)
        self._loop.run_later()

    def end(self) -> None:
        """End the limit: the caller no longer waits."""
        if self._began:
            self._process.scopes.forget_callbacks()
        if self._timer is not None:
            self._timer.cancel()
