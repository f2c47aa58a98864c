"""The kernel's timer that signals the main thread: to ring it needs no thread, and no interpreter.

A function with little memory has a part of a core, one of 128 MB a fourteenth: 1.4 ms of each 20.
A handler that computes takes all of it, and holds the interpreter. A thread that is to signal it
waits then for several such turns until it runs at all, which is longer than a margin. The kernel's
timer goes by the clock: what computes has the signal as soon as it goes on.

On 64-bit Linux, by the C library; on another system there is none.
"""

import sys
import threading
from functools import cache
from struct import pack
from typing import Any

# <signal.h>: the signal is for one thread, whose id is given.
_SIGEV_THREAD_ID = 4
_CLOCK_MONOTONIC = 1
# struct itimerspec: seconds and nanoseconds of the interval, then those of the first time.
_NEVER = bytes(32)


class Ring:
    """One such timer, which rings once each time it is set.

    Args:
        number: of the signal.
        every: seconds after which it rings again, and again; 0 for once.
        late: seconds by which it may ring late. A call to `set` within them of the last one packs
            no new itimerspec, which is a third of its cost.
    """

    __slots__ = ("_every", "_late", "_number", "_packed", "_settime", "_timer")

    def __init__(self, number: int, every: float = 0.0, late: float = 0.0) -> None:
        self._number = number
        self._every = every
        self._late = late
        # For how many seconds an itimerspec was packed last, and that. In one, for two threads.
        self._packed = 0.0, _NEVER
        self._settime: Any = None
        # The kernel's, once it has been made.
        self._timer: Any = None

    @property
    def made(self) -> bool:
        """Whether it has been set before, and the kernel had one to give."""
        return self._timer is not None

    def set(self, seconds: float) -> None:
        """Have it ring in so many seconds, more than none, and not as it was set before."""
        if self._timer is None and not self.make():
            return
        packed = self._packed
        if not 0.0 <= packed[0] - seconds <= self._late:
            seconds += self._late / 2
            times = pack("4q", *_parts(self._every), *_parts(seconds))
            packed = self._packed = seconds, times
        self._settime(self._timer, 0, packed[1], None)

    def take_back(self) -> None:
        """Have it not ring."""
        if self._timer is not None:
            self._settime(self._timer, 0, _NEVER, None)

    def make(self) -> bool:
        """Get the timer from the kernel, if it has one to give."""
        if self._timer is not None:
            return True
        if sys.platform != "linux" or sys.maxsize < 2**32:
            return False
        import ctypes

        # None of its calls waits, so they keep the interpreter, as those of `system.timerfd`.
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
        self._settime, self._timer = library.timer_settime, timer
        return True


def _parts(seconds: float) -> tuple[int, int]:
    return divmod(int(seconds * 1e9), 1_000_000_000)


@cache
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
