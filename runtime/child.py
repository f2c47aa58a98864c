"""A child that a handler forks on trio's thread, and that awaits: what has forked goes on, alone.

Such a child is a copy of the whole process in the middle of one task's step. What else runs there
is a second time what its parent is at: the other events' handlers, the pollers on their parent's
connections. And what the loop waits by, its epoll and the pipe that wakes it, is one and the same
in both: whichever of the two looks first takes what has come from the other. So the child is given
a loop's wait of its own, and its tasks stand still, as they stood, but for

    what has forked       a handler: its task and those that it has started, up to its answer; an
                          actor over a message, or in its `init`: up to the end of that; any other
                          task: up to its own
    actors at rest        the user's own, and supervisors, that wait for mail: they may be asked.
                          What their timers are to bring them is their parent's

That end is the child's. Where the loop is not known (`actors.trio_internals`), that of its first
step is.
"""

import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import trio
from trio.abc import Instrument
from trio.lowlevel import Abort, Task

from actors import trio_internals
from actors.process import CURRENT, Phase, Process

from .current import begun_by_this
from .delivery import Delivery
from .forks import end_child
from .lane import Lane
from .transport import end_as_answered

RUNTIME = "/function/lambda"
NO_LOOP = "okibi: a child cannot go on awaiting here; it ends"


def go_on_alone(lanes: Sequence[Lane]) -> None:
    """Have the task that has just forked go on in the child, and end the child with it.

    Args:
        lanes: whose event it may be that is handled; nothing lies in their outboxes.
    """
    task = trio.lowlevel.current_task()
    process = task.context.get(CURRENT)
    lane = _lane_of(process, lanes)
    ends: Instrument
    # A task may live beside its actor's loop, in a nursery that stands around it.
    if process is None or process.task is None or not process.held_by(task):
        root, ends = task, _Task(task)
    elif lane is not None and lane.delivery is not None:
        root, ends = process.task, _Handler(lane, lane.delivery)
    elif task is process.task:
        root, ends = task, _Actor(process, process.current)
    else:
        root, ends = task, _Task(task)
    trio.lowlevel.add_instrument(ends)
    if not _part(_descent(root, process)):
        trio.lowlevel.add_instrument(_FirstStep())


class _Handler(Instrument):
    """Ends the child with the handler's answer, the first piece of a stream included."""

    def __init__(self, lane: Lane, delivery: Delivery) -> None:
        self._lane = lane
        self._delivery = delivery

    def after_task_step(self, task: Task) -> None:
        outcome = self._delivery.outcome
        if outcome is not None:
            end_as_answered(outcome.body, outcome.error_type is not None)
        if self._lane.outbox:
            end_as_answered(b"", False)


class _Actor(Instrument):
    """Ends the child with what an actor was at."""

    def __init__(self, process: Process, at: object) -> None:
        self._process = process
        self._at = at

    def after_task_step(self, task: Task) -> None:
        process = self._process
        if process.phase in (Phase.DYING, Phase.DEAD):
            end_child(process.reason.error if process.reason is not None else None)
        if process.current is not self._at or process.mailbox.waited_at:
            end_child(None)


class _Task(Instrument):
    """Ends the child with a task."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def task_exited(self, task: Task) -> None:
        if task is self._task:
            nursery: Any = task.parent_nursery
            errors: list[BaseException] = getattr(nursery, "_pending_excs", [])
            end_child(errors[-1] if errors else None)


class _FirstStep(Instrument):
    """Ends the child, whatever it is at, lest it takes what is its parent's."""

    def after_task_step(self, task: Task) -> None:
        try:
            print(NO_LOOP, file=sys.stderr, flush=True)
        finally:
            os._exit(1)


def _lane_of(process: Process | None, lanes: Sequence[Lane]) -> Lane | None:
    """The lane whose event is handled by a process, for the code that asks."""
    for lane in lanes:
        delivery = lane.delivery
        if delivery is None or not delivery.unsettled or not delivery.begun:
            continue
        worker = delivery.worker
        if process is None or worker is None or not worker.alive:
            continue
        if worker.process() is process and process.task and begun_by_this(process.task.context):
            return lane
    return None


def _descent(root: Task, process: Process | None) -> Callable[[Task], bool]:
    """Whether a task goes on in the child."""

    def goes_on(task: Task) -> bool:
        its = task.context.get(CURRENT)
        if its is None:
            # trio's own, and what okibi has beside its tree.
            return True
        at: Task | None = task
        while at is not None and at is not root:
            nursery = at.parent_nursery
            beside = process is not None and nursery is not None and process.runs_inside(nursery)
            at = None if nursery is None or beside else nursery.parent_task
        if at is root:
            return True
        return _is_at_rest(its, task) and not its.path.startswith(RUNTIME)

    return goes_on


def _is_at_rest(process: Process, task: Task) -> bool:
    return process.task is task and process.mailbox.waited_at


class _Still:
    """What stands in the place of a coroutine that has no step any more."""

    def send(self, _: object) -> object:
        return trio_internals.WAIT(_no_abort)

    throw = send


def _no_abort(_: object) -> Abort:
    return Abort.FAILED


# Collected, a coroutine would be closed, and what it has in a `finally` run.
_kept = list[Any]()


def _part(goes_on: Callable[[Task], bool]) -> bool:
    """Give this process a wait of its own, and have all other tasks stand still. False if trio's
    loop is not known.
    """
    if trio_internals.epoll() is None:
        return False
    runner: Any = trio_internals.CONTEXT.runner
    running = trio.lowlevel.current_task()
    for task in runner.tasks:
        its = task.context.get(CURRENT)
        if its is not None and _is_at_rest(its, task):
            # It would do a second time what it does each second, say.
            its.mailbox.timers, its.mailbox.idle = None, math.inf
        if task is running or goes_on(task):
            continue
        _kept.append(task.coro)
        task.coro = _Still()
        if task._next_send_fn is not None:
            task._next_send_fn = task.coro.send
    for waiters in runner.io_manager._registered.values():
        for side in ("read_task", "write_task"):
            if isinstance(getattr(getattr(waiters, side), "coro", None), _Still):
                setattr(waiters, side, None)
    try:
        trio_internals.alone()
    except OSError:
        # No room is left in the kernel.
        return False
    return True
