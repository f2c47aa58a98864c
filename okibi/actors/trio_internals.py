"""Uses of trio's private names, each with a fallback.

Private names are used only with the releases in `KNOWN_RELEASES`, whose loop has been read. With
any other release, with a development version, or if a name in `PRIVATE_NAMES` is missing, each
function here falls back to trio's public API, which is slower. Before adding a release, read its
loop: `tests/actors/test_trio_internals.py` says which part.
"""

import math
import select
import sys
from collections.abc import Callable
from types import CodeType, SimpleNamespace
from typing import Any, Final, cast

import trio
from trio.lowlevel import Task

# trio sets the name here to tell libraries that they run on trio. A trio without sniffio does not.
sniffio: Any
try:
    from sniffio import thread_local as sniffio
except ImportError:
    sniffio = SimpleNamespace(name=None)

# Releases whose loop handles a step as `okibi.runtime.in_flight.turns.step` does.
KNOWN_RELEASES: Final = frozenset({"0.30", "0.31", "0.32", "0.33", "0.34", "0.35"})
# The private names that this module, `okibi.runtime.in_flight.turns` and
# `okibi.runtime.serving.event_scope` use, by their class in `trio._core._run`.
PRIVATE_NAMES: Final = {
    "Task": (
        "_abort_func", "_attempt_delivery_of_any_pending_cancel", "_cancel_points",
        "_cancel_status", "_next_send_fn", "_schedule_points",
    ),
    "CancelScope": ("_cancel_called", "_cancel_status", "_deadline", "_registered_deadline"),
    "Runner": ("deadlines", "io_manager", "is_guest", "runq"),
    "CancelStatus": ("effective_deadline",),
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
# The code of functions that step another task: `frames_of` leaves out what they call.
STEPPING: Final = set[CodeType]()


# -- the loop's queue and its wait


def tasks_are_runnable() -> bool:
    """Return whether a task is scheduled for the next pass. The current pass does not count.

    trio's statistics say the same, but visit every descriptor: 1.2 us per event with one lane, 4 us
    with 64.
    """
    if CONTEXT is None:
        return trio.lowlevel.current_statistics().tasks_runnable > 0
    return bool(CONTEXT.runner.runq)


def deadline_of(task: Task | None) -> float:
    """Return the effective deadline of another task; infinity for none, or an unknown release."""
    if CONTEXT is None or task is None:
        return math.inf
    deadline: float = cast("Any", task)._cancel_status.effective_deadline()
    return deadline


def epoll() -> "select.epoll | None":
    """Return the epoll of trio's loop; None with an unknown release and on other systems."""
    if CONTEXT is None:
        return None
    loop_epoll: select.epoll | None = getattr(CONTEXT.runner.io_manager, "_epoll", None)
    return loop_epoll


def set_epoll(epoll: object) -> None:
    """Have trio's loop wait by another object with an epoll's methods.

    For a caller that got trio's own from `epoll`.
    """
    CONTEXT.runner.io_manager._epoll = epoll


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


def end_run(token: trio.lowlevel.TrioToken, error: BaseException) -> None:
    """End a run of trio by an error. trio only removes an instrument that raises, and goes on."""
    token.run_sync_soon(_raise, error)


def _raise(error: BaseException) -> None:
    raise error


# -- another library's code in trio's thread


def make_task_hider(
    library: str, current_step: Callable[[], object]
) -> tuple[Callable[[], tuple[Task | None, str | None]], Callable[[Task | None, str | None], None]]:
    """Make functions that have trio refuse code in between, which is not trio's.

    Without this, `await trio.sleep(1)` in asyncio code would hand a trap of trio to asyncio. Only
    with a known release, and for this thread.

    Args:
        library: the name by which libraries find out where they run (sniffio).
        current_step: tells other threads at which step the code is (`make_step_reader`).

    Returns:
        A function that hides the current task, and one that shows it again, whose arguments are
        the results of the first.
    """
    # Of this thread: the attributes of a threading.local are found more slowly.
    context, names = cast("dict[str, Any]", vars(CONTEXT)), cast("dict[str, Any]", vars(sniffio))

    def hide_task() -> tuple[Task | None, str | None]:
        task, before = context.pop("task", None), names.get("name")
        context["hidden_step"] = current_step
        names["name"] = library
        return task, before

    def show_task(task: Task | None, before: str | None) -> None:
        names["name"] = before
        context["hidden_step"] = None
        if task is not None:
            context["task"] = task

    return hide_task, show_task


def is_guest() -> bool:
    """Return whether trio is the guest of another loop, which does the waiting."""
    return bool(CONTEXT.runner.is_guest)


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
        if task is None:
            hidden_step: Callable[[], object] | None = attributes.get("hidden_step")
            return hidden_step and hidden_step()
        return task, task._schedule_points

    return current_step


def task_waiting_for_thread() -> Task | None:
    """Return the task that waits for this thread; None if trio did not start it or abandoned it.

    For a thread that serves many calls, the task that owns the thread: no actor waits for that
    task.

    trio has no public name for this. If the private name is missing, an actor that waits for an
    abandonable thread that calls the actor waits until it is cancelled, instead of getting
    CallCycle.
    """
    thread = getattr(getattr(trio, "_threads", None), "PARENT_TASK_DATA", None)
    register: list[Task | None] = getattr(thread, "task_register", [None])
    return register[0]
