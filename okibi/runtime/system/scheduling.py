"""How Linux wakes the thread of a plain handler: when it has asked for it, and behind the loop.

    timer slack    how much later than asked for its sleeps and time-outs may end: 50 us, so that
                   one interrupt serves for several (prctl(2), PR_SET_TIMERSLACK). What waits on the
                   loop has none, for a timerfd has none; nor has this thread, so that a `def` is
                   woken as exactly as an `async def`
    SCHED_BATCH    who is woken with it takes no core from who runs (sched(7)), but waits until that
                   one waits or its slice is over. Else a thread takes the loop's core, to wait for
                   the interpreter, which the loop has. Its share of the cores is the same

Threads and processes that it starts have both from it (SCHED_RESET_ON_FORK takes back nothing but a
real-time policy): what computes is run as ever. Where the kernel allows neither, or the C library
has no call for it (musl), it stays as it is.

What SCHED_BATCH costs: where every core is taken by something that computes (a library's own
threads, another process), such a thread waits for a slice to end, some milliseconds, whenever it is
woken.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial

_PR_SET_TIMERSLACK = 29
# Nanoseconds; to ask for none at all is to ask for what was there at the start.
_LEAST_SLACK = 1


def wake_on_time() -> None:
    """Take this thread's timer slack from it."""
    if sys.platform == "linux":
        # An interpreter without ctypes, or a C library without it.
        with suppress(ImportError, AttributeError, OSError):
            _take_slack()()


@cache
def _take_slack() -> Callable[[], object]:
    # Once: each library that ctypes opens leaves a circle for the collector.
    import ctypes

    return partial(ctypes.PyDLL(None).prctl, _PR_SET_TIMERSLACK, ctypes.c_ulong(_LEAST_SLACK))


def wake_behind_the_loop() -> None:
    """Have this thread take nobody's core as it is woken, unless it has a policy of its own."""
    if sys.platform != "linux":
        return
    # musl has but an error in its place.
    with suppress(OSError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def yield_core() -> None:
    """Have those who wait for this core run first, and for the interpreter meanwhile."""
    if sys.platform == "linux":
        os.sched_yield()
