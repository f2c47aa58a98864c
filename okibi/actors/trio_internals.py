"""What okibi does with trio's private names, and what it does without them.

Private names are used only with releases of trio that have been read (`READ`). With any other
release, with a version between two releases, and where one of the names is gone (`PRIVATE`), each
function here goes the public way, which is slower. To add a release, read its loop; `tests/actors/
test_trio_internals.py` says which part of it.

Waking a task costs a pass of trio's loop. Two ways around that pass:

    turn      An actor that never waits over a message needs no task for it. A turn handles the
              message in the step of the task that brings it, by a plain call. (Swift's actors do so
              without contention, Akka's on a CallingThreadDispatcher.)
    handoff   An actor that may wait over a message must go on in its own task, inside its cancel
              scopes. A handoff steps that task inside the step of the task that brings the message,
              as trio's loop would a pass later. (Mach has the word; L4: direct process switch.)

The giver of a turn or a handoff must stand where it could stand in a checkpoint, with all done
that its own step has to do before other tasks run. It must not stand on the stack of user code,
which may have used up nearly all of Python's recursion limit. So `send` never gives one.

What an actor may rely on in a turn:

    one at a time     a message that comes during a turn waits in the mailbox, the turn's own
                      messages to its actor included
    its own fault     an error that a turn raises ends its actor, not the giver
    whole             a kill or a stop that comes out of a turn takes effect after it
    its own context   its context variables. trio's `current_task` is the giver's, so a turn must
                      open no scope and no nursery.

What becomes of the task that a handoff has stepped:

    it waits        noted as trio's loop notes it; a pending cancellation is delivered
    a checkpoint    it has its next step in the next pass
    anything else   it has ended, crashed, or yielded what is no trap of trio's: the loop is handed
                    that as the outcome of a step in the next pass

Within a handoff `current_task()` and the context variables are the stepped task's. Instruments see
its step inside the giver's, and no `task_scheduled`. A KeyboardInterrupt that trio keeps for the
main task is not looked for: no actor is that task.
"""

import re
import select
import sys
from collections.abc import Callable
from typing import Any, Final

import outcome
import trio
from trio.lowlevel import RaiseCancelT, Task, reschedule

# Releases whose loop does with a step what `step` does.
READ: Final = frozenset({"0.30", "0.31", "0.32", "0.33", "0.34", "0.35"})
# Every private name that this module and `okibi.runtime.serving.event_scope` use where the loop is
# known, by its class in `trio._core._run`.
PRIVATE: Final = {
    "Task": (
        "_abort_func", "_attempt_delivery_of_any_pending_cancel", "_cancel_points",
        "_cancel_status", "_next_send_fn", "_schedule_points",
    ),
    "CancelScope": ("_cancel_called", "_cancel_status", "_deadline", "_registered_deadline"),
    "Runner": ("deadlines", "instruments", "io_manager", "runq"),
    "Deadlines": ("add", "remove"),
    # Other systems have no epoll.
    "TheIOManager": ("_epoll",) if sys.platform == "linux" else (),
}  # fmt: skip


def loop_of(release: str) -> tuple[Any, Any, Any]:
    """Trio's context of a run, the class of what a wait yields, and what a checkpoint does; None of
    a release that has not been read, or that has lost one of the names in `PRIVATE`.

    Args:
        release: trio's version.
    """
    version = re.fullmatch(r"(\d+\.\d+)\.\d+", release)
    if version is None or version[1] not in READ:
        return None, None, None
    try:
        run: Any = trio._core._run
        traps: Any = trio._core._traps
        for holder, names in PRIVATE.items():
            known = getattr(run, holder)
            for name in names:
                getattr(known, name)
        found = run.GLOBAL_RUN_CONTEXT, traps.WaitTaskRescheduled, traps.CancelShieldedCheckpoint
    except AttributeError:
        return None, None, None
    return found


CONTEXT, WAIT, CHECKPOINT = loop_of(trio.__version__)
# The function of trio's in which a task waits for the children of its nursery. Under another name,
# such a task is shown at that wait instead of where its first child is.
NURSERY_EXIT: Final = "_nested_child_finished"


# -- turns

Turn = Callable[[Any], bool]
"""What an actor does with a message, without waiting: whether it waits for the next one then. If
not it is woken, to wait for something else."""


