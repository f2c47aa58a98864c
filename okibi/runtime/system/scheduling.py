"""Let Linux wake the thread of a plain handler on time, and without preempting the loop.

    timer slack    How much later than requested sleeps and time-outs may end: 50 us, so that one
                   interrupt serves several (prctl(2), PR_SET_TIMERSLACK). The loop's timerfd has no
                   slack. Without slack in the thread, a `def` wakes as exactly as an `async def`.
    SCHED_BATCH    A woken thread does not preempt a running one (sched(7)): it waits until that
                   one sleeps or its slice ends. Otherwise the thread would take the loop's core,
                   only to wait for the interpreter, which the loop holds. Its share of the core
                   stays the same.

Threads and processes that this thread starts inherit both (SCHED_RESET_ON_FORK resets only
real-time policies). Computing code runs as before. If the kernel forbids either, if the C library
lacks SCHED_BATCH (musl), or if okibi lacks its compiled module, nothing changes.

The cost of SCHED_BATCH: if every core is busy (a library's threads, another process), such a thread
waits some milliseconds for a slice to end at each wake-up.
"""

import os
import sys
from contextlib import suppress

# Nanoseconds. Zero would restore the default.
_LEAST_SLACK = 1


def remove_timer_slack() -> None:
    """Set this thread's timer slack to the minimum."""
    # okibi may be installed without `native.c`.
    with suppress(ImportError):
        from .native import set_timer_slack

        set_timer_slack(_LEAST_SLACK)


def use_batch_scheduling() -> None:
    """Give this thread SCHED_BATCH, unless its policy was changed already."""
    if sys.platform != "linux":
        return
    # musl's function only returns an error.
    with suppress(OSError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def yield_core() -> None:
    """Let other threads have this core, and the interpreter meanwhile."""
    if sys.platform == "linux":
        os.sched_yield()
