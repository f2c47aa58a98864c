"""Uses of trio's private names, each with a fallback.

Private names are used only with the releases in `KNOWN_RELEASES`, whose loop has been read. With
any other release, with a development version, or if a name in `PRIVATE_NAMES` is missing, each
function here falls back to trio's public API, which is slower. Before adding a release, read its
loop: `tests/actors/test_trio_internals.py` says which part.

Waking a task costs a pass of trio's loop. Two ways avoid that pass:

    turn      For an actor that never waits while it handles a message. A turn is a plain call that
              handles the message inside the sender's step. (Swift's actors do this without
              contention, Akka's on a CallingThreadDispatcher.)
    handoff   For an actor that may wait: it must run in its own task, inside its cancel scopes. A
              handoff steps that task inside the sender's step, as trio's loop would one pass later.
              (Mach: handoff. L4: direct process switch.)

Only the runtime's `wake` gives turns and handoffs (module `okibi.runtime.in_flight.handover`). A
sender may use it only where a checkpoint would be allowed, and only after it has done all that must
happen before other tasks run. User code must not be on the sender's stack, because it may have used
most of Python's recursion limit. For this reason `send` never gives a turn or a handoff.

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

import select
import sys
from collections.abc import Callable
from typing import Any, Final, cast

import outcome
import trio
from trio.lowlevel import RaiseCancelT, Task, reschedule

# Releases whose loop handles a step as `step` does.
KNOWN_RELEASES: Final = frozenset({"0.30", "0.31", "0.32", "0.33", "0.34", "0.35"})
# The private names that this module and `okibi.runtime.serving.event_scope` use, by their class in
# `trio._core._run`.
PRIVATE_NAMES: Final = {
    "Task": (
        "_abort_func", "_attempt_delivery_of_any_pending_cancel", "_cancel_points",
        "_cancel_status", "_next_send_fn", "_schedule_points",
    ),
    "CancelScope": ("_cancel_called", "_cancel_status", "_deadline", "_registered_deadline"),
    "Runner": ("deadlines", "instruments", "io_manager", "runq"),
    "Deadlines": ("add", "remove"),
    # Only Linux has epoll.
    "TheIOManager": ("_epoll",) if sys.platform == "linux" else (),
}  # fmt: skip


def find_private_api(release: str) -> tuple[Any, Any, Any]:
    """Find the run context, the class of wait traps, and the checkpoint trap of trio.

    All three are None for an unknown release, and if a name in `PRIVATE_NAMES` is missing.

    Args:
        release: trio's version.
    """
    minor, _, patch = release.rpartition(".")
    if minor not in KNOWN_RELEASES or not patch.isdecimal():
        return None, None, None
    try:
        run: Any = trio._core._run
        traps: Any = trio._core._traps
        for holder, names in PRIVATE_NAMES.items():
            known = getattr(run, holder)
            for name in names:
                getattr(known, name)
        found = run.GLOBAL_RUN_CONTEXT, traps.WaitTaskRescheduled, traps.CancelShieldedCheckpoint
    except AttributeError:
        return None, None, None
    return found


CONTEXT, WAIT_TRAP, CHECKPOINT_TRAP = find_private_api(trio.__version__)
# trio's function in which a task waits for the children of its nursery. If trio renames it,
# `frames_of` then shows a task at its nursery's exit, not at the line of the first child.
NURSERY_EXIT: Final = "_nested_child_finished"


# -- turns

Turn = Callable[[Any], bool]
"""Handles a message without waiting. Returns whether the actor then waits for the next message; if
not, its task is woken to wait for something else."""


class TurnRunner:
    """Runs the turns of one actor.

    Args:
        turn: handles one message.
        wake_up: wakes the actor's task if `turn` returns False.
    """

    __slots__ = ("_pending_cancel", "_running", "_turn", "_wake_up")

    def __init__(self, turn: Turn, wake_up: outcome.Outcome[object]) -> None:
        self._turn = turn
        self._wake_up = wake_up
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
            reschedule(task, self._wake_up)
        return still_waits and cancel is None

    def postpone_cancel(self, cancel: RaiseCancelT) -> bool:
        """Deliver a cancellation after the running turn; False if no turn is running."""
        if self._running:
            self._pending_cancel = cancel
        return self._running


# -- handoff


def step(task: Task, wakes_with: outcome.Outcome[object]) -> None:
    """Step a waiting task now; with an unknown release of trio, in the next pass.

    Args:
        task: a task that waits and has not been rescheduled.
        wakes_with: the outcome of its wait.
    """
    context = CONTEXT
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
        if type(trap) is WAIT_TRAP:
            stepped._schedule_points += 1
            stepped._cancel_points += 1
            stepped._abort_func = trap.abort_func
            _deliver_cancel(stepped)
        elif trap is CHECKPOINT_TRAP:
            stepped._schedule_points += 1
            reschedule(task)
        else:
            _pass_to_loop(stepped, outcome.Value(trap))
    finally:
        if "after_task_step" in instruments:
            instruments.call("after_task_step", task)
        context.task = sender


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


# -- the loop's queue and its wait


def tasks_are_runnable() -> bool:
    """Whether a task is scheduled for the next pass. Tasks left in the current pass do not count.

    trio's statistics say the same, but visit every descriptor: 1.2 us per event with one lane, 4 us
    with 64.
    """
    if CONTEXT is None:
        return trio.lowlevel.current_statistics().tasks_runnable > 0
    return bool(CONTEXT.runner.runq)


def epoll() -> "select.epoll | None":
    """The epoll of trio's loop; None with an unknown release and on other systems."""
    if CONTEXT is None:
        return None
    loop_epoll: select.epoll | None = getattr(CONTEXT.runner.io_manager, "_epoll", None)
    return loop_epoll


def wake_loop_on(descriptor: int) -> bool:
    """End the wait of trio's loop each time a descriptor becomes readable. No task is woken.

    Edge-triggered, so the descriptor never needs to be read.

    Returns:
        False if the loop's epoll is unknown or refuses the descriptor.
    """
    loop_epoll = epoll()
    if loop_epoll is None:
        return False
    try:
        loop_epoll.register(descriptor, select.EPOLLIN | select.EPOLLET)
    except OSError:
        return False
    return True


# -- threads


def make_step_reader() -> Callable[[], object]:
    """Make a function with which another thread sees at which step of a task this thread's run is.

    Returns:
        A function for any thread: the task and how often it has yielded, equal for two calls in
        the same step; None between two steps, or where trio's loop is not known.
    """
    if CONTEXT is None:
        return lambda: None
    # `CONTEXT` is a threading.local: these are this thread's attributes.
    attributes = cast("dict[str, Any]", vars(CONTEXT))

    def current_step() -> object:
        task: Any = attributes.get("task")
        return None if task is None else (task, task._schedule_points)

    return current_step


def task_waiting_for_thread() -> Task | None:
    """The task that waits for this thread; None if trio did not start or has abandoned the thread.

    For a thread that serves many calls, the task that owns the thread: no actor waits for that
    task.

    trio has no public name for this. If the private name is missing, an actor that waits for an
    abandonable thread that calls the actor waits until it is cancelled, instead of getting
    CallCycle.
    """
    thread = getattr(getattr(trio, "_threads", None), "PARENT_TASK_DATA", None)
    register: list[Task | None] = getattr(thread, "task_register", [None])
    return register[0]