class Turns:
    """The turns of one actor.

    Args:
        turn: one of them.
        look: what its task is woken with that is not to wait for the next message.
    """

    __slots__ = ("_cancel", "_look", "_taking", "_turn")

    def __init__(self, turn: Turn, look: outcome.Outcome[object]) -> None:
        self._turn = turn
        self._look = look
        self._taking = False
        self._cancel: RaiseCancelT | None = None

    def take(self, task: Task, message: object) -> bool:
        """Take one in a task's place: True if that waits on, False if it has been woken."""
        self._taking = True
        try:
            waits_on = task.context.run(self._turn, message)
        except BaseException as error:
            reschedule(task, outcome.Error(error))
            return False
        finally:
            self._taking = False
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            reschedule(task, outcome.capture(cancel))
        elif not waits_on:
            reschedule(task, self._look)
        return waits_on and cancel is None

    def postpones(self, cancel: RaiseCancelT) -> bool:
        """Whether its task is cancelled in the middle of one, to hear of it afterwards."""
        if self._taking:
            self._cancel = cancel
        return self._taking


# -- handoff


def step(task: Task, wakes_with: outcome.Outcome[object]) -> None:
    """Give a task that waits its step now; or in the next pass, where trio's loop is not known.

    Args:
        task: it waits, and nobody has rescheduled it.
        wakes_with: what its wait comes to.
    """
    context = CONTEXT
    if context is None:
        reschedule(task, wakes_with)
        return
    stepped: Any = task
    giver, instruments = context.task, context.runner.instruments
    # As `reschedule` does.
    stepped._abort_func = stepped.custom_sleep_data = None
    context.task = task
    try:
        if "before_task_step" in instruments:
            instruments.call("before_task_step", task)
        trap: Any = task.context.run(stepped.coro.send, wakes_with)
    except BaseException as error:
        _leave_to_the_loop(stepped, _raised(error))
    else:
        if type(trap) is WAIT:
            stepped._schedule_points += 1
            stepped._cancel_points += 1
            stepped._abort_func = trap.abort_func
            _deliver_cancel(stepped)
        elif trap is CHECKPOINT:
            stepped._schedule_points += 1
            reschedule(task)
        else:
            _leave_to_the_loop(stepped, outcome.Value(trap))
    finally:
        if "after_task_step" in instruments:
            instruments.call("after_task_step", task)
        context.task = giver


def _deliver_cancel(stepped: Any) -> None:
    try:
        stepped._attempt_delivery_of_any_pending_cancel()
    except BaseException as error:
        # An abort function that raises ends a run of trio; here it ends whose it is.
        reschedule(stepped, outcome.Error(error))


def _raised(error: BaseException) -> outcome.Error:
    # Without the frame of `step`. A name for the traceback there would close a circle.
    told = error.__traceback__
    return outcome.Error(error.with_traceback(told and told.tb_next))


def _leave_to_the_loop(stepped: Any, came: outcome.Outcome[object]) -> None:
    """Have the loop take what a step came to for what the next one comes to."""
    reschedule(stepped, came)
    # No function of this module's: its frame would hold the error, whose traceback would hold it.
    stepped._next_send_fn = type(came).unwrap


# -- the loop's queue and its wait


def others_wait() -> bool:
    """Whether a task is to have its step in the next pass; not who is yet to have one in this.

    trio's statistics say it too, and look at each descriptor that is waited for: 1.2 us of an event
    with one lane, 4 with 64.
    """
    if CONTEXT is None:
        return trio.lowlevel.current_statistics().tasks_runnable > 0
    return bool(CONTEXT.runner.runq)


def epoll() -> "select.epoll | None":
    """What the run waits by; None where it is not known, or another system's."""
    if CONTEXT is None:
        return None
    waits_by: select.epoll | None = getattr(CONTEXT.runner.io_manager, "_epoll", None)
    return waits_by


def ends_wait(descriptor: int) -> bool:
    """Have a descriptor end the loop's wait each time that there is something to read, by edges: so
    it need never be read. It wakes no task. False where the loop's epoll is not known, or has no
    room.
    """
    waits_by = epoll()
    if waits_by is None:
        return False
    try:
        waits_by.register(descriptor, select.EPOLLIN | select.EPOLLET)
    except OSError:
        return False
    return True


# -- threads


def host_of_this_thread() -> Task | None:
    """The task that waits for this thread; None if trio did not start it, or has abandoned it.
    (Of a thread that is kept for many calls it is the task that keeps it: nobody's that an actor
    waits for.)

    trio has no public name for it. Without the private one, an actor that waits for a thread to
    abandon that calls it waits until it is cancelled; nothing else is lost.
    """
    thread = getattr(getattr(trio, "_threads", None), "PARENT_TASK_DATA", None)
    register: list[Task | None] = getattr(thread, "task_register", [None])
    return register[0]
