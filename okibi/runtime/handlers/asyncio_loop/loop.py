"""The asyncio loop in its own thread, and jobs that trio tasks run on the loop.

The loop lasts as long as the process, because a client session in a module belongs to one loop.
Like a lane, the loop outlives its actor (`loop_actor`).

All bookkeeping happens on trio's side, in callbacks that the trio token runs in order. The report
of the loop's end therefore comes after all earlier reports. The thread only runs the loop.

Rejected: trio's guest mode, which would run all of trio on asyncio and slow down every other
switch between tasks; a loop per invocation, which would end the sessions.
"""

import asyncio
import contextvars
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeGuard, TypeVar
from weakref import WeakKeyDictionary

import outcome  # trio's own dependency
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, TrioToken, current_trio_token

from ....actors import logs
from ....actors.frames import Frames, running_from
from ...deadlines.where_it_stood import FrameSource, frames_of_coroutine, frames_of_error
from ...errors.error_response import calls_handler
from ...process_end.forked_child import exit_child, exit_on_loop, fork_location
from ...settings import thread_limit
from ...system.thread_progress import ThreadProgress
from ...system.unlisted_thread import start_unlisted_thread
from .leftover_tasks import LeftoverTaskLog

logger = logs.logger("okibi")

P = ParamSpec("P")
R = TypeVar("R")

# The trio token of each loop, so that two trees in one process stay separate.
TRIO_TOKENS: WeakKeyDictionary[asyncio.AbstractEventLoop, TrioToken] = WeakKeyDictionary()


class LoopEnded(Exception):
    """The asyncio loop ended before a job on the loop."""


