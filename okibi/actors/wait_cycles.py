"""Refuse a call that would close a cycle of waits, and so never return.

All waits of one run are known in this process. They form a graph of actors, with an edge from the
waiting actor to the actor that it waits for. A wait is an edge if both are true:

    the wait holds the loop of the     the actor's own task waits, or a task in a nursery that a
    waiting actor                      method has opened. Tasks in a nursery around the loop (an
                                       overriding `run`) do not hold the loop.
    only the loop of the callee        a call; a cast blocked by a full mailbox; a wait for a start
    can end the wait                   or an end. (A call to the supervisor that is starting or
                                       stopping the caller closes a cycle too.) A reply that was put
                                       off (`reply_later`) is no edge: any task may send it.

A call closes a cycle if a path leads from the callee to the caller. Each actor records its edges
out and in (`Waits.callees`, `Waits.callers`). An actor without edges out, or without edges
in, is in no cycle, so most calls need no search. Otherwise two searches alternate edge by edge:
from the callee along `callees`, and from the caller along `callers`. If either search ends, there
is no cycle. The cost of a call is therefore the smaller of the two searches.

Rejected: an order of the actors in which a call from a lower to a higher number needs no search. A
search without a cycle would have to renumber the actors that it passed, and an edge that ends early
(a reply put off) would have to be removed first.

A wait for a name is an edge to the actor that has the name and starts or ends, or to the supervisor
that restarts the actor. If a call closes a cycle with such a wait, the wait ends with CallCycle,
and the call goes on: the `init` of an actor that restarts may call a server that waits for its
name.

A cast to a full mailbox closes no cycle. OTP's mailboxes are unbounded, so the cast would not wait
there. Here the mailbox accepts it beyond its capacity, up to twice the capacity. Otherwise two
actors that cast to each other would crash under load, and so would a worker that calls its manager.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from operator import is_
from typing import TYPE_CHECKING, Any, Final, Protocol

import trio
from trio.lowlevel import (
    Abort,
    RaiseCancelT,
    Task,
    cancel_shielded_checkpoint,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from .exits import CallCycle, CallingSelf
from .life import Life
from .mailbox import Mailbox
from .request import NameWait, Request

if TYPE_CHECKING:

    class Waiter(Protocol):
        """An actor that waits."""

        @property
        def waits(self) -> "Waits": ...

    Callees = dict[Task, tuple["Waits", Request | None]]
    Callers = dict[Task, "Waits"]

# Paths at each end of a long cycle that an error message shows.
_SHOWN = 4
# Shared by all actors without waits: a dictionary takes 64 bytes. It must stay empty.
_NONE: Final[dict[Task, Any]] = {}


class Waits:
    """An actor's task, and the waits that its loop ends or that hold its loop.

    Args:
        path: the actor's path.
        mailbox: the actor's mailbox.

    Attributes:
        task: runs the loop; None before the start and after the end.
        callees: tasks that hold the loop, each with the actor that it waits for, and with the
            request: None for a wait for a start, an end, or space in the mailbox.
        callers: tasks of other actors that wait for this actor.
    """

    __slots__ = (
        "_outer_nurseries", "_phase_waiters", "_stand_ins", "callees", "callers", "mailbox", "path",
        "task",
    )  # fmt: skip

    def __init__(self, path: str, mailbox: Mailbox) -> None:
        self.path = path
        self.mailbox = mailbox
        self.task: Task | None = None
        self.callees: Callees = _NONE
        self.callers: Callers = _NONE
        # Nurseries opened around the actor's loop. Their tasks do not hold the loop.
        self._outer_nurseries: Sequence[trio.Nursery] = ()
        # Tasks that act while the actor's own task waits for its method on another loop.
        self._stand_ins: frozenset[Task] = frozenset()
        # Tasks that wait for the next phase: by a NameWait, parked (True), or polling (False).
        self._phase_waiters: dict[Task, bool | NameWait] | None = None

    # -- the loop

    def begin_loop(self, task: Task) -> None:
        """Note the task that runs the loop."""
        self.task = task

    def end_loop(self) -> None:
        """Note that the task has ended."""
        self.task = None
        self._outer_nurseries = ()

    def record_outer_nurseries(self) -> None:
        """Record the nurseries opened around the loop: their tasks do not hold the loop."""
        if (task := self.task) is None:
            raise RuntimeError(f"{self.path} has ended and receives no more messages")
        self._outer_nurseries = task.child_nurseries or ()

    def held_by(self, task: Task) -> bool:
        """Return whether the actor cannot read its mailbox before `task` has ended."""
        while task is not self.task:
            nursery = task.parent_nursery
            if task in self._stand_ins:
                return True
            if nursery is None or nursery in self._outer_nurseries:
                return False
            task = nursery.parent_task
        return True

    def add_stand_in(self, task: Task) -> None:
        """Note a task for which the method waits that the actor runs on another loop."""
        self._stand_ins |= {task}

    def remove_stand_in(self, task: Task) -> None:
        """Undo `add_stand_in`."""
        self._stand_ins -= {task}

    # -- waits that hold a loop

    def begin(self, task: Task, callee: "Waits", request: Request | None) -> None:
        """Record that a task that holds the loop waits for `callee`, and with which request."""
        if self.callees is _NONE:
            self.callees = {}
        self.callees[task] = (callee, request)
        if callee.callers is _NONE:
            callee.callers = {}
        callee.callers[task] = self

    def end(self, task: Task, callee: "Waits") -> None:
        """Record that the task no longer waits for the loop of `callee`."""
        if self.callees.pop(task, None) is not None:
            del callee.callers[task]

    def end_wait_for(self, request: Request) -> None:
        """Record that the caller of a request no longer waits for this actor's loop."""
        task = request.client
        caller = None if task is None else self.callers.get(task)
        if task is not None and caller is not None and caller.callees[task][1] is request:
            caller.end(task, self)

    def is_awaited_without_request_by(self, task: Task) -> bool:
        """Return whether a task waits for the start, the end, or space in the mailbox."""
        return task in (self._phase_waiters or ()) or self.mailbox.blocks(task)

    # -- waiting for the next phase

    async def next_phase(self, life: Life, waiter: "Waiter | None", park: bool = True) -> None:
        """Wait for the next phase; without `park`, only for the next step of the actor's task.

        Args:
            life: the actor's life.
            waiter: the actor that waits; None for a task outside any actor.
            park: whether to wait longer than for one step.
        """
        task = current_task()
        caller = None if waiter is None else waiter.waits
        if caller is not None:
            if task in caller.callees or not caller.held_by(task):
                caller = None
            else:
                # A call of this actor to the waiting actor would never return.
                caller.begin(task, self, None)
        waiting = self._phase_waiters = self._phase_waiters or {}
        waiting[task], phase = park, life.phase
        try:
            if park:
                await wait_task_rescheduled(partial(_stop_waiting, waiting, task))
            else:
                # Two, because trio runs the tasks of one pass in random order.
                await cancel_shielded_checkpoint()
                if life.phase is phase:
                    await cancel_shielded_checkpoint()
        finally:
            waiting.pop(task, None)
            if caller is not None:
                caller.end(task, self)

    async def next_phase_or_end_of(self, wait: NameWait) -> None:
        """Wait for the next phase, or until another task ends the wait."""
        waiting = self._phase_waiters = self._phase_waiters or {}
        task = current_task()
        waiting[task] = wait
        try:
            await wait.reply()
        finally:
            waiting.pop(task, None)

    def wake_phase_waiters(self) -> None:
        """Wake the tasks that wait for the next phase."""
        waiting, self._phase_waiters = self._phase_waiters, None
        if waiting:
            for task, parked in waiting.items():
                if isinstance(parked, NameWait):
                    parked.answer(None)
                elif parked:
                    reschedule(task)


