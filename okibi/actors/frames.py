"""Find the line of code at which a task is, from the stack of the task.

Every wait ends in trio, and most pass through okibi first. The result is the innermost line of the
user's code. If there is none, the result is a line of okibi.
"""

import os
import sys
import traceback
from itertools import takewhile
from types import FrameType

import trio
from trio.lowlevel import Task

from .mailbox import Mailbox
from .trio_internals import NURSERY_EXIT, STEPPING

_TRIO = os.path.dirname(trio.__file__) + os.sep
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_STANDARD = os.path.dirname(os.__file__) + os.sep

Frames = list[tuple[FrameType, int]]


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


def line_of(task: Task | None, *also: str) -> str:
    """Return the line of a task as `file:line`; empty while the task waits for its next message.

    Args:
        task: the task; empty for None, and for a task that has ended.
        *also: more folders whose lines are not the user's.
    """
    frames = frames_of(task)
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
