"""Linux's timerfd: a descriptor that becomes readable at a time.

The compiled module calls the system and keeps the interpreter. Without it, `os` of Python 3.13 or
later does, and releases the interpreter in each call.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

Timerfd = tuple[Callable[[], int], Callable[[int, float], object]]


def timerfd() -> Timerfd:
    """Return two functions: `create()` makes a timer, `settime(timer, seconds)` sets the timer.

    A timer expires once. It is a non-blocking descriptor that the caller owns. Executed programs
    do not inherit it.

    Raises:
        AttributeError: the system is not Linux, or neither the compiled module nor `os` has them.
    """
    if sys.platform != "linux":
        raise AttributeError("only Linux has timerfd")
    try:
        from .native import create_timerfd, set_timerfd
    except ImportError:
        python: Any = os
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        create = partial(python.timerfd_create, time.CLOCK_MONOTONIC, flags=flags)
        return create, lambda timer, seconds: python.timerfd_settime(timer, initial=seconds)
    return create_timerfd, set_timerfd