class Job(FrameSource):
    """An async function that runs on the loop while a trio task waits for the result."""

    __slots__ = ("_act", "_cancel", "_stopped_by", "_waiting", "background", "running")

    def __init__(self, act: Callable[[], Awaitable[Any]], waiting: Task, background: bool) -> None:
        self.background = background
        self._act = act
        self._waiting: Task | None = waiting
        self._cancel: RaiseCancelT | None = None
        self._stopped_by: BaseException | None = None
        self.running: asyncio.Task[outcome.Outcome[Any]] | None = None

    # -- on the loop

    def begin(self, report: Callable[[outcome.Outcome[Any]], None]) -> None:
        """Start the asyncio task, in the current context variables."""
        self.running = asyncio.get_running_loop().create_task(_captured(self._act))
        # Free the event: the count of abandoned jobs keeps this object.
        del self._act

        def done(task: "asyncio.Task[outcome.Outcome[Any]]") -> None:
            # Break the cycle: task, error, traceback, the frames that wait for this job.
            self.running = None
            report(_outcome_of(task))

        self.running.add_done_callback(done)

    def stop(self) -> None:
        """Cancel the asyncio task once, as `asyncio.run` does."""
        if self.running is not None:
            self.running.cancel()

    # -- on trio's side

    @property
    def is_cancelled(self) -> bool:
        """Whether the waiting trio task was cancelled."""
        return self._cancel is not None

    def cancel(self, raise_cancel: RaiseCancelT) -> None:
        """Note that the waiting trio task was cancelled; the job's result becomes Cancelled."""
        self._cancel = raise_cancel

    def abandon(self, waiting: Task) -> bool:
        """Resume a cancelled trio task at once, if the task waits for this job."""
        if self._cancel is None or self._waiting is not waiting:
            return False
        self._waiting = None
        trio.lowlevel.reschedule(waiting, outcome.capture(self._cancel))
        return True

    def finish(self, result: outcome.Outcome[Any]) -> None:
        """Resume the waiting trio task with the result."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            if isinstance(result, outcome.Error) and not _is_cancelled(result):
                logger.error("an abandoned handler raised", exc_info=result.error)
            return
        if self._cancel is not None and _is_cancelled(result):
            self._stopped_by = result.error
            # Not in a variable: the traceback of Cancelled refers to this frame.
            trio.lowlevel.reschedule(waiting, outcome.capture(self._cancel))
        else:
            trio.lowlevel.reschedule(waiting, result)

    def frames(self) -> Frames:
        """Return the frames of the job when it was cancelled, or now."""
        if self._stopped_by is not None:
            return frames_of_error(self._stopped_by)
        coroutine: Any = self.running.get_coro() if self.running is not None else None
        if getattr(coroutine, "cr_running", False):
            return running_from(coroutine.cr_frame)
        return frames_of_coroutine(coroutine)


@calls_handler
async def _awaited(target: Callable[[], Awaitable[R]]) -> R:
    return await target()


# Not a method of Job: the error's traceback would refer to the job, and the job to the error.
async def _captured(act: Callable[[], Awaitable[Any]]) -> outcome.Outcome[Any]:
    process = os.getpid()
    # Captured, because a SystemExit that leaves a task ends `run_forever`.
    result: outcome.Outcome[Any] = await outcome.acapture(act)
    try:
        if os.getpid() != process:
            # The job forked, and this is the child, without a loop of its own.
            exit_child(getattr(result, "error", None))
        return result
    finally:
        # The traceback also refers to this frame.
        del result


def _outcome_of(task: "asyncio.Task[outcome.Outcome[Any]]") -> outcome.Outcome[Any]:
    """Return the result of a job; a job that was cancelled before its start captured nothing."""
    return outcome.Error(asyncio.CancelledError()) if task.cancelled() else task.result()


def _is_cancelled(result: outcome.Outcome[Any]) -> TypeGuard[outcome.Error]:
    return isinstance(result, outcome.Error) and isinstance(result.error, asyncio.CancelledError)


class AsyncioLoop:
    """The asyncio loop of a function; any trio task of the run may use the loop.

    Args:
        lanes: the number of events that may be in flight. The loop's default executor has a full
            set of threads for each (`asyncio.to_thread`, name resolution).

    >>> import asyncio, trio
    >>> from okibi.runtime.handlers.asyncio_loop.loop import AsyncioLoop
    >>> async def main():
    ...     loop = AsyncioLoop()
    ...     await loop.start()
    ...     print(await loop.run(asyncio.sleep, 0, "slept"))
    ...     await loop.close()
    >>> trio.run(main)
    slept
    """

    def __init__(self, lanes: int = 1) -> None:
        self._lanes = lanes
        # The identity of the loop's thread, and whether `threading` lists the thread.
        self.ident = 0
        self._named = False
        self.error: BaseException | None = None
        self._up, self._down = trio.Event(), trio.Event()
        self._down.set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: set[Job] = set()
        self._closing = False
        self._leftover_tasks = LeftoverTaskLog()
        # Cancellations sent to the loop and taken by the loop; one thread writes each counter.
        self._cancels_sent = 0
        self._cancels_taken = 0
        # Of the thread.
        self._progress: ThreadProgress

    @property
    def alive(self) -> bool:
        """Whether the loop's thread runs."""
        return not self._down.is_set()

    @property
    def stuck(self) -> bool:
        """Whether a cancellation waits for the loop: a handler may block the loop's thread."""
        return self.alive and self._cancels_sent != self._cancels_taken

    def look(self) -> bool:
        """Return whether a handler holds a stuck loop, by this look and the one before."""
        return self.stuck and self._progress.is_stuck(self._cancels_taken)

    async def start(self) -> None:
        """Start the thread, and wait until the loop runs there.

        Raises:
            LoopEnded: the loop could not be created; see `__cause__`.
        """
        self.error, self._closing, self._named = None, False, False
        self._cancels_sent = self._cancels_taken = 0
        try:
            # An unlisted thread, so that the end of the process does not wait for user code.
            self.ident = start_unlisted_thread(partial(self._live, current_trio_token()))
        except RuntimeError as error:
            raise LoopEnded("the asyncio loop did not start") from error
        # After the thread's start: without a thread, nothing would set the event.
        self._down = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_down, nursery.cancel_scope)
            await self._up.wait()
            nursery.cancel_scope.cancel()
        if not self.alive:
            raise LoopEnded("the asyncio loop did not start") from self.error

    async def _cancel_when_down(self, scope: trio.CancelScope) -> None:
        await self._down.wait()
        scope.cancel()

    async def run(
        self, target: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run an async function on the loop, with this task's context variables.

        A cancellation cancels the asyncio task once, and waits until the asyncio task has ended.

        Raises:
            LoopEnded: the loop ended before the function.
            BaseException: whatever `target` raises, including SystemExit.
        """

        return await self._run(partial(target, *args, **kwargs), False)

    async def run_in_background(
        self, target: Callable[..., Awaitable[object]], *args: object
    ) -> None:
        """Run an async function of a Handler's nursery, which is not a leftover task."""
        await self._run(partial(target, *args), True)

    async def _run(self, target: Callable[[], Awaitable[R]], background: bool) -> R:
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._up.is_set():
            await self._up.wait()
        job = Job(partial(_awaited, target), trio.lowlevel.current_task(), background)
        # Before the job begins; otherwise its task could be logged as a leftover.
        self._jobs.add(job)
        try:
            if not self._named:
                self._named = True
                self._call_soon(_name_thread)
            self._call_soon(job.begin, self._reporter(current_trio_token(), job))
        except LoopEnded:
            self._jobs.discard(job)
            raise

        def abort(raise_cancel: RaiseCancelT) -> Abort:
            job.cancel(raise_cancel)
            self._cancels_sent += 1
            # If the loop has ended, its report is on the way and ends the wait.
            with suppress(LoopEnded):
                self._call_soon(self._stop, job)
            return Abort.FAILED

        result: R = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    def abandon(self, waiting: Task) -> Callable[[], bool] | None:
        """Resume a cancelled trio task without waiting for its job.

        The job may clean up for any time: asyncio cancels once, and a rollback must not be cut
        short.

        Returns:
            A function: whether the job still runs. None if the task waits for no job.
        """
        for job in self._jobs:
            if job.abandon(waiting):
                return lambda: job in self._jobs
        return None

    def _call_soon(self, act: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(act, *args, context=contextvars.copy_context())
        except RuntimeError:
            raise LoopEnded("the asyncio loop has ended") from self.error

    async def wait_ended(self) -> BaseException | None:
        """Wait until the thread has ended, and return the error that ended the thread."""
        await self._down.wait()
        return self.error

    async def close(self) -> None:
        """Cancel all tasks, shut down the async generators, close the loop; wait for the end."""
        if self.alive and not self._closing:
            self._closing = True
            if self._loop is not None:
                # The loop may already be ending.
                with suppress(LoopEnded):
                    self._call_soon(self._loop.stop)
        await self._down.wait()

    def after_fork_in_child(self) -> None:
        """In a child that was forked on the loop: end the process after the current step."""
        loop: Any = self._loop
        if loop is None or self.ident != threading.get_ident():
            return
        end = partial(exit_on_loop, fork_location())
        # uvloop has no such queue.
        ready = getattr(loop, "_ready", None)
        if ready is None:
            loop.call_soon(end)
        else:
            # Before all callbacks that are ready.
            ready.appendleft(asyncio.Handle(end, (), loop))

    # -- reports of the thread, on trio's side

    def _started(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._up.set()

    def _finished(self, job: Job, result: outcome.Outcome[Any]) -> None:
        self._jobs.discard(job)
        if self._closing and not job.is_cancelled and _is_cancelled(result):
            result = outcome.Error(LoopEnded("the asyncio loop was closed"))
        job.finish(result)

    def _ended(self, error: BaseException | None) -> None:
        self.error = error
        self._up = trio.Event()
        self._down.set()
        jobs, self._jobs = self._jobs, set()
        for job in jobs:
            ended = LoopEnded("the asyncio loop ended before the handler")
            ended.__cause__ = error
            job.finish(outcome.Error(ended))

    # -- in the thread

    def _stop(self, job: Job) -> None:
        self._cancels_taken += 1
        job.stop()

    def _reporter(self, token: TrioToken, job: Job) -> Callable[[outcome.Outcome[Any]], None]:
        def report(result: outcome.Outcome[Any]) -> None:
            others = self._jobs - {job}
            try:
                if not job.background and all(other.background for other in others):
                    self._leftover_tasks.log_new({other.running for other in others})
            finally:
                # Report even if a log handler of the user raised.
                _call_on_trio(token, self._finished, job, result)

        return report

    def _live(self, token: TrioToken) -> None:
        error: BaseException | None = None
        self._progress = ThreadProgress()
        try:
            loop = asyncio.new_event_loop()
            try:
                asyncio.set_event_loop(loop)
                if self._lanes > 1:
                    _give_threads(loop, self._lanes)
                TRIO_TOKENS[loop] = token
                loop.call_soon(_call_on_trio, token, self._started, loop)
                self._run_on(loop)
            finally:
                _close(loop)
        except BaseException as crash:
            error = crash
        _call_on_trio(token, self._ended, error)

    def _run_on(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._closing:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                # asyncio lets these two leave `run_forever`. A task does not end the process,
                # and the sessions on this loop still work.
                logger.exception(
                    "a background task raised %s; the asyncio loop continues", type(error).__name__
                )
            else:
                if not self._closing:
                    logger.error("user code stopped the asyncio loop; the loop continues")


def _call_on_trio(token: TrioToken, act: Callable[..., None], *args: object) -> None:
    try:
        token.run_sync_soon(act, *args)
    except trio.RunFinishedError:
        # The run, and with it every waiting task, has ended.
        return


def _name_thread() -> None:
    """Let `threading` list the loop's thread, before user code runs there."""
    threading.current_thread().name = "okibi asyncio"


def _give_threads(loop: asyncio.AbstractEventLoop, lanes: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    # The size of asyncio's own executor, per lane. A thread starts when needed.
    count = thread_limit(lanes, min(32, (os.cpu_count() or 1) + 4))
    loop.set_default_executor(ThreadPoolExecutor(count, "asyncio"))


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Close the loop as `asyncio.run` does, without waiting for threads, which cannot be ended."""
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        executor = getattr(loop, "_default_executor", None)
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)
    except BaseException:
        logger.exception("closing the asyncio loop failed")
    finally:
        asyncio.set_event_loop(None)
        loop.close()
