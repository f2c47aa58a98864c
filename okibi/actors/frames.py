"""Find the line of code at which a task is, from the stack of the task.

Every wait ends in trio, and most pass through okibi first. The result is the innermost line of the
user's code. If there is none, the result is a line of okibi.
"""

import os
import sys
import traceback
from itertools import takewhile
from types import FrameType
from typing import Any

import trio
from trio.lowlevel import Task

from .mailbox import Mailbox
from .trio_internals import NURSERY_EXIT, STEPPING

_TRIO = os.path.dirname(trio.__file__) + os.sep
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_OKIBI = os.path.dirname(os.path.dirname(_HERE)) + os.sep
# Names of local variables in okibi's frames that may hold a FrameSource.
_SOURCE_NAMES = frozenset({"thread", "job", "started"})
_STANDARD = os.path.dirname(os.__file__) + os.sep

Frames = list[tuple[FrameType, int]]


class FrameSource:
    """The frames of code that runs outside the task that waits for it: a thread, an asyncio task.

    A local variable of this type in one of okibi's frames says that the frame waits for the code.
    """

    __slots__ = ()

    # The exception by which the code was cancelled. Its traceback then says where the code was.
    stopped_by: BaseException | None = None

    def frames(self) -> Frames:
        """Return the frames of the code with their lines, outermost first."""
        raise NotImplementedError


def frames_of(task: Task | None) -> Frames:
    """Return the frames of a task with lines, outermost first; empty for a task that has ended.

    For a task that waits for its nursery, the frames of the nursery's first child follow.
    """
    frames: Frames = []
    while task is not None:
        runs_now = getattr(task.coro, "cr_running", False)
        inner = running_from(task.coro.cr_frame) if runs_now else list(task.iter_await_frames())
        frames += inner
        joins = any(frame.f_code.co_name == NURSERY_EXIT for frame, _ in inner)
        children = task.child_nurseries[-1].child_tasks if joins and task.child_nurseries else ()
        task = next(iter(children), None)
    return frames


def frames_of_coroutine(coroutine: Any) -> Frames:
    """Return the frames of a suspended coroutine and of what it awaits, outermost first."""
    frames: Frames = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if not isinstance(frame, FrameType):
            break
        frames.append((frame, frame.f_lineno))
        inner = getattr(coroutine, "cr_await", None)
        coroutine = inner if inner is not None else getattr(coroutine, "gi_yieldfrom", None)
    return frames


def find_source(frames: Frames) -> FrameSource | None:
    """Return the source of the frames that follow these, if the task waits for another's code."""
    for frame, _ in reversed(frames):
        code = frame.f_code
        if code.co_filename.startswith(_OKIBI):
            # Reading `f_locals` attaches a copy to the frame (before Python 3.13). In a frame that
            # has caught the error, the copy would be part of a reference cycle.
            for name in _SOURCE_NAMES.intersection(code.co_varnames + code.co_cellvars):
                value = frame.f_locals.get(name)
                if isinstance(value, FrameSource):
                    return value
    return None


def line_of(task: Task | None, *also: str) -> str:
    """Return the line of a task as `file:line`; empty while the task waits for its next message.

    Args:
        task: the task; empty for None, and for a task that has ended.
        *also: more folders whose lines are not the user's.
    """
    frames = frames_of(task)
    if (source := find_source(frames)) is not None:
        frames = frames + source.frames()
    if any(frame.f_code is Mailbox.receive.__code__ for frame, _ in frames):
        return ""
    found = [each for each in frames if _is_users(each[0], also)]
    found = found or [each for each in frames if not each[0].f_code.co_filename.startswith(_TRIO)]
    return f"{found[-1][0].f_code.co_filename}:{found[-1][1]}" if found else ""


def runs(task: Task | None, function: object) -> bool:
    """Return whether a coroutine function is on the stack of a task or of one in its nurseries."""
    code = getattr(function, "__code__", None)
    if task is None:
        return False
    if any(frame.f_code is code for frame, _ in task.iter_await_frames()):
        return True
    nurseries = task.child_nurseries
    return any(runs(child, function) for nursery in nurseries for child in nursery.child_tasks)


def _is_users(frame: FrameType, also: tuple[str, ...] = ()) -> bool:
    file = frame.f_code.co_filename
    if file.startswith((_TRIO, _HERE, *also)):
        return False
    return not is_standard_library(file)


def is_standard_library(filename: str) -> bool:
    """Return whether a file belongs to Python itself."""
    # site-packages lies inside the standard library's folder, and may hold the user's package.
    return filename.startswith((_STANDARD, "<frozen ")) and "site-packages" not in filename


def running_from(outermost: FrameType | None) -> Frames:
    """Return a running task's frames, outermost first. A running coroutine has no await frames.

    The running task is the caller, or a task that blocks the loop, seen from another thread. Frames
    of a task that it steps by a handoff (`okibi.runtime.in_flight.turns`) are left out.

    Args:
        outermost: the first frame of the task.
    """
    for innermost in sys._current_frames().values():
        stack = list(traceback.walk_stack(innermost))
        frames = [frame for frame, _ in stack]
        if outermost in frames:
            own = stack[: frames.index(outermost) + 1][::-1]
            return list(takewhile(lambda each: each[0].f_code not in STEPPING, own))
    return []
