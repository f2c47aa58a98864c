"""Handle a message inside the sender's step. Only `handover.wake` does so.

Waking a task costs a pass of trio's loop. Two ways avoid that pass:

    turn      For an actor that never waits while it handles a message. A turn is a plain call that
              handles the message inside the sender's step. (Swift's actors do this without
              contention, Akka's on a CallingThreadDispatcher.)
    handoff   For an actor that may wait: it must run in its own task, inside its cancel scopes. A
              handoff steps that task inside the sender's step, as trio's loop would one pass later.
              (Mach: handoff. L4: direct process switch.)

A sender may use them only where a checkpoint would be allowed, and only after it has done all that
must happen before other tasks run. User code must not be on the sender's stack, because it may have
used most of Python's recursion limit. For this reason `send` never gives a turn or a handoff.

An actor can rely on these rules in a turn:

    one at a time     a message that arrives during a turn waits in the mailbox, also a message that
                      the turn sends to its own actor
    own errors        an error in a turn ends the actor, not the sender
    no interruption   a kill or stop requested in a turn takes effect after the turn
    own context       context variables are the actor's. trio's `current_task` is the sender, so a
                      turn must not open a cancel scope or a nursery.

A handoff ends in one of three ways:

    the task waits             trio's records are updated as its loop does; a pending cancellation
                               is delivered
    it is at a checkpoint      the task has its next step in the next pass
    it ended, crashed, or      trio's loop gets that as the outcome of a step in the next pass
    yielded no trap of trio

During a handoff `current_task()` and the context variables are the stepped task's. Instruments see
its step inside the sender's step, and no `task_scheduled`. A KeyboardInterrupt that trio keeps for
the main task is not checked: no actor runs in the main task.
"""

from collections.abc import Callable
from typing import Any

import outcome
from trio.lowlevel import RaiseCancelT, Task, reschedule

from ...actors import trio_internals
from ...actors.mailbox import LOOK, Mailbox, MessageOutcome

# Handles a message without waiting. Returns whether the actor then waits for the next message; if
# not, its task is woken to wait for something else.
Turn = Callable[[Any], bool]

_LOOK = MessageOutcome(LOOK)


def handle_now(mailbox: Mailbox, message: object) -> bool:
    """Handle a message now, by a turn or a handoff.

    Returns:
        False if the reader of the mailbox does not wait. The message is then not handled.
    """
    reader = mailbox.take_reader()
    if reader is None:
        return False
    runner = mailbox.turn_runner
    if runner is None:
        step(reader, MessageOutcome(message))
    elif runner.run(reader, message):
        mailbox.return_reader(reader)
    return True


# -- turns


class TurnRunner:
    """Runs the turns of one actor. Passed to `make_receiver`.

    Args:
        turn: handles one message, LOOK included.
    """

    __slots__ = ("_pending_cancel", "_running", "_turn")

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._running = False
        self._pending_cancel: RaiseCancelT | None = None

    def run(self, task: Task, message: object) -> bool:
        """Run a turn for a waiting task: True if the task still waits, False if it was woken."""
        self._running = True
        try:
            still_waits = task.context.run(self._turn, message)
        except BaseException as error:
            reschedule(task, outcome.Error(error))
            return False
        finally:
            self._running = False
        cancel, self._pending_cancel = self._pending_cancel, None
        if cancel is not None:
            reschedule(task, outcome.capture(cancel))
        elif not still_waits:
            reschedule(task, _LOOK)
        return still_waits and cancel is None

    def postpone_cancel(self, cancel: RaiseCancelT) -> bool:
        """Deliver a cancellation after the running turn; False if no turn is running."""
        if self._running:
            self._pending_cancel = cancel
        return self._running


# -- handoffs


def step(task: Task, wakes_with: outcome.Outcome[object]) -> None:
    """Step a waiting task now; with an unknown release of trio, in the next pass.

    Args:
        task: a task that waits and has not been rescheduled.
        wakes_with: the outcome of its wait.
    """
    context = trio_internals.CONTEXT
    if context is None:
        reschedule(task, wakes_with)
        return
    stepped: Any = task
    sender, instruments = context.task, context.runner.instruments
    # As trio's `reschedule` does.
    stepped._abort_func = stepped.custom_sleep_data = None
    context.task = task
    try:
        if "before_task_step" in instruments:
            instruments.call("before_task_step", task)
        trap: Any = task.context.run(stepped.coro.send, wakes_with)
    except BaseException as error:
        _pass_to_loop(stepped, _error_outcome(error))
    else:
        if type(trap) is trio_internals.WAIT_TRAP:
            stepped._schedule_points += 1
            stepped._cancel_points += 1
            stepped._abort_func = trap.abort_func
            _deliver_cancel(stepped)
        elif trap is trio_internals.CHECKPOINT_TRAP:
            stepped._schedule_points += 1
            reschedule(task)
        else:
            _pass_to_loop(stepped, outcome.Value(trap))
    finally:
        if "after_task_step" in instruments:
            instruments.call("after_task_step", task)
        context.task = sender


trio_internals.STEPPING.add(step.__code__)


def _deliver_cancel(stepped: Any) -> None:
    try:
        stepped._attempt_delivery_of_any_pending_cancel()
    except BaseException as error:
        # In trio's loop an abort function that raises ends the run. Here it ends only its task.
        reschedule(stepped, outcome.Error(error))


def _error_outcome(error: BaseException) -> outcome.Error:
    # Drop the frame of `step`. In `step`, a variable for the traceback would make a cycle.
    trace = error.__traceback__
    return outcome.Error(error.with_traceback(trace and trace.tb_next))


def _pass_to_loop(stepped: Any, result: outcome.Outcome[object]) -> None:
    """Make the result of this step the result of the task's next step in trio's loop."""
    reschedule(stepped, result)
    # Not a function of this module: its frame and the error's traceback would make a cycle.
    stepped._next_send_fn = type(result).unwrap
