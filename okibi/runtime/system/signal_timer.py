"""The kernel's timer that signals the main thread. It needs no thread and no interpreter to fire.

A function with little memory gets a part of a core: with 128 MB a fourteenth, 1.4 ms of every 20. A
handler that computes uses all of that and holds the interpreter. A thread that must signal it would
wait for several such slices, longer than a margin. The kernel's timer follows the clock: the signal
arrives as soon as the computing thread runs.

Only on 64-bit Linux, through the C library. Elsewhere `create` returns False.
"""

import sys
import threading
from functools import cache
from struct import pack
from typing import Any

# <signal.h>: signal the thread with a given id.
_SIGEV_THREAD_ID = 4
_CLOCK_MONOTONIC = 1
# struct itimerspec: seconds and nanoseconds of the interval, then of the first expiration.
_NEVER = bytes(32)


class SignalTimer:
    """One timer. It fires once each time it is set.

    Args:
        number: the signal's number.
        every: seconds between repetitions; 0 for none.
        late: seconds that it may fire late. `set` reuses the packed itimerspec of an earlier call
            within that range, which saves a third of its cost.
    """

    __slots__ = ("_every", "_late", "_number", "_packed", "_settime", "_timer")

    def __init__(self, number: int, every: float = 0.0, late: float = 0.0) -> None:
        self._number = number
        self._every = every
        self._late = late
        # The last seconds and their itimerspec; one tuple, since two threads may call `set`.
        self._packed = 0.0, _NEVER
        self._settime: Any = None
        # The kernel's timer, once created.
        self._timer: Any = None

    @property
    def created(self) -> bool:
        """Whether the kernel has given a timer."""
        return self._timer is not None

    def set(self, seconds: float) -> None:
        """Fire in so many seconds (> 0), instead of an earlier setting."""
        if self._timer is None and not self.create():
            return
        packed = self._packed
        if not 0.0 <= packed[0] - seconds <= self._late:
            seconds += self._late / 2
            times = pack("4q", *_parts(self._every), *_parts(seconds))
            packed = self._packed = seconds, times
        self._settime(self._timer, 0, packed[1], None)

    def cancel(self) -> None:
        """Do not fire."""
        if self._timer is not None:
            self._settime(self._timer, 0, _NEVER, None)

    def create(self) -> bool:
        """Get the timer from the kernel. Return whether there is one."""
        if self._timer is not None:
            return True
        if sys.platform != "linux" or sys.maxsize < 2**32:
            return False
        import ctypes

        # PyDLL: no call blocks, so each keeps the interpreter, as in `system.timerfd`.
        library, timer = _library(), ctypes.c_void_p()
        if library is None:
            return False
        # struct sigevent, 64 bytes: a value of eight, then ints. As bytes, because a ctypes array
        # creates a class, and with it a reference cycle.
        main = threading.main_thread().native_id or 0
        event = pack("8x3i44x", self._number, _SIGEV_THREAD_ID, main)
        if library.timer_create(_CLOCK_MONOTONIC, event, ctypes.byref(timer)) < 0:
            # Too many signals are pending. A later call may succeed.
            return False
        self._settime, self._timer = library.timer_settime, timer
        return True


def _parts(seconds: float) -> tuple[int, int]:
    return divmod(int(seconds * 1e9), 1_000_000_000)


@cache
def _library() -> Any:
    """Return the library with the timers: the C library, or librt beside an old one, or None."""
    import ctypes

    for name in (None, "librt.so.1"):
        try:
            library = ctypes.PyDLL(name)
            if hasattr(library, "timer_create"):
                return library
        except OSError:
            continue
    return None
