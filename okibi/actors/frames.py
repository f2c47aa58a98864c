"""In which line of code a task is: read off its stack, without asking it.

A wait always ends in trio, and most pass through okibi before. What is looked for is the user's
own line above those, the innermost one. Only where there is none, okibi's own says more than
nothing.
"""

import os
import sys
import traceback
from itertools import takewhile
from types import FrameType

import trio
from trio.lowlevel import Task

from .mailbox import Mailbox
from .trio_internals import NURSERY_EXIT, step

_TRIO = os.path.dirname(trio.__file__) + os.sep
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_STANDARD = os.path.dirname(os.__file__) + os.sep

Frames = list[tuple[FrameType, int]]


def frames_of(task: Task | None) -> Frames:
    """The frames of a task with their lines, the outermost first; none of a task that has ended.

    A task that waits for those of a nursery of its own goes on where the first of them is.
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
    """Where a task is, as `file:line`; empty while it waits for its next message.

    Args:
        task: whose; None, or one that has ended, is nowhere.
        *also: further folders whose lines are not the user's.
    """
    frames = frames_of(task)
    if any(frame.f_code is Mailbox.receive.__code__ for frame, _ in frames):
        return ""
    inner = [at for at in frames if _is_users(at[0], also)]
    inner = inner or [at for at in frames if not at[0].f_code.co_filename.startswith(_TRIO)]
    return f"{inner[-1][0].f_code.co_filename}:{inner[-1][1]}" if inner else ""


def stack_of(task: Task | None) -> str:
    """The stack of a task as a traceback shows one, the user's own lines if it has any."""
    frames = frames_of(task)
    own = [at for at in frames if _is_users(at[0])]
    return "".join(traceback.StackSummary.extract(iter(own or frames)).format())


def runs(task: Task | None, function: object) -> bool:
    """Whether a task, or one in a nursery of its own, is inside a coroutine function."""
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
    # What is installed lies in the standard library's folder, and may be all the user has written.
    return not file.startswith(_STANDARD) or "site-packages" in file


def running_from(outermost: FrameType | None) -> Frames:
    """The stack from a frame that runs just now: a coroutine that runs does not say what it awaits.

    It is the task that asks, or one that does not let others run, seen from another thread. What it
    has handed off to (module `trio_internals`) is none of its own.
    """
    for innermost in sys._current_frames().values():
        stack = list(traceback.walk_stack(innermost))
        frames = [frame for frame, _ in stack]
        if outermost in frames:
            own = stack[: frames.index(outermost) + 1][::-1]
            return list(takewhile(lambda each: each[0].f_code is not step.__code__, own))
    return []
