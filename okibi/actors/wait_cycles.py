"""Refuse a call that would close a circle of waits, instead of waiting for ever.

All waits of one run are known in this process. They make a graph of actors: an edge leads from the
actor that waits to the actor it waits for. A wait is an edge if both are true:

    it holds the waiting actor's loop    the actor's own task waits, or a task in a nursery that a
                                         method has opened; a nursery around the loop (an overriding
                                         `run`) has tasks that live beside the loop
    only the callee's loop can end it    a call, a cast in line for a place in the mailbox, a wait
                                         for a start or an end (a call to the supervisor that
                                         starts or stops the caller is a circle too); a reply that
                                         was put off (`reply_later`) may come from any task

A call closes a circle if a path leads from the callee to the caller. Each process keeps the edges
out of it (`waits`) and into it (`waiters`), so an actor that nobody waits for, or that waits for
nobody, is in no circle: most calls need no search. Otherwise two searches take turns edge by edge,
one from the callee along `waits`, one from the caller along `waiters`. The first of them that ends
proves that there is no circle, so a call costs no more than the smaller of the two.

Rejected: numbers that order the actors, so that a call from a lower to a higher number needs no
search. A search that finds no circle then has to renumber what it passed, and each edge that ends
early (a reply that is put off) must be taken out before, or the order has no solution.

A cast that waits for room closes no circle. OTP's mailboxes have no bound, so OTP would not wait
there: the mailbox takes the cast beyond its capacity, up to twice that. Otherwise two actors
that cast to each other would crash under load, and so would a worker that calls its manager.
"""

from collections.abc import Iterator
from functools import partial
from operator import is_

from trio.lowlevel import Task

from .exits import CallCycle, CallingSelf
from .process import Process
from .request import Request

# How many paths of a long circle its sentence has at each end.
_SHOWN = 4


def circle(caller: Process, callee: Process, task: Task) -> tuple[str, ...] | None:
    """The paths of the circle that would close if `task` of `caller` waited for `callee`.

    None when the wait can come to an end. Casts on that circle that wait for room are let in first.
    """
    if not _may_close(caller, callee) or not caller.held_by(task):
        return None
    way = _way(callee, caller)
    while callee is not caller and way is not None and _let_a_cast_in(callee, caller):
        way = _way(callee, caller)
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
    if not _may_close(caller, callee):
        return
    if callee is not caller and callee.doom is not None and not sent:
        return
    paths = circle(caller, callee, task)
    if paths is None:
        return
    if callee is caller:
        raise CallingSelf(f"{caller.path} calls itself: {request} would never return", paths)
    raise _closed(paths, request)


def chain(paths: tuple[str, ...], verb: str) -> str:
    """Who waits for whom, in words; of a long circle only its ends."""
    hidden = len(paths) - 2 * _SHOWN
    if hidden > 1:
        paths = (*paths[:_SHOWN], f"({hidden:,} more)", *paths[-_SHOWN:])
    return f" {verb} ".join(paths)


def _may_close(caller: Process, callee: Process) -> bool:
    """Whether a search is needed at all."""
    return callee is caller or bool(caller.waiters and callee.waits)


def _closed(paths: tuple[str, ...], request: Request) -> CallCycle:
    return CallCycle(f"{chain(paths, 'calls')}: {request} would never return", paths)


def let_end(ending: Process, waiter: Process, task: Task) -> None:
    """Refuse the calls that keep `ending` from the end that `task` of `waiter` is to wait for.

    Those are calls of `waiter`, made before, by who is asked to end or by one that he waits for:
    one that drains, or holds a shield, would wait for its answer until its grace is over, or for
    ever. A call that is made later is refused as any that closes a circle.
    """
    if not ending.waits or not waiter.waiters or not waiter.held_by(task):
        return
    before = {ending: ending}
    reached = [ending]
    while reached:
        process = reached.pop()
        for waiting, (callee, request) in process.waits.items():
            # One that is cut has been woken by now, and lets its callee be.
            parked = callee.holds(waiting) or (request is not None and request.parked)
            if not parked or not _stands(process, waiting):
                continue
            if callee is not waiter:
                if callee not in before:
                    before[callee] = process
                    reached.append(callee)
            elif request is not None:
                way = _trace(process, before)[::-1]
                request.fail(_closed((process.path, waiter.path, *way), request))
                # It may stand in line for room: who stands there looks when it is let in.
                waiter.mailbox.turn_away(partial(is_, request))


def refuse_own_end(process: Process, task: Task) -> None:
    """See to it that `task` of an actor does not wait for the end of the actor.

    Raises:
        CallingSelf: that end would wait for this task.
    """
    if process.held_by(task):
        what = f"{process.path} waits for its own end, which would never come: raise Exit instead"
        raise CallingSelf(what, (process.path, process.path))


def _way(start: Process, end: Process) -> tuple[str, ...] | None:
    """The paths from one actor to another along what each waits for; None if no way leads there."""
    if start is end:
        return (start.path,)
    ahead, behind = {start: start}, {end: end}
    # zip stops at the first of the two searches that has no more edges.
    for pair in zip(_search_callees(ahead), _search_callers(behind), strict=False):
        for process in pair:
            if process in ahead and process in behind:
                return (*_trace(process, ahead)[::-1], *_trace(process, behind)[1:])
    return None


def _let_a_cast_in(start: Process, end: Process) -> bool:
    """Let a cast in whose wait for room is on a way from `start` to `end`; False if none can be.

    The last that is found: the actor at whose mailbox it waits is the nearest to go on.
    """
    casts: list[tuple[Process, Task]] = []
    reached, seen = [start], {start}
    for process in reached:
        for task, (callee, request) in process.waits.items():
            if not _stands(process, task):
                continue
            if request is None and callee.mailbox.blocks(task):
                casts.append((callee, task))
            if callee not in seen:
                seen.add(callee)
                reached.append(callee)
    return any(
        _way(callee, end) is not None and callee.mailbox.let_in(task)
        for callee, task in reversed(casts)
    )


def _search_callees(found: dict[Process, Process]) -> Iterator[Process]:
    """Search breadth first, an edge a step; `found` has each process with the one before it."""
    queue = list(found)
    for process in queue:
        for task, (callee, _) in process.waits.items():
            if callee not in found and _stands(process, task):
                found[callee] = process
                queue.append(callee)
            yield callee


def _search_callers(found: dict[Process, Process]) -> Iterator[Process]:
    """As `_search_callees`, the other way."""
    queue = list(found)
    for process in queue:
        for task, caller in process.waiters.items():
            if caller not in found and _stands(caller, task):
                found[caller] = process
                queue.append(caller)
            yield caller


def _trace(process: Process, links: dict[Process, Process]) -> list[str]:
    """The paths from a process along the links, up to the one that links to itself."""
    paths = [process.path]
    while links[process] is not process:
        process = links[process]
        paths.append(process.path)
    return paths


def _stands(caller: Process, task: Task) -> bool:
    """Whether a wait still holds the caller's loop, and needs the callee's."""
    callee, request = caller.waits[task]
    needed = callee.holds(task) if request is None else request.waited_for
    # A task that was started with `nursery.start` may have moved beside the loop meanwhile.
    return needed and caller.held_by(task)
