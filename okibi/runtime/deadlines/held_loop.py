"""Find code that holds the event loop, and log it, once for each method.

While a method computes, or blocks in a call such as `time.sleep`, no other actor and no other event
makes progress. The watchdog's thread looks at the loop while an event is in flight, and compares
the running step of a task with that of earlier looks (`system.thread_progress`). A hold of three
looks is always found.

Not logged: a plain `def` on the main thread, which holds the loop by design; an import; code on the
asyncio loop, which has its own thread.
"""

from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from types import CodeType, FrameType
from typing import Any

import trio

from ...actors import Actor, logs
from ...actors.trio_internals import make_step_reader
from ..errors.user_code import is_user_file, is_written_by_user
from ..logs.invocation_context import keep_invocation
from ..system.thread_progress import ThreadProgress
from .interrupt import DeadlineInterrupt, is_importing
from .where_it_stood import frames_in_loop, thread_call

logger = logs.logger("okibi")

HELD = (
    "%s held the event loop for over 100 ms in %s; no other actor or event could run meanwhile."
    " Run blocking code in a thread: await %s"
)


class HeldLoop:
    """Finds held loops. Created on the loop, called from the watchdog's thread.

    Args:
        interrupt: says whether a plain `def` runs on the main thread.
    """

    __slots__ = ("_current_step", "_interrupt", "_logged", "_progress", "_token")

    def __init__(self, interrupt: DeadlineInterrupt) -> None:
        self._interrupt = interrupt
        self._token = trio.lowlevel.current_trio_token()
        self._current_step: Callable[[], object] = make_step_reader()
        self._progress = ThreadProgress()
        self._logged = set[CodeType]()

    def is_held(self) -> bool:
        """Look at the loop: whether a step of a task holds it."""
        return self._progress.is_stuck(self._current_step())

    def look(self) -> None:
        """Look at the loop, and log the method that holds it, unless that was logged before."""
        step: Any = self._current_step()
        # Many short calls of a blocking client hold the loop as one long call does.
        if not self._progress.is_stuck(step, in_doubt=True) or self._interrupt.armed:
            return
        held = frames_in_loop()
        frames = [frame for frame, _ in held]
        users = [frame for frame in frames if is_user_file(frame.f_code.co_filename)]
        if not users or is_importing(frames[-1]) or self._current_step() != step:
            return
        # The frames of a web framework are the same for each route.
        own = [frame for frame in users if is_written_by_user(_file(frame))] or users
        method, innermost = own[0], own[-1]
        if method.f_code in self._logged:
            return
        self._logged.add(method.f_code)
        place = f'File "{_file(innermost)}", line {innermost.f_lineno}, in {_name(innermost)}'
        # The invocation of now: the loop may log the warning during the next event.
        context: Context = step[0].context.copy()
        context.run(keep_invocation)
        # On the loop: `logging` lists the thread that calls it (`system.unlisted_thread`).
        with suppress(trio.RunFinishedError):
            log = partial(logger.warning, HELD, _title(method), place, thread_call(held))
            self._token.run_sync_soon(context.run, log)


def _title(method: FrameType) -> str:
    """Return the method's class and name; for a method of an actor, after the actor's path."""
    title = method.f_code.co_qualname.rpartition("<locals>.")[2]
    actor = method.f_locals.get("self")
    # By type(): isinstance would ask a proxy for its class, which is user code, in this thread. An
    # actor has no process in its `__init__`.
    process = getattr(actor, "_process", None) if issubclass(type(actor), Actor) else None
    return title if process is None else f"{process.path}: {title}"


def _file(frame: FrameType) -> str:
    return frame.f_code.co_filename


def _name(frame: FrameType) -> str:
    return frame.f_code.co_name
