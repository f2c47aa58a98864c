"""The asyncio loop in a thread of its own, and how trio tasks have something run on it.

It lasts: a client session that a module keeps belongs to a loop, and would be of no use on the
next one. So, like a lane, it outlives the actor that looks after it (`loop_actor`).

All bookkeeping is done on trio's side, by callbacks that its token runs in order: what is told
of the loop's end comes after whatever the loop has told before. The thread itself only runs the
loop. Rejected: trio's guest mode, which would run all of trio on asyncio and make every other
hop slower; a loop for each invocation, which ends the sessions with it.
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

import outcome  # what trio carries results in
import trio
from trio.lowlevel import Abort, RaiseCancelT, Task, TrioToken, current_trio_token

from ....actors import logs
from ....actors.frames import Frames, running_from
from ...deadlines.where_it_stood import Elsewhere, frames_of_awaiting, frames_of_error
from ...errors.error_response import calls_handler
from ...process.forked_child import end_child, end_on_loop, forked_in
from ...settings import threads_for
from ...system.unlisted_thread import start_unlisted_thread
from .leftover_tasks import Left

logger = logs.logger("okibi")

P = ParamSpec("P")
R = TypeVar("R")

# By its loop, code that runs there finds the way back; two trees in one process never meet.
TRIO_TOKENS: WeakKeyDictionary[asyncio.AbstractEventLoop, TrioToken] = WeakKeyDictionary()


class LoopEnded(Exception):
    """The asyncio loop ended before what was run on it."""


class Job(Elsewhere):
    """Something that a trio task has run on the loop, and waits for."""

    __slots__ = ("_act", "_cancel", "_stopped_by", "_waiting", "beside", "running")

    def __init__(self, act: Callable[[], Awaitable[Any]], waiting: Task, beside: bool) -> None:
        self.beside = beside
        self._act = act
        self._waiting: Task | None = waiting
        self._cancel: RaiseCancelT | None = None
        self._stopped_by: BaseException | None = None
        self.running: asyncio.Task[outcome.Outcome[Any]] | None = None

    # -- on the loop

    def begin(self, tell: Callable[[outcome.Outcome[Any]], None]) -> None:
        """Start it: a task in the context that this is called in."""
        self.running = asyncio.get_running_loop().create_task(_captured(self._act))
        # It holds an event, and who counts what was abandoned holds this.
        del self._act

        def ended(task: "asyncio.Task[outcome.Outcome[Any]]") -> None:
            # It has the error, whose traceback has the frames that wait for this job.
            self.running = None
            tell(_outcome_of(task))

        self.running.add_done_callback(ended)

    def stop(self) -> None:
        """Cancel it, once, as `asyncio.run` does."""
        if self.running is not None:
            self.running.cancel()

    # -- on trio's side

    @property
    def given_up(self) -> bool:
        """Whether who waits was cancelled."""
        return self._cancel is not None

    def give_up(self, raise_cancel: RaiseCancelT) -> None:
        """Remember that who waits was cancelled: the loop's answer is then Cancelled."""
        self._cancel = raise_cancel

    def abandon(self, waiting: Task) -> bool:
        """Have who was cancelled go on at once, if it is this one that waits for it."""
        if self._cancel is None or self._waiting is not waiting:
            return False
        self._waiting = None
        trio.lowlevel.reschedule(waiting, outcome.capture(self._cancel))
        return True

    def finish(self, result: outcome.Outcome[Any]) -> None:
        """Wake who waits, with what came of it."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            if isinstance(result, outcome.Error) and not _is_cancelled(result):
                logger.error("an abandoned handler has raised", exc_info=result.error)
            return
        if self._cancel is not None and _is_cancelled(result):
            self._stopped_by = result.error
            # Without a name: Cancelled's traceback leads to this frame.
            trio.lowlevel.reschedule(waiting, outcome.capture(self._cancel))
        else:
            trio.lowlevel.reschedule(waiting, result)

    def frames(self) -> Frames:
        """Where it was when it was cancelled, or is now."""
        if self._stopped_by is not None:
            return frames_of_error(self._stopped_by)
        coroutine: Any = self.running.get_coro() if self.running is not None else None
        if getattr(coroutine, "cr_running", False):
            return running_from(coroutine.cr_frame)
        return frames_of_awaiting(coroutine)


@calls_handler
async def _awaited(target: Callable[[], Awaitable[R]]) -> R:
    return await target()


# A frame of the job's own would be in the traceback of the error that the job keeps: a circle.
async def _captured(act: Callable[[], Awaitable[Any]]) -> outcome.Outcome[Any]:
    process = os.getpid()
    # Captured, SystemExit does not leave the task: it would end `run_forever`.
    result: outcome.Outcome[Any] = await outcome.acapture(act)
    try:
        if os.getpid() != process:
            # It has forked, and this is the child: loop and wake-ups are its parent's.
            end_child(getattr(result, "error", None))
        return result
    finally:
        # So would one that is bound here.
        del result


def _outcome_of(task: "asyncio.Task[outcome.Outcome[Any]]") -> outcome.Outcome[Any]:
    """What a job came to; one cancelled before it began has captured nothing."""
    return outcome.Error(asyncio.CancelledError()) if task.cancelled() else task.result()


def _is_cancelled(result: outcome.Outcome[Any]) -> TypeGuard[outcome.Error]:
    return isinstance(result, outcome.Error) and isinstance(result.error, asyncio.CancelledError)


class AsyncioLoop:
    """The loop: started once, used by any trio task of its run.

    Args:
        lanes: how many events may be in flight. Each finds as many threads for `asyncio.to_thread`,
            and for names to be looked up, as it would find alone.

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
        # Of the thread that the loop runs in, and whether `threading` knows its name.
        self.ident = 0
        self._named = False
        self.error: BaseException | None = None
        self._up, self._down = trio.Event(), trio.Event()
        self._down.set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: set[Job] = set()
        self._closing = False
        self._left = Left()
        # Each is counted by one thread only: how often it was told to cancel, and has.
        self._told = 0
        self._heard = 0

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return not self._down.is_set()

    @property
    def stuck(self) -> bool:
        """Whether it has not heard yet that something is to be cancelled: its thread is busy."""
        return self.alive and self._told != self._heard

    async def start(self) -> None:
        """Start the thread, and wait until the loop runs there.

        Raises:
            LoopEnded: it could not be made; its `__cause__` says why.
        """
        self.error, self._closing, self._named = None, False, False
        self._told = self._heard = 0
        try:
            # The end of the process does not wait for what the user's code holds on to there.
            self.ident = start_unlisted_thread(partial(self._live, current_trio_token()))
        except RuntimeError as error:
            raise LoopEnded("the asyncio loop did not start") from error
        # Not before: without a thread nobody would ever say that it has ended.
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
        """Run something on the loop, as a task of its own in this task's context, to its end.

        Cancelled, it cancels that task once and waits until it has ended.

        Raises:
            LoopEnded: the loop ended before.
            Whatever `target` raises, SystemExit too.
        """

        return await self._run(partial(target, *args, **kwargs), False)

    async def run_beside(self, target: Callable[..., Awaitable[object]], *args: object) -> None:
        """Run something that goes on while handlers come and go: none of them has left it."""
        await self._run(partial(target, *args), True)

    async def _run(self, target: Callable[[], Awaitable[R]], beside: bool) -> R:
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._up.is_set():
            await self._up.wait()
        job = Job(partial(_awaited, target), trio.lowlevel.current_task(), beside)
        # Before it can begin: else its task would be taken for one that somebody has left.
        self._jobs.add(job)
        try:
            if not self._named:
                self._named = True
                self._soon(_name_thread)
            self._soon(job.begin, self._teller(current_trio_token(), job))
        except LoopEnded:
            self._jobs.discard(job)
            raise

        def abort(raise_cancel: RaiseCancelT) -> Abort:
            job.give_up(raise_cancel)
            self._told += 1
            # If it has ended, word of that is on its way here, and ends the wait.
            with suppress(LoopEnded):
                self._soon(self._hear, job)
            return Abort.FAILED

        result: R = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    def abandon(self, waiting: Task) -> Callable[[], bool] | None:
        """Have a task that was cancelled go on without what it waits for here, which may clean up
        for as long as it likes: asyncio cancels once, and a rollback is not to be cut short.

        Returns:
            How to see whether that still runs; None if it waits for nothing here.
        """
        for job in self._jobs:
            if job.abandon(waiting):
                return lambda: job in self._jobs
        return None

    def _soon(self, act: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(act, *args, context=contextvars.copy_context())
        except RuntimeError:
            raise LoopEnded("the asyncio loop has ended") from self.error

    async def wait_ended(self) -> BaseException | None:
        """Wait until the thread has ended, and say what ended it."""
        await self._down.wait()
        return self.error

    async def close(self) -> None:
        """Cancel what runs on it, shut its async generators down, close it; wait until it has."""
        if self.alive and not self._closing:
            self._closing = True
            if self._loop is not None:
                # It may be ending already.
                with suppress(LoopEnded):
                    self._soon(self._loop.stop)
        await self._down.wait()

    def forked(self) -> None:
        """In a child of this process that was forked on the loop: end it once its step is over."""
        loop: Any = self._loop
        if loop is None or self.ident != threading.get_ident():
            return
        end = partial(end_on_loop, forked_in())
        # uvloop's has no such queue.
        ready = getattr(loop, "_ready", None)
        if ready is None:
            loop.call_soon(end)
        else:
            # Before all that was to be next.
            ready.appendleft(asyncio.Handle(end, (), loop))

    # -- told by the thread, on trio's side

    def _started(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._up.set()

    def _finished(self, job: Job, result: outcome.Outcome[Any]) -> None:
        self._jobs.discard(job)
        if self._closing and not job.given_up and _is_cancelled(result):
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

    def _hear(self, job: Job) -> None:
        self._heard += 1
        job.stop()

    def _teller(self, token: TrioToken, job: Job) -> Callable[[outcome.Outcome[Any]], None]:
        def tell(result: outcome.Outcome[Any]) -> None:
            others = self._jobs - {job}
            try:
                if not job.beside and all(other.beside for other in others):
                    self._left.look({other.running for other in others})
            finally:
                # A log handler of the user's may raise: who waits must be told all the same.
                _tell(token, self._finished, job, result)

        return tell

    def _live(self, token: TrioToken) -> None:
        error: BaseException | None = None
        try:
            loop = asyncio.new_event_loop()
            try:
                asyncio.set_event_loop(loop)
                if self._lanes > 1:
                    _give_threads(loop, self._lanes)
                TRIO_TOKENS[loop] = token
                loop.call_soon(_tell, token, self._started, loop)
                self._run_on(loop)
            finally:
                _close(loop)
        except BaseException as crash:
            error = crash
        _tell(token, self._ended, error)

    def _run_on(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._closing:
            try:
                loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                # asyncio lets these two out of any task. No code below the top ends the process,
                # and the sessions that live on this loop have done nothing wrong.
                logger.exception(
                    "a background task raised %s; the asyncio loop goes on", type(error).__name__
                )
            else:
                if not self._closing:
                    logger.error("user code has stopped the asyncio loop; it goes on")


def _tell(token: TrioToken, act: Callable[..., None], *args: object) -> None:
    try:
        token.run_sync_soon(act, *args)
    except trio.RunFinishedError:
        # Nobody waits any more.
        return


def _name_thread() -> None:
    """Have `threading` list the loop's thread: code of the user's is about to run there."""
    threading.current_thread().name = "okibi asyncio"


def _give_threads(loop: asyncio.AbstractEventLoop, lanes: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    # As many as asyncio's own has, for each; none is started before it is needed.
    count = threads_for(lanes, min(32, (os.cpu_count() or 1) + 4))
    loop.set_default_executor(ThreadPoolExecutor(count, "asyncio"))


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """End it as `asyncio.run` ends its own, but for the threads, which nobody can end."""
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
        logger.exception("the asyncio loop did not end well")
    finally:
        asyncio.set_event_loop(None)
        loop.close()