def _stop_waiting(waiting: dict[Task, bool | NameWait], task: Task, _: RaiseCancelT) -> Abort:
    del waiting[task]
    return Abort.SUCCEEDED


# -- the search


def find_cycle(caller: Waits, callee: Waits, task: Task) -> tuple[str, ...] | None:
    """Return the paths of the cycle that would close if `task` of `caller` waited for `callee`.

    None if the wait can end. Blocked casts on the cycle are admitted to their mailboxes first.
    """
    if not _may_close(caller, callee) or not caller.held_by(task):
        return None
    path = _find_path(callee, caller)
    while callee is not caller and path is not None and _admit_a_cast(callee, caller):
        path = _find_path(callee, caller)
    return None if path is None else (caller.path, *path)


def refuse_cycle(caller: Waits, callee: Waits, task: Task, request: Request) -> None:
    """Raise if a call of `task` would never return.

    Args:
        caller: the calling actor.
        callee: the receiver.
        task: the task of `caller` that will wait.
        request: the call.

    Raises:
        CallingSelf: the actor would wait for itself.
        CallCycle: the actor would wait for an actor that waits for it.
    """
    paths = find_cycle(caller, callee, task)
    while paths is not None and callee is not caller and _end_wait_for_name(callee, caller):
        paths = find_cycle(caller, callee, task)
    if paths is None:
        return
    if callee is caller:
        raise CallingSelf(f"{caller.path} calls itself: {request} would never return", paths)
    raise _cycle_error(paths, request)


def format_chain(paths: tuple[str, ...], verb: str) -> str:
    """Format paths as "/a calls /b calls /a"; of a long chain only both ends."""
    hidden = len(paths) - 2 * _SHOWN
    if hidden > 1:
        paths = (*paths[:_SHOWN], f"({hidden:,} more)", *paths[-_SHOWN:])
    return f" {verb} ".join(paths)


def _may_close(caller: Waits, callee: Waits) -> bool:
    """Return whether a search is needed before the caller waits for the callee."""
    return callee is caller or bool(caller.callers and callee.callees)


def _cycle_error(paths: tuple[str, ...], request: Request) -> CallCycle:
    return CallCycle(f"{format_chain(paths, 'calls')}: {request} would never return", paths)


