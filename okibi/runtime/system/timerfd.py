"""Linux's timerfd: a descriptor that can be read once a time is over.

The C library's is called by ctypes, which trio has imported by then. Python's `os` has it from 3.13
on, and lets go of the interpreter meanwhile.
"""

import os
import sys
import time
from collections.abc import Callable

Timerfd = tuple[Callable[[], int], Callable[[int, float], None]]


def timerfd() -> Timerfd:
    """What makes a timer, and what sets one: to be readable once, in so many seconds.

    A timer is a descriptor, which belongs to the caller: it does not block, and no child process
    gets it.

    Raises:
        OSError: from either.
        AttributeError: here, or as a timer is made: it is another system's, or the C library has
            none of these.
    """
    if sys.platform != "linux":
        raise AttributeError("only Linux has timerfd")
    import ctypes

    # Neither call waits, so they keep the interpreter (PyDLL): who lets go of it beside a busy
    # thread may be without it for milliseconds. Declared argument types took a quarter more.
    library = ctypes.PyDLL(None, use_errno=True)
    timerfd_create, timerfd_settime = library.timerfd_create, library.timerfd_settime
    # struct itimerspec: seconds and nanoseconds of the interval, then those of the first time. On
    # 64 bits each is a long.
    itimerspec = (ctypes.c_long * 4)()
    address = ctypes.byref(itimerspec)

    def error() -> OSError:
        number = ctypes.get_errno()
        return OSError(number, os.strerror(number))

    def create() -> int:
        # What the kernel calls TFD_NONBLOCK and TFD_CLOEXEC.
        timer: int = timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if timer < 0:
            raise error()
        return timer

    def settime(timer: int, seconds: float) -> None:
        itimerspec[2], itimerspec[3] = divmod(int(seconds * 1e9), 1_000_000_000)
        if timerfd_settime(timer, 0, address, None) < 0:
            raise error()

    return create, settime
