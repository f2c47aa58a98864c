"""What is used of trio's own loop, by names that are private: for the releases that have been read.

Which task runs, and what its step has yielded, are for a handoff (room `handoff`). The queue of
those that are to have their step is trio's to tell, too, among its statistics; but for these it
looks at each descriptor that is waited for: 1.2 us of an event with one lane, 4 with 64. A
descriptor in its epoll that it knows nothing of ends its wait, and nothing else: no task is woken.

With any other release nothing of this is touched. What depends on it goes the public way, and is
slower: so a new release of trio is read (`test_loop` says what of it), and added here. The same is
done where one of the private names is gone (`PRIVATE`), and in a version between two releases.
"""

import re
import select
import sys
import threading
from typing import Any, Final

import trio

# Releases whose loop does with a step what `handoff` does.
READ: Final = frozenset({"0.30", "0.31", "0.32", "0.33", "0.34", "0.35"})
# Every private name that this module, `handoff`, `runtime.scopes` and `runtime.child` use where the
# loop is known, by its class in `trio._core._run`.
PRIVATE: Final = {
    "Task": (
        "_abort_func", "_attempt_delivery_of_any_pending_cancel", "_cancel_points",
        "_cancel_status", "_next_send_fn", "_schedule_points",
    ),
    "CancelScope": ("_cancel_called", "_cancel_status", "_deadline", "_registered_deadline"),
    "Runner": ("deadlines", "entry_queue", "instruments", "io_manager", "runq", "tasks"),
    "Deadlines": ("add", "remove"),
    "EntryQueue": ("idempotent_queue", "lock", "queue", "wakeup"),
    # Other systems have no epoll.
    "TheIOManager": (
        "_epoll", "_force_wakeup", "_force_wakeup_fd", "_registered", "_update_registrations",
    ) if sys.platform == "linux" else (),
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


def alone() -> None:
    """Give a child of this process, which has a copy of the run, a wait of its own: an epoll, in
    which is registered what the child's tasks wait for, and what its threads wake it by.

    Raises:
        OSError: no descriptor is left besides those that it gives up.
    """
    if epoll() is None:
        return
    waits, entries = CONTEXT.runner.io_manager, CONTEXT.runner.entry_queue
    # First what is given up: no other descriptor may be left.
    waits._epoll.close()
    registered = dict(waits._registered)
    waits._registered.clear()
    pairs: list[Any] = [waits._force_wakeup, entries.wakeup]
    woken = [registered.pop(pair.wakeup_sock.fileno(), None) for pair in pairs]
    for pair in pairs:
        pair.wakeup_sock.close()
        pair.write_sock.close()
    waits._epoll = select.epoll()
    for pair, waiters in zip(pairs, woken, strict=True):
        fresh = type(pair)()
        pair.wakeup_sock, pair.write_sock = fresh.wakeup_sock, fresh.write_sock
        if waiters is not None:
            registered[pair.wakeup_sock.fileno()] = waiters
    waits._force_wakeup_fd = waits._force_wakeup.wakeup_sock.fileno()
    waits._epoll.register(waits._force_wakeup_fd, select.EPOLLIN)
    # What other threads have asked for is their parent's.
    entries.queue.clear()
    entries.idempotent_queue.clear()
    entries.lock = threading.RLock()
    for descriptor, waiters in registered.items():
        waiters.current_flags = 0
        waits._registered[descriptor] = waiters
        waits._update_registrations(descriptor)


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
