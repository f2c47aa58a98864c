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
from typing import Any, TypeVar

import trio
from trio.lowlevel import checkpoint_if_cancelled

from ..actors.process import Process
from .from_asyncio import run_on_trio
from .job import Job
from .loop import AsyncioLoop, loop_of_run
from .slices import Origin

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
    job = loop.begin_job(act, Origin(of_actor=True))
    return await _result(loop, job)  # type: ignore[no-any-return]


async def run_method(process: Process, method: Awaitable[R]) -> R:
    """Run an actor's method on asyncio, and wait for its result in the actor's task."""
    try:
        loop = loop_of_run()
    except BaseException:
        if isinstance(method, CoroutineType):
            method.close()
        raise
    job = loop.begin_job(lambda: method, Origin(of_actor=True, is_method=True))
    return await _result(loop, job, process)  # type: ignore[no-any-return]


async def _result(loop: AsyncioLoop, job: Job, process: Process | None = None) -> Any:
    """Return a job's result. A cancelled job that does not end is left behind.

    Args:
        loop: runs the job.
        job: has begun.
        process: the actor whose method the job runs: the wait lasts until the end of its grace, or
            a kill. None for a wait of CLEAN_UP seconds.
    """
    if job.ended:
        return job.take_result()
    timer: asyncio.TimerHandle | None = None

    def set_timer() -> None:
        nonlocal timer
        # On asyncio, so that a function that ends in its next step has ended before.
        if timer is not None:
            timer.cancel()
        end = trio.current_time() + CLEAN_UP if process is None else process.deadline()
        if end < math.inf and loop.loop is not None:
            timer = loop.loop.call_at(end, job.abandon)
        loop.run_later()

    def limit() -> None:
        if process is not None:
            process.scopes.call_back(set_timer, set_timer)
        set_timer()

    try:
        await job.wait(limit)
    finally:
        if timer is not None:
            timer.cancel()
        if process is not None:
            process.scopes.forget_callbacks()
    return job.take_result()
