"""The asyncio loop of a run of trio, and jobs that trio tasks run on the loop.

asyncio runs inside trio's thread, between steps of trio's tasks. trio waits for the descriptor of
the loop's selector and for the loop's next timer. Then the loop runs a *slice*: until nothing in it
is ready, or for `slices.SLICE` seconds. A system task of trio, the pump, runs the slices. A task
that starts a job runs the first slice itself: a short job ends without a switch of tasks.

The loop lasts as long as the run, because a client session belongs to one loop.

Rejected: a thread for the loop (60 to 180 us a crossing, no virtual time, every actor behind two
threads); trio's guest mode, which would run all of trio on asyncio and slow down every other switch
between tasks; a loop for each invocation, which would end the sessions; one iteration of the loop a
wake-up, which costs twice the processor time with many waits.
"""

import asyncio
import math
import sys
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar, TypeVarTuple, Unpack

import trio
from trio.lowlevel import (
    RunVar,
    Task,
    TrioToken,
    cancel_shielded_checkpoint,
    checkpoint,
    checkpoint_if_cancelled,
    current_trio_token,
    enable_ki_protection,
    spawn_system_task,
    wait_readable,
)

from ..actors import logs, trio_internals
from ..actors.portals import RUN_OF_CONTEXT
from ..actors.trio_internals import make_task_hider, sniffio
from .job import Job, is_cancelled
from .shared_wait import SharedWait
from .slices import ROOT_CALLBACK, Origin, SliceLoop, SliceSelector, Wait

logger = logs.logger("okibi")

P = ParamSpec("P")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

# The trio clock's seconds that asyncio's tasks have at the end of the run, to clean up.
CLOSE_LIMIT = 1.0
CLOSED = "the asyncio loop was closed"

_LOOP_OF_RUN: "RunVar[AsyncioLoop | None]" = RunVar("okibi's asyncio loop", default=None)


class LoopEnded(Exception):
    """The asyncio loop ended before a job on the loop, or cannot run here."""


async def on_asyncio(function: Callable[[Unpack[Ts]], Awaitable[R]], *args: *Ts) -> R:
    """Run an async function on asyncio, and wait for its result; from any trio code.

    The first call of a run of trio starts the loop, which lasts until the run ends. At the end of
    the run asyncio's tasks are cancelled and have a second to clean up. A cancellation cancels the
    asyncio task once, and waits until the asyncio task has ended.

    >>> import asyncio, trio
    >>> from okibi.asyncio_loop import on_asyncio
    >>> trio.run(on_asyncio, asyncio.sleep, 0, "slept")
    'slept'

    Args:
        function: an async function written for asyncio.
        *args: the arguments of the function.

    Raises:
        LoopEnded: the loop crashed before the function ended, or cannot run here.
        RuntimeError: the caller runs on asyncio.
        BaseException: the exception that the function raises.
    """
    if sniffio.name == "asyncio":
        raise RuntimeError(
            "on_asyncio is for code on trio, and this code runs on asyncio already: await the "
            "function itself"
        )
    return await loop_of_run().run(function, *args)


def loop_of_run() -> "AsyncioLoop":
    """Return the loop of this run of trio; start it if it does not run.

    Raises:
        LoopEnded: asyncio cannot run inside trio here.
    """
    loop = _LOOP_OF_RUN.get() or AsyncioLoop()
    if not loop.alive:
        loop.start()
    return loop


