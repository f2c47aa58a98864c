"""Linux's timerfd: a descriptor that becomes readable at a time.

The functions of the C library are called through ctypes, which trio has imported already. Python's
`os` has them since 3.13, but releases the interpreter in each call.
"""

import os
import sys
import time
from collections.abc import Callable

Timerfd = tuple[Callable[[], int], Callable[[int, float], None]]


def timerfd() -> Timerfd:
    """Return two functions: `create()` makes a timer, `settime(timer, seconds)` sets the timer.

    A timer expires once. It is a non-blocking descriptor that the caller owns. Executed programs
    do not inherit it.

    Raises:
        OSError: the kernel refused a call of either function.
        AttributeError: the system is not Linux, or the C library lacks a function. `create` may
            raise it, too.
    """
    if sys.platform != "linux":
        raise AttributeError("only Linux has timerfd")
    import ctypes

    # PyDLL: neither call blocks, so both keep the interpreter. Beside a busy thread, getting it
    # back could take milliseconds. Declared argument types would cost a quarter more.
    library = ctypes.PyDLL(None, use_errno=True)
    timerfd_create, timerfd_settime = library.timerfd_create, library.timerfd_settime
    # struct itimerspec: seconds and nanoseconds of the interval, then of the first expiration; each
    # a long on 64 bits.
    itimerspec = (ctypes.c_long * 4)()
    address = ctypes.byref(itimerspec)

    def error() -> OSError:
        number = ctypes.get_errno()
        return OSError(number, os.strerror(number))

    def create() -> int:
        # TFD_NONBLOCK and TFD_CLOEXEC have these values.
        timer: int = timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if timer < 0:
            raise error()
        return timer

    def settime(timer: int, seconds: float) -> None:
        itimerspec[2], itimerspec[3] = divmod(int(seconds * 1e9), 1_000_000_000)
        if timerfd_settime(timer, 0, address, None) < 0:
            raise error()

    return create, settime
