"""Handoff: a task that is woken has its step at once, inside the step of who wakes it.

An actor that may wait over a message cannot take a turn (room `turns`): it has to go on in its own
task, with the cancel scopes that stand around its loop. So that task itself is stepped, as trio's
loop would step it a pass later. (Mach has the word; L4 calls it a direct process switch.) Its
coroutine is sent what it waits for, and runs until it waits again. Then the giver goes on.

    it waits           noted as the loop notes it, and a cancellation that has come meanwhile is
                       delivered to it
    a checkpoint       it has its next step in the next pass
    all else           it has ended, or crashed, or yields what is no trap of trio's: the loop is
                       handed that, as if it came of a step of the next pass

The task sees nothing of it: `current_task()` is itself, and its context variables are its own.
Instruments hear of its step, inside the giver's, and of no `task_scheduled`. A Ctrl-C that trio
keeps for the main task is not looked for: no actor is that task. What the giver has to see to is
what who gives a turn has to: its stack is the one that the task runs on.
"""

from typing import Any

import outcome
from trio.lowlevel import Task, reschedule

from . import loop


def step(task: Task, wakes_with: outcome.Outcome[object]) -> None:
    """Give a task that waits its step now; or in the next pass, where trio's loop is not known.

    Args:
        task: it waits, and nobody has rescheduled it.
        wakes_with: what its wait comes to.
    """
    context = loop.CONTEXT
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
        if type(trap) is loop.WAIT:
            stepped._schedule_points += 1
            stepped._cancel_points += 1
            stepped._abort_func = trap.abort_func
            _deliver_cancel(stepped)
        elif trap is loop.CHECKPOINT:
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
    # No function of this room's: its frame would hold the error, whose traceback would hold it.
    stepped._next_send_fn = type(came).unwrap