class AsyncioLoop:
    """asyncio's loop inside the current run of trio; any trio task of the run may use it.

    A run has one, which `on_asyncio` uses too.

    >>> import asyncio, trio
    >>> from okibi.asyncio_loop import AsyncioLoop
    >>> async def main():
    ...     loop = AsyncioLoop()
    ...     loop.start()
    ...     print(await loop.run(asyncio.sleep, 0, "slept"))
    ...     await loop.close()
    >>> trio.run(main)
    slept
    """

    def __init__(self) -> None:
        # The error that ended the last loop.
        self.error: BaseException | None = None
        self.loop: SliceLoop | None = None
        # From here on: of the last loop.
        self.selector: SliceSelector
        # Lasts as long as the loop: the root of other libraries' tasks.
        self.root: asyncio.Task[Any]
        self._token: TrioToken
        self._down: trio.Event
        self._pump_task: Task
        # The pump's wait, until the loop's next timer.
        self._nap = trio.CancelScope()
        # None where trio waits by itself, as under a MockClock.
        self._shared_wait: SharedWait | None = None
        self._jobs = set[Job]()
        self._closing = False

    @property
    def alive(self) -> bool:
        """Whether the loop runs."""
        return self.loop is not None

    def start(self) -> None:
        """Start the loop.

        Raises:
            LoopEnded: asyncio cannot run inside trio here.
            RuntimeError: this run of trio has a loop that runs.
        """
        current = _LOOP_OF_RUN.get()
        if current is not None and current.alive:
            raise RuntimeError("this run of trio has an asyncio loop already: use on_asyncio")
        _refuse_what_cannot_run()
        try:
            loop = SliceLoop()
        except OSError as error:
            raise LoopEnded("the asyncio loop did not start") from error
        try:
            self._pump_task = spawn_system_task(self._pump_until_end, loop, name="okibi asyncio")
        except RuntimeError as error:
            loop.close()
            raise LoopEnded("the asyncio loop did not start: the run of trio is ending") from error
        self.loop, self.selector, loop.run_soon = loop, loop.selector, self.run_soon
        self.root = asyncio.Task(asyncio.Event().wait(), loop=loop, name="okibi asyncio")
        if ROOT_CALLBACK is not None:
            self.root.add_done_callback(ROOT_CALLBACK)
        self._closing, self._down, self._token = False, trio.Event(), current_trio_token()
        self._hide_task, self._show_task = make_task_hider("asyncio", self._current_step)
        _LOOP_OF_RUN.set(self)
        self._shared_wait = SharedWait.begin(self.selector, self.run_slice)

    async def run(
        self, target: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run an async function on the loop, with this task's context variables.

        Starts the loop if it does not run. A cancellation cancels the asyncio task once, and waits
        until the asyncio task has ended.

        Raises:
            LoopEnded: the loop ended before the function, or cannot run here.
            BaseException: whatever `target` raises, including SystemExit.
        """
        result = await self.run_job(partial(target, *args, **kwargs))
        # trio's rule: other tasks run, also if nothing had to wait.
        await cancel_shielded_checkpoint()
        return result  # type: ignore[no-any-return]

    async def run_job(self, act: Callable[[], Awaitable[Any]]) -> Any:
        """Run an async function without arguments, perhaps without a checkpoint, as `run`.

        For a caller that waits for something else before each job.
        """
        await checkpoint_if_cancelled()
        if self.loop is None:
            self.start()
        job = self.begin_job(act, Origin())
        if not job.ended:
            await job.wait(self.run_later)
        return job.take_result()

    def begin_job(self, act: Callable[[], Awaitable[Any]], origin: Origin) -> Job:
        """Begin to run an async function without arguments, on a loop that runs.

        A short function ends here, without a switch of trio's tasks. The caller waits for a job
        that has not ended.

        Args:
            act: the function.
            origin: of the function's code.
        """
        loop = self.loop
        assert loop is not None  # the callers have looked
        self.mark_context()
        job = Job(loop, act, self._finish, origin)
        self._jobs.add(job)
        self.run_soon()
        if job.running is not None and not job.begun:
            # A task that is cancelled before it begins runs no code of the job.
            job.running.add_done_callback(partial(self._finish_unbegun, job))
        return job

    def mark_context(self) -> None:
        """Let threads that inherit the current context reach this run (`actors.from_sync`)."""
        if RUN_OF_CONTEXT.get(None) is not self._token:
            RUN_OF_CONTEXT.set(self._token)

    def abandon(self, waiting: Task) -> Callable[[], bool] | None:
        """Resume a cancelled trio task without waiting for its job.

        The job may clean up for any time: asyncio cancels once, and a rollback must not be cut
        short.

        Returns:
            A function: whether the job still runs. None if the task waits for no job.
        """
        for job in self._jobs:
            if job.waiting is waiting and job.abandon():
                return lambda: job in self._jobs
        return None

    async def wait_ended(self) -> BaseException | None:
        """Wait until the loop has ended, and return the error that ended it."""
        if self.loop is not None:
            await self._down.wait()
        return self.error

    async def close(self) -> None:
        """Cancel all tasks, shut down the async generators, and close the loop.

        Threads of the executor are not waited for: they cannot be ended. A cancellation of `close`
        closes the loop at once.
        """
        if self.loop is None:
            return
        self._closing = True
        if ROOT_CALLBACK is not None:
            # It would stop the loop.
            self.root.remove_done_callback(ROOT_CALLBACK)
        try:
            await self.run(_end_tasks, self.loop)
        except LoopEnded:
            # It crashed, or another task closed it.
            return
        finally:
            self._end(None)

    def call_first(self, callback: Callable[[], object]) -> None:
        """Have the loop call a function before all callbacks that are ready.

        For a forked child, which must not run the parent's callbacks. Nothing happens outside
        asyncio code.
        """
        if self.loop is not None and self.loop.is_running():
            self.loop.call_soon(callback)
            with suppress(AttributeError):  # otherwise it is called after them
                self.loop._ready.rotate()  # type: ignore[attr-defined]

    # -- slices

    async def _pump_until_end(self, loop: SliceLoop) -> None:
        try:
            await self._pump(loop)
        finally:
            if self.loop is loop:
                # The run of trio ends.
                with trio.CancelScope(shield=True):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._pump, loop)
                        with trio.move_on_after(CLOSE_LIMIT):
                            await self.close()

    async def _pump(self, loop: SliceLoop) -> None:
        """Run a slice whenever something is ready, until the loop has ended."""
        while self.loop is loop:
            with trio.CancelScope() as self._nap:
                self.run_slice(looks=True)
                if loop.selector.idle_for <= 0:
                    await checkpoint()
                elif self._shared_wait is None and self.loop is loop:
                    await wait_readable(loop.selector.fileno())
                else:
                    await trio.sleep_forever()

    def _current_step(self) -> object:
        """Return at which step asyncio is, for another thread; None while it waits."""
        return None if self.selector.waits else (self._pump_task, self.selector.slices)

    def run_soon(self) -> None:
        """Run what trio's code has made ready: at once, unless the pump is about to."""
        # Many callers must not run a slice each.
        if self.loop is not None and self.selector.idle_for > 0:
            self.run_slice()

    @enable_ki_protection
    def run_slice(self, wait: Wait | None = None, *, looks: bool = False) -> None:
        """Let the loop run; then adjust the pump's wait.

        Args:
            wait, looks: the arguments of `SliceSelector.begin_slice`.
        """
        loop, selector = self.loop, self.selector
        assert loop is not None  # the callers have looked
        selector.begin_slice(wait, looks=looks)
        try:
            hidden = self._hide_task()
            try:
                loop.run_forever()
            finally:
                self._show_task(*hidden)
        except BaseException as error:
            if selector.waits:
                # A user's signal handler has raised in the wait: the run ends.
                raise
            if not isinstance(error, SystemExit | KeyboardInterrupt):
                self._end(error)
                return
            # asyncio lets these two leave `run_forever`. A task does not end the process, and the
            # sessions on this loop still work.
            logger.exception(
                "a background task raised %s; the asyncio loop continues", type(error).__name__
            )
        if selector.idle_for < math.inf or self._nap.deadline < math.inf:
            self._nap.deadline = loop.time() + selector.idle_for

    def run_later(self) -> None:
        """Have the pump run a slice soon: a job was cancelled, or the loop has a new timer."""
        self.selector.idle_for = 0.0
        self._nap.cancel()

    def _finish(self, job: Job) -> None:
        """Wake the trio task whose job has ended. A slice that waits for trio, too, then ends."""
        self._jobs.discard(job)
        closed = self._closing and not job.is_cancelled and is_cancelled(job.error)
        job.finish(LoopEnded(CLOSED) if closed else None)

    def _finish_unbegun(self, job: Job, _: object) -> None:
        if not job.ended:
            job.error = asyncio.CancelledError()
            self._finish(job)

    def _end(self, error: BaseException | None) -> None:
        """Close the loop. Jobs that have not ended raise LoopEnded."""
        loop, self.loop = self.loop, None
        if loop is None:
            return
        self.error = error
        # Now, so that trio no longer watches the descriptor that is closed here.
        self._nap.cancel()
        jobs, self._jobs = self._jobs, set[Job]()
        for job in jobs:
            if job.is_cancelled:
                logger.error("code on asyncio did not end when it was cancelled, and is lost")
            ended = LoopEnded("the asyncio loop ended before the job" if error else CLOSED)
            ended.__cause__ = error
            job.finish(ended)
        if self._shared_wait is not None:
            self._shared_wait.end()
            self._shared_wait = None
        self._down.set()
        loop.close()


def waits_for_thread() -> bool:
    """Return whether code on this run's loop waits for a thread of an executor."""
    current = _LOOP_OF_RUN.get()
    return current is not None and current.loop is not None and current.loop.thread_calls > 0


def _refuse_what_cannot_run() -> None:
    """Refuse what a loop inside trio cannot have, with the cure.

    Raises:
        LoopEnded: trio's private names are not known, the system's selector has no descriptor, or
            uvloop is installed.
    """
    if trio_internals.CONTEXT is None:
        raise LoopEnded(
            f"asyncio cannot run inside trio {trio.__version__}, which this okibi does not know: "
            f"use trio {', '.join(sorted(trio_internals.KNOWN_RELEASES))}, or a newer okibi"
        )
    if not hasattr(SliceSelector, "fileno"):
        raise LoopEnded("asyncio cannot run inside trio here: its selector has no descriptor")
    if "uvloop" in sys.modules:
        with warnings.catch_warnings():
            # Deprecated from 3.14 on, where uvloop.install is too.
            warnings.simplefilter("ignore", DeprecationWarning)
            policy = asyncio.get_event_loop_policy()  # pyright: ignore[reportDeprecated]
        if type(policy).__module__.partition(".")[0] == "uvloop":
            raise LoopEnded(
                "okibi runs asyncio's own loop inside trio's thread, and uvloop has no descriptor "
                "to wait for: remove uvloop.install()"
            )


async def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the other tasks, await their ends, and close the generators, as `asyncio.run` does."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        # Not `gather`, whose own cancellation waits for the tasks.
        await asyncio.wait(others)
    await loop.shutdown_asyncgens()
