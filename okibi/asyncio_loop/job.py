"""A job: an async function that runs on asyncio while a trio task waits for its result."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import outcome  # trio's own dependency
from trio.lowlevel import (
    Abort,
    RaiseCancelT,
    Task,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from ..actors import logs
from ..actors.frames import Frames, FrameSource, frames_of_coroutine, running_from
from .slices import ORIGIN, Origin

logger = logs.logger("okibi")


class Job(FrameSource):
    """An asyncio task, and the trio task that waits for its result.

    Args:
        loop: runs the function.
        act: the async function to run.
        ended: called with this job when the function has ended.
        origin: of the function's code.
    """

    __slots__ = (
        "_cancel", "_origin", "_result", "begun", "ended", "error", "stopped_by", "waiting",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        act: Callable[[], Awaitable[Any]],
        ended: Callable[["Job"], None],
        origin: Origin,
    ) -> None:
        self._origin = origin
        self.begun = self.ended = False
        self._result: object = None
        # What the function raised.
        self.error: BaseException | None = None
        self.waiting: Task | None = None
        self._cancel: RaiseCancelT | None = None
        self.stopped_by: BaseException | None = None
        # Not by `create_task`: it is no new task of the code on the loop.
        origin.running = asyncio.Task(self._run(act, ended), loop=loop)

    @property
    def running(self) -> "asyncio.Task[None] | None":
        """The asyncio task; None after the end."""
        return self._origin.running

    async def _run(self, act: Callable[[], Awaitable[Any]], ended: Callable[["Job"], None]) -> None:
        self.begun = True
        ORIGIN.set(self._origin)
        try:
            self._result = await act()
        except BaseException as error:
            # A SystemExit that leaves a task would end the slice.
            trace = error.__traceback__
            self.error = error.with_traceback(trace and trace.tb_next)
            del trace
        # Now: a callback of the task would cost another iteration of the loop.
        ended(self)
        # The error's frames refer to this frame, which must not refer to the job.
        del self, ended

    @property
    def is_cancelled(self) -> bool:
        """Whether the waiting trio task was cancelled."""
        return self._cancel is not None

    async def wait(self, on_cancel: Callable[[], None]) -> None:
        """Wait until the asyncio task has ended.

        Args:
            on_cancel: called after the asyncio task was cancelled.
        """

        def abort(raise_cancel: RaiseCancelT) -> Abort:
            self._cancel = raise_cancel
            # Once, as `asyncio.run` does.
            if self.running is not None:
                self.running.cancel()
            on_cancel()
            return Abort.FAILED

        self.waiting = current_task()
        await wait_task_rescheduled(abort)

    def abandon(self) -> bool:
        """Resume the waiting trio task at once, if it is cancelled; return whether it was."""
        waiting = self.waiting
        if waiting is None or self._cancel is None:
            return False
        self.waiting = None
        reschedule(waiting, outcome.capture(self._cancel))
        return True

    def finish(self, error: BaseException | None = None) -> None:
        """Wake the waiting trio task: the function has ended.

        Args:
            error: takes the place of the function's result.
        """
        self.ended = True
        # Breaks the cycle: task, coroutine, this job.
        self._origin.running = self._origin.caller = None
        if error is not None:
            self.error = error
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            reschedule(waiting)
        elif self._cancel is not None and self.error is not None:
            error, self.error = self.error, None
            if not is_cancelled(error):
                logger.error("abandoned code on asyncio raised", exc_info=error)

    def take_result(self) -> Any:
        """Return the function's result, which this object then no longer refers to.

        Raises:
            BaseException: whatever the function raised; Cancelled in place of the CancelledError
                of a cancelled trio task.
        """
        result, self._result = self._result, None
        if self.error is None:
            return result
        if self._cancel is not None and is_cancelled(self.error):
            self.stopped_by, self.error = self.error, None
            self._cancel()
        try:
            raise self.error
        finally:
            self.error = None

    def frames(self) -> Frames:
        coroutine: Any = self.running.get_coro() if self.running is not None else None
        if getattr(coroutine, "cr_running", False):
            return running_from(coroutine.cr_frame)
        return frames_of_coroutine(coroutine)


def is_cancelled(error: BaseException | None) -> bool:
    """Return whether a job ended by asyncio's CancelledError."""
    return isinstance(error, asyncio.CancelledError)
