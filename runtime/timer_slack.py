"""A thread's timer slack: how much later than asked for Linux may end its sleeps and time-outs.

It is 50 us unless a thread says otherwise, so that one interrupt serves for several (prctl(2),
PR_SET_TIMERSLACK). What waits on the loop has none, for a timerfd has none; the threads of plain
handlers set theirs, so that a `def` is woken as exactly as an `async def`.

A thread hands it down to the threads that it starts, and to the processes.
"""

import sys

_PR_SET_TIMERSLACK = 29
# Nanoseconds; to ask for none at all is to ask for what was there at the start.
_LEAST = 1


def wake_on_time() -> None:
    """Have this thread woken when it has asked to be. On Linux; elsewhere it stays as it is."""
    if sys.platform != "linux":
        return
    try:
        import ctypes

        ctypes.PyDLL(None).prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(_LEAST))
    except (ImportError, AttributeError, OSError):
        # An interpreter without ctypes, or a C library without it.
        return
