"""The kernel's timer that ends the process, with or without the interpreter.

C code can hold the interpreter for ever: a regular expression that backtracks, a power of large
numbers, a call by ctypes.PyDLL. No thread of Python's runs then, and no signal's handler of
Python's. The kernel's timer needs neither.

Its signal goes to faulthandler, whose handler is in C: it writes all stacks to the log, and then
lets the signal do what it does by default, which ends the process. The log's reader may have
stopped, and the write of the stacks block. So the timer rings again after AGAIN seconds; the second
signal comes inside of the handler, finds it at work, and ends the process at once.

To set the timer and to take it back are two calls into the kernel, 2 to 3 us of an event's 50.
`Deadline` does without them where okibi's C code is compiled: it notes when the process is to end,
and the kernel's timer, which rings once in the length of a time-out, looks at that note. It rings
on the watchdog's thread, where a signal cuts no call short that user code waits for. A signal that
comes over 50 ms late says that the whole process was stopped, or had no core, and not that C code
holds the interpreter. It grants LEAST seconds more, once.

A child process inherits no timer. A program that is executed has the signal's default disposition.

On 64-bit Linux; on another system nothing ends such a process but its platform. The log says so
where a Linux has no timer to give.
"""

import faulthandler
import math
import signal
from collections.abc import Callable
from time import monotonic

from ..system.signal_timer import Ring
from ..telemetry.logs import STDERR, write_raw

# Beside the alarm's, and as unlikely to be anybody's; and that of the timer that looks.
SIGNAL = signal.SIGRTMIN + 8 if hasattr(signal, "SIGRTMIN") else 0
LOOKS = SIGNAL and SIGNAL + 2
# Seconds that the log has for the stacks.
AGAIN = 0.025
# Seconds by which it may be late: an event's time is known to the millisecond.
LATE = 0.002
NO_TIMER = "the kernel gives no timer: C code that holds the interpreter is not ended at a deadline"
# Seconds that the process has at least: an event that has come too late is told so.
LEAST = 0.1


class KillTimer(Ring):
    """Ends the process once it rings."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(SIGNAL, AGAIN, LATE)

    def make(self) -> bool:
        """Get the timer from the kernel, and have faulthandler take its signal."""
        if self.made:
            return True
        if not super().make():
            return False
        _take_signal()
        return True


class Deadline:
    """Ends the process at a time, unless that is moved or let go of. One for the whole process.

    One thread holds it and lets it go. Another one puts it off, which changes nothing that `hold`
    and `let_go` change: so neither thread can undo what the other has just done.

    Attributes:
        hold: end the process at this time of the monotonic clock, and at no other; without effect
            for one that is infinite, or no number.
        let_go: do not end it.
        put_off: whatever it is held to, end it at this time of the monotonic clock at the soonest.
    """

    __slots__ = ("_ends_at", "_not_before", "_timer", "hold", "let_go", "put_off")

    def __init__(self) -> None:
        self._timer = KillTimer()
        self._ends_at = math.inf
        self._not_before = -math.inf
        self.hold: Callable[[float], None] = self._hold
        self.let_go: Callable[[], None] = self._let_go
        self.put_off: Callable[[float], None] = self._put_off

    def make(self, thread: int) -> None:
        """Get the timer from the kernel.

        Args:
            thread: the native id of the thread that is signalled, which blocks neither signal.
        """
        try:
            from ..codec import encoder
        except ImportError:
            pass
        else:
            if encoder.guard(LOOKS, SIGNAL, thread):
                _take_signal()
                self.hold, self.let_go = encoder.hold, encoder.let_go
                self.put_off = encoder.put_off
                return
        if not self._timer.make() and SIGNAL:
            write_raw(NO_TIMER)

    # -- without the compiled part

    def _hold(self, at: float) -> None:
        if at - monotonic() < 1e9:
            self._ends_at = at
            self._set(at)

    def _let_go(self) -> None:
        self._ends_at = math.inf
        self._timer.take_back()

    def _put_off(self, until: float) -> None:
        self._not_before = until
        at = math.nan
        # The other thread may have held it, or let it go, before this one has set the timer.
        while at != self._ends_at:
            at = self._ends_at
            self._set(at)

    def _set(self, at: float) -> None:
        if at < math.inf:
            self._timer.set(max(max(at, self._not_before) - monotonic(), LEAST))
        else:
            self._timer.take_back()


def _take_signal() -> None:
    faulthandler.register(SIGNAL, file=STDERR, all_threads=True, chain=True)
