"""What is used of trio's own loop, by names that are private: for the releases that have been read.

Which task runs, and what its step has yielded, are for a handoff (room `handoff`). The queue of
those that are to have their step is trio's to tell, too, among its statistics; but for these it
looks at each descriptor that is waited for: 1.2 us of an event with one lane, 4 with 64. A
descriptor in its epoll that it knows nothing of ends its wait, and nothing else: no task is woken.

With any other release nothing of this is touched. What depends on it goes the public way, and is
slower: so a new release of trio is read (`test_loop` says what of it), and added here.
"""

import os
import select
from collections.abc import Callable
from socket import socketpair
from typing import Any, Final

import trio

# Releases whose loop does with a step what `handoff` does.
READ: Final = frozenset({"0.30", "0.31", "0.32", "0.33", "0.34", "0.35"})


def loop_of(release: str) -> tuple[Any, Any, Any]:
    """Trio's context of a run, the class of what a wait yields, and what a checkpoint does; None of
    a release that has not been read.

    Args:
        release: trio's version.
    """
    if release.rpartition(".")[0] not in READ:
        return None, None, None
    core: Any = trio._core
    traps = core._traps
    return core._run.GLOBAL_RUN_CONTEXT, traps.WaitTaskRescheduled, traps.CancelShieldedCheckpoint


CONTEXT, WAIT, CHECKPOINT = loop_of(trio.__version__)


def others_wait() -> bool:
    """Whether a task is to have its step in the next pass; not who is yet to have one in this."""
    if CONTEXT is None:
        return trio.lowlevel.current_statistics().tasks_runnable > 0
    return bool(CONTEXT.runner.runq)


def epoll() -> "select.epoll | None":
    """What the run waits by; None where it is not known, or another system's."""
    if CONTEXT is None:
        return None
    waits_by: select.epoll | None = getattr(CONTEXT.runner.io_manager, "_epoll", None)
    return waits_by


def alone() -> Callable[[], None]:
    """What gives a child of this process, which has a copy of the run, a wait of its own: an epoll,
    and what the child's threads wake it by, where its parent's are. Nothing else is registered.

    Called there, it raises OSError or ValueError where the run is over, or no descriptor is left.
    """
    waits_by = epoll()
    if waits_by is None:
        return lambda: None
    wakeup = CONTEXT.runner.entry_queue.wakeup
    woken, wakes = wakeup.wakeup_sock, wakeup.write_sock

    def separate() -> None:
        place = waits_by.fileno()
        ours, others = socketpair()
        with ours, others, select.epoll() as own:
            for end, where in (ours, woken), (others, wakes):
                end.setblocking(False)
                os.dup2(end.fileno(), where.fileno(), inheritable=False)
            # As trio has it: its task that waits for this has said so to its parent's epoll.
            own.register(woken, select.EPOLLIN | select.EPOLLONESHOT)
            os.dup2(own.fileno(), place, inheritable=False)

    return separate


def ends_wait(descriptor: int) -> bool:
    """Have a descriptor end the loop's wait each time that there is something to read, by edges: so
    it need never be read. False where the loop's epoll is not known, or has no room.
    """
    waits_by = epoll()
    if waits_by is None:
        return False
    try:
        waits_by.register(descriptor, select.EPOLLIN | select.EPOLLET)
    except OSError:
        return False
    return True
