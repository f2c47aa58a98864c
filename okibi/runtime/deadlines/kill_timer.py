"""The kernel's timer that ends the process without the help of the interpreter.

C code can hold the interpreter for ever: a regular expression that backtracks, a power of large
integers, a call by ctypes.PyDLL. No Python thread and no Python signal handler runs then. The
kernel's timer needs neither.

The timer's signal goes to faulthandler, whose C handler writes all stacks to the log and then lets
the signal's default action end the process. If the log has no reader, the write blocks. Therefore
the timer fires again after AGAIN seconds: the second signal interrupts the handler and ends the
process at once.

Setting and cancelling a timer are two system calls, 2 to 3 us of an event's 50. With the compiled
module, `ProcessDeadline` needs none: it stores when the process must end, and a timer that fires
once per time-out compares. That timer signals the watchdog's thread, where a signal interrupts no
system call of user code. A signal that arrives over 50 ms late means that the whole process was
stopped or had no core, not that C code holds the interpreter: the process gets LEAST seconds more,
once.

A forked child inherits no timer. An executed program has the signal's default action.

Only 64-bit Linux has these timers. Elsewhere the platform's kill ends such a process. A Linux that
gives no timer is logged.
"""

import faulthandler
import math
import signal
from collections.abc import Callable
from time import monotonic

from ..logs.lambda_log import STDERR, write_raw
from ..system.signal_timer import SignalTimer

# Next to the interrupt's signal, and as unlikely to be used; LOOKS is for the comparing timer.
SIGNAL = signal.SIGRTMIN + 8 if hasattr(signal, "SIGRTMIN") else 0
LOOKS = SIGNAL and SIGNAL + 2
# Seconds for writing the stacks.
AGAIN = 0.025
NO_TIMER = (
    "the kernel gives no timer: C code that holds the interpreter will not be ended at a deadline"
)
# Least seconds until the process ends: enough to answer an event that arrived too late.
LEAST = 0.1


class KillTimer(SignalTimer):
    """Ends the process when it fires."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(SIGNAL, AGAIN)

    def create(self) -> bool:
        """Get the timer from the kernel and let faulthandler handle its signal."""
        if self.created:
            return True
        if not super().create():
            return False
        _register_faulthandler()
        return True


class ProcessDeadline:
    """The time at which the kernel ends the process. One per process.

    The watchdog's thread postpones the time, which changes a value of its own: it cannot undo what
    the loop has just set or cleared.

    Attributes:
        set: end the process at this time of the monotonic clock, instead of an earlier setting;
            no effect for infinity and NaN.
        clear: do not end the process.
        postpone: whatever is set, do not end the process before this time of the monotonic clock.
    """

    __slots__ = ("_ends_at", "_not_before", "_timer", "clear", "postpone", "set")

    def __init__(self) -> None:
        self._timer = KillTimer()
        self._ends_at = math.inf
        self._not_before = -math.inf
        self.set: Callable[[float], None] = self._set
        self.clear: Callable[[], None] = self._clear
        self.postpone: Callable[[float], None] = self._postpone

    def create(self, thread: int) -> None:
        """Get the timer from the kernel.

        Args:
            thread: native id of the thread to signal; it must block neither signal.
        """
        try:
            from ..system import native
        except ImportError:
            pass
        else:
            if native.create_kill_timer(LOOKS, SIGNAL, thread):
                _register_faulthandler()
                self.set, self.clear = native.set_kill_timer, native.clear_kill_timer
                self.postpone = native.postpone_kill_timer
                return
        if not self._timer.create() and SIGNAL:
            write_raw(NO_TIMER)

    # -- without the compiled module

    def _set(self, at: float) -> None:
        if at - monotonic() < 1e9:
            self._ends_at = at
            self._set_timer(at)

    def _clear(self) -> None:
        self._ends_at = math.inf
        self._timer.cancel()

    def _postpone(self, until: float) -> None:
        self._not_before = until
        at = math.nan
        # Repeat if the other thread set or cleared the time meanwhile.
        while at != self._ends_at:
            at = self._ends_at
            self._set_timer(at)

    def _set_timer(self, at: float) -> None:
        if at < math.inf:
            self._timer.set(max(max(at, self._not_before) - monotonic(), LEAST))
        else:
            self._timer.cancel()


def _register_faulthandler() -> None:
    faulthandler.register(SIGNAL, file=STDERR, all_threads=True, chain=True)
