"""Which tasks wait for an actor, and for whom the actor waits.

The nodes and edges of the graph of waits. Module `wait_cycles` says which waits are edges, and
searches the graph.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

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

from .life import Life
from .mailbox import Mailbox
from .request import NameWait, Request

if TYPE_CHECKING:
    Callees = dict[Task, tuple["Waits", Request | None]]
    Callers = dict[Task, "Waits"]

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
        "_outer_nurseries", "_phase_waiters", "callees", "callers", "mailbox", "path", "task",
    )  # fmt: skip

    def __init__(self, path: str, mailbox: Mailbox) -> None:
        self.path = path
        self.mailbox = mailbox
        self.task: Task | None = None
        self.callees: Callees = _NONE
        self.callers: Callers = _NONE
        # Nurseries opened around the actor's loop. Their tasks do not hold the loop.
        self._outer_nurseries: Sequence[trio.Nursery] = ()
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
        """Whether the actor cannot read its mailbox before `task` has ended."""
        while task is not self.task:
            nursery = task.parent_nursery
            if nursery is None or nursery in self._outer_nurseries:
                return False
            task = nursery.parent_task
        return True

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
        """Whether a task waits for the start, the end, or space in the mailbox."""
        return task in (self._phase_waiters or ()) or self.mailbox.blocks(task)

    # -- waiting for the next phase

    async def next_phase(self, life: Life, caller: "Waits | None", park: bool = True) -> None:
        """Wait for the next phase; without `park`, only for the next step of the actor's task.

        Args:
            life: the actor's life.
            caller: the waits of the actor that waits; None for a task outside any actor.
            park: whether to wait longer than for one step.
        """
        task = current_task()
        # For `wait_cycles`: a call of this actor to the waiting actor would never return.
        if caller is not None and (task in caller.callees or not caller.held_by(task)):
            caller = None
        if caller is not None:
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
