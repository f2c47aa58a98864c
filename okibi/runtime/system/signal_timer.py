"""The kernel's timer that signals the main thread. It needs no thread and no interpreter to fire.

A function with little memory gets a part of a core: with 128 MB a fourteenth, 1.4 ms of every 20. A
handler that computes uses all of that and holds the interpreter. A thread that must signal it would
wait for several such slices, longer than a margin. The kernel's timer follows the clock: the signal
arrives as soon as the computing thread runs.

Only on 64-bit Linux, by the compiled module, or by ctypes without one. Elsewhere `create` returns
False.
"""

import sys
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

# <signal.h>: signal the thread with a given id.
_SIGEV_THREAD_ID = 4
_CLOCK_MONOTONIC = 1


class SignalTimer:
    """One timer. It fires once each time it is set.

    Args:
        number: the signal's number.
        every: seconds between repetitions; 0 for none.
    """

    __slots__ = ("_every", "_number", "_settime", "_timer")

    def __init__(self, number: int, every: float = 0.0) -> None:
        self._number = number
        self._every = every
        self._settime: Any = None
        # The kernel's timer; -1 until it is created.
        self._timer = -1

    @property
    def created(self) -> bool:
        """Whether the kernel has given a timer."""
        return self._timer >= 0

    def set(self, seconds: float) -> None:
        """Fire in so many seconds (> 0), instead of an earlier setting."""
        if self._timer >= 0 or self.create():
            self._settime(self._timer, seconds, self._every)

    def cancel(self) -> None:
        """Do not fire."""
        if self._timer >= 0:
            self._settime(self._timer, 0.0)

    def create(self) -> bool:
        """Get the timer from the kernel. Return whether there is one."""
        if self._timer < 0 and sys.platform == "linux" and sys.maxsize > 2**32:
            create, self._settime = timer_functions()
            # Too many signals may be pending. A later call may succeed.
            self._timer = create(self._number, threading.main_thread().native_id or 0)
        return self._timer >= 0


@cache
def timer_functions() -> tuple[Callable[[int, int], int], Callable[..., object]]:
    """Return `create_timer` and `set_timer` of the compiled module, or what does the same."""
    try:
        from .native import create_timer, set_timer
    except ImportError:
        return by_ctypes()
    return create_timer, set_timer


def by_ctypes() -> tuple[Callable[[int, int], int], Callable[..., object]]:
    """Return the functions of the C library: of librt beside an old one."""
    import ctypes
    from struct import pack

    # PyDLL: no call blocks, so each keeps the interpreter.
    library = ctypes.PyDLL(None)
    if not hasattr(library, "timer_create"):
        library = ctypes.PyDLL("librt.so.1")
    made = list[Any]()

    def create(number: int, thread: int) -> int:
        # struct sigevent, 64 bytes: a value of eight, then ints.
        timer, event = ctypes.c_void_p(), pack("8x3i44x", number, _SIGEV_THREAD_ID, thread)
        if library.timer_create(_CLOCK_MONOTONIC, event, ctypes.byref(timer)) < 0:
            return -1
        made.append(timer)
        return len(made) - 1

    def settime(timer: int, seconds: float, every: float = 0.0) -> None:
        # struct itimerspec: seconds and nanoseconds of the interval, then of the first expiration.
        times = [divmod(int(each * 1e9), 1_000_000_000) for each in (every, seconds)]
        library.timer_settime(made[timer], 0, pack("4q", *times[0], *times[1]), None)

    return create, settime