def fail_calls_that_block(ending: Waits, waiter: Waits, task: Task) -> None:
    """Fail the earlier calls to `waiter` on which the end of `ending` depends.

    `task` of `waiter` will wait for that end. If `ending` drains or is shielded, it would wait for
    the reply to such a call until its grace is over, or for ever. The caller may be `ending` or an
    actor that `ending` waits for. Later calls are refused by `refuse_cycle`.
    """
    if not ending.callees or not waiter.callers or not waiter.held_by(task):
        return
    before = {ending: ending}
    reached = [ending]
    while reached:
        actor = reached.pop()
        for waiting, (callee, request) in actor.callees.items():
            # A killed task is already awake and no longer waits.
            parked = callee.is_awaited_without_request_by(waiting) or (
                request is not None and request.parked
            )
            if not parked or not _is_edge(actor, waiting):
                continue
            if callee is not waiter:
                if callee not in before:
                    before[callee] = actor
                    reached.append(callee)
            elif request is not None:
                path = _trace(actor, before)[::-1]
                request.fail(_cycle_error((actor.path, waiter.path, *path), request))
                # If the caller is blocked by the full mailbox, this wakes it.
                waiter.mailbox.remove_data(partial(is_, request))


def refuse_wait_for_own_end(actor: Waits, task: Task) -> None:
    """Raise if `task` would wait for the end of its own actor.

    Raises:
        CallingSelf: the end of the actor would wait for this task.
    """
    if actor.held_by(task):
        text = f"{actor.path} waits for its own end, which would never come: raise Exit instead"
        raise CallingSelf(text, (actor.path, actor.path))


def _find_path(start: Waits, end: Waits) -> tuple[str, ...] | None:
    """Return the paths from `start` to `end` along the waits; None if `end` is not reachable."""
    if start is end:
        return (start.path,)
    ahead, behind = {start: start}, {end: end}
    # zip stops at the first of the two searches that has no more edges.
    for pair in zip(_search_callees(ahead), _search_callers(behind), strict=False):
        for actor in pair:
            if actor in ahead and actor in behind:
                return (*_trace(actor, ahead)[::-1], *_trace(actor, behind)[1:])
    return None


def _admit_a_cast(start: Waits, end: Waits) -> bool:
    """Admit a blocked cast on a path from `start` to `end` to its mailbox; False if there is none.

    The cast found last goes first: its receiver is nearest to `end`.
    """
    return any(
        request is None
        and callee.mailbox.blocks(task)
        and _find_path(callee, end) is not None
        and callee.mailbox.admit(task)
        for _, task, callee, request in reversed([*_search_edges(start)])
    )


def _end_wait_for_name(start: Waits, end: Waits) -> bool:
    """Fail a wait for a name on a path from `start` to `end`; False if there is none."""
    for waiting, _, callee, request in [*_search_edges(start)]:
        if not isinstance(request, NameWait):
            continue
        ahead, before = _find_path(callee, end), _find_path(start, waiting)
        if ahead is not None and before is not None:
            request.fail(_cycle_error((waiting.path, *ahead, *before), request))
            return True
    return False


def _search_edges(start: Waits) -> Iterator[tuple[Waits, Task, Waits, Request | None]]:
    """Yield all edges that lead on from `start`, breadth first: who waits, for whom, with what."""
    reached, seen = [start], {start}
    for actor in reached:
        for task, (callee, request) in actor.callees.items():
            if not _is_edge(actor, task):
                continue
            yield actor, task, callee, request
            if callee not in seen:
                seen.add(callee)
                reached.append(callee)


def _search_callees(found: dict[Waits, Waits]) -> Iterator[Waits]:
    """Search breadth first along `callees`, one edge per step.

    `found` maps each actor to its predecessor.
    """
    queue = list(found)
    for actor in queue:
        for task, (callee, _) in actor.callees.items():
            if callee not in found and _is_edge(actor, task):
                found[callee] = actor
                queue.append(callee)
            yield callee


def _search_callers(found: dict[Waits, Waits]) -> Iterator[Waits]:
    """Search breadth first along `callers`; otherwise as `_search_callees`."""
    queue = list(found)
    for actor in queue:
        for task, caller in actor.callers.items():
            if caller not in found and _is_edge(caller, task):
                found[caller] = actor
                queue.append(caller)
            yield caller


def _trace(actor: Waits, links: dict[Waits, Waits]) -> list[str]:
    """Return the paths from a actor along the links, up to the actor that links to itself."""
    paths = [actor.path]
    while links[actor] is not actor:
        actor = links[actor]
        paths.append(actor.path)
    return paths


def _is_edge(caller: Waits, task: Task) -> bool:
    """Return whether a wait still holds the caller's loop, and still needs the callee's loop."""
    callee, request = caller.callees[task]
    needed = callee.is_awaited_without_request_by(task) if request is None else request.waited_for
    # `nursery.start` may have moved the task to a nursery around the loop meanwhile.
    return needed and caller.held_by(task)
