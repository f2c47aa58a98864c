"""Who waits for whom: a call that would close a circle is refused instead of waiting for ever.

All waits of one run are known in this process, so the circle is found when it would close, by
walking from the callee along what it waits for itself. An edge of that walk is a task that cannot
go on before its callee has turned to its mailbox (a call, or a cast in line for room), has started
or has ended: a call to the supervisor that starts or stops one is such a circle too. It counts
only if the actor's own loop cannot go on before that task has ended:

    its own task, and those of nurseries that a method has opened     the loop waits for them
    those of a nursery around the loop (an overriding `run`)          they live beside the loop

and only while its answer is up to the callee's loop: a call whose reply was put off (`reply_later`)
may be answered by any task.

The price on the way of a call is one dictionary entry; the walk begins only when the callee waits
for somebody.
"""

from functools import partial
from operator import is_
from typing import NamedTuple

from trio.lowlevel import Task

from .exits import CallCycle, CallingSelf
from .process import Process
from .request import Request


class Wait(NamedTuple):
    """What one task of an actor waits for: the callee, and the request if it has made one."""

    callee: Process
    request: Request | None


def circle(caller: Process, callee: Process, task: Task) -> tuple[str, ...] | None:
    """The paths of the circle that would close if `task` of `caller` waited for `callee`.

    None when it would wait for somebody who can come to an end.
    """
    if callee is not caller and not callee.waits:
        return None
    if not waits_for(caller, task):
        return None
    way = _way(callee, caller, {callee})
    return None if way is None else (caller.path, *way)


def refuse_circle(
    caller: Process, callee: Process, task: Task, request: Request, sent: bool = True
) -> None:
    """See to it that a call of `task` comes to an end.

    Args:
        sent: whether the callee has it already; if not, one who ends refuses it at once.

    Raises:
        CallingSelf: the actor would wait for itself.
        CallCycle: it would wait for somebody who waits for it.
    """
    if callee is not caller and (not callee.waits or (callee.doom is not None and not sent)):
        return
    paths = circle(caller, callee, task)
    if paths is None:
        return
    if callee is caller:
        raise CallingSelf(f"{caller.path} calls itself: {request} would never return", paths)
    raise _closed(paths, request)


def _closed(paths: tuple[str, ...], request: Request) -> CallCycle:
    return CallCycle(f"{' calls '.join(paths)}: {request} would never return", paths)


def let_end(ending: Process, waiter: Process, task: Task) -> None:
    """Refuse the calls that keep `ending` from the end that `task` of `waiter` is to wait for.

    Those are calls of `waiter`, made before, by who is asked to end or by one that he waits for:
    one that drains, or holds a shield, would wait for its answer until its grace is over, or for
    ever. A call that is made later is refused as any that closes a circle.
    """
    if not ending.waits or not waits_for(waiter, task):
        return
    ways: dict[Process, tuple[str, ...]] = {ending: (waiter.path, ending.path)}
    reached = [ending]
    while reached:
        process = reached.pop()
        for waiting, (callee, request) in list(process.waits.items()):
            # One that is cut has been woken by now, and lets its callee be.
            parked = callee.holds(waiting) or (request is not None and request.parked)
            if not parked or _is_over(waiting, callee, request) or not waits_for(process, waiting):
                continue
            if callee is not waiter:
                if callee not in ways:
                    ways[callee] = (*ways[process], callee.path)
                    reached.append(callee)
            elif request is not None:
                request.fail(_closed((process.path, *ways[process]), request))
                # It may stand in line for room: who stands there looks when it is let in.
                waiter.mailbox.turn_away(partial(is_, request))


def refuse_own_end(process: Process, task: Task) -> None:
    """See to it that `task` of an actor does not wait for the end of the actor.

    Raises:
        CallingSelf: that end would wait for this task.
    """
    if waits_for(process, task):
        what = f"{process.path} waits for its own end, which would never come: raise Exit instead"
        raise CallingSelf(what, (process.path, process.path))


def _way(start: Process, end: Process, seen: set[Process]) -> tuple[str, ...] | None:
    """The paths from one actor to another along what each waits for."""
    if start is end:
        return (start.path,)
    for task, wait in start.waits.items():
        callee = wait[0]
        if callee in seen or _is_over(task, *wait) or not waits_for(start, task):
            continue
        seen.add(callee)
        rest = _way(callee, end, seen)
        if rest is not None:
            return (start.path, *rest)
    return None


def _is_over(task: Task, callee: Process, request: Request | None) -> bool:
    """Whether a wait needs the callee's loop no more, though its task has not gone on yet."""
    if request is None:
        return not callee.holds(task)
    return request.deferred or request.settled


def waits_for(process: Process, task: Task) -> bool:
    """Whether the actor cannot turn to its mailbox before `task` has ended."""
    while task is not process.task:
        nursery = task.parent_nursery
        if nursery is None or process.runs_inside(nursery):
            return False
        task = nursery.parent_task
    return True
