"""The kernel's timer that signals the main thread: to ring it needs no thread, and no interpreter.

A function with little memory has a part of a core, one of 128 MB a fourteenth: 1.4 ms of each 20.
A handler that computes takes all of it, and holds the interpreter. A thread that is to signal it
waits then for several such turns until it runs at all, which is longer than a margin. The kernel's
timer goes by the clock: what computes has the signal as soon as it goes on.

On 64-bit Linux, by the C library; on another system there is none.
"""

import sys
import threading
from struct import pack
from typing import Any

# <signal.h>: the signal is for one thread, whose id is given.
_SIGEV_THREAD_ID = 4
_CLOCK_MONOTONIC = 1


class Ring:
    """One such timer, which rings once each time it is set.

    Args:
        number: of the signal.
    """

    __slots__ = ("_library", "_number", "_timer")

    def __init__(self, number: int) -> None:
        self._number = number
        self._library: Any = None
        # The kernel's, once it has been made.
        self._timer: Any = None

    @property
    def made(self) -> bool:
        """Whether it has been set before, and the kernel had one to give."""
        return self._timer is not None

    def set(self, seconds: float) -> None:
        """Have it ring in so many seconds, more than none, and not as it was set before."""
        if self._timer is None and not self._make():
            return
        self._settime(seconds)

    def take_back(self) -> None:
        """Have it not ring."""
        if self._timer is not None:
            self._settime(0)

    def _make(self) -> bool:
        if sys.platform != "linux" or sys.maxsize < 2**32:
            return False
        import ctypes

        # None of its calls waits, so they keep the interpreter, as those of room `timerfd`.
        library, timer = _library(), ctypes.c_void_p()
        if library is None:
            return False
        # struct sigevent, 64 bytes: a value of eight, then ints. (As bytes: an array of ctypes' has
        # a class of its own, which would be left to the garbage collector.)
        main = threading.main_thread().native_id or 0
        event = pack("8x3i44x", self._number, _SIGEV_THREAD_ID, main)
        if library.timer_create(_CLOCK_MONOTONIC, event, ctypes.byref(timer)) < 0:
            # Too many signals wait; another time.
            return False
        self._library, self._timer = library, timer
        return True

    def _settime(self, seconds: float) -> None:
        # struct itimerspec: seconds and nanoseconds of the interval, then those of the first time.
        times = pack("16x2q", *divmod(int(seconds * 1e9), 1_000_000_000))
        self._library.timer_settime(self._timer, 0, times, None)


def _library() -> Any:
    """What has the timers: the C library, or librt beside an older one; None if neither does."""
    import ctypes

    for name in (None, "librt.so.1"):
        try:
            library = ctypes.PyDLL(name)
            if hasattr(library, "timer_create"):
                return library
        except OSError:
            continue
    return None
