"""The kernel's timer that ends the process, with or without the interpreter.

C code can hold the interpreter for ever: a regular expression that backtracks, a power of large
numbers, a call by ctypes.PyDLL. No thread of Python's runs then, and no signal's handler of
Python's. The kernel's timer needs neither.

Its signal goes to faulthandler, whose handler is in C: it writes all stacks to the log, and then
lets the signal do what it does by default, which ends the process. The log's reader may have
stopped, and the write of the stacks block. So the timer rings again after AGAIN seconds; the second
signal comes inside of the handler, finds it at work, and ends the process at once.

A child process inherits no timer. A program that is executed has the signal's default disposition.

On 64-bit Linux; on another system nothing ends such a process but its platform.
"""

import faulthandler
import signal

from .logs import STDERR
from .ring import Ring

# Beside the alarm's, and as unlikely to be anybody's: `signal: signal 42` in the platform's log.
SIGNAL = signal.SIGRTMIN + 8 if hasattr(signal, "SIGRTMIN") else 0
# Seconds that the log has for the stacks.
AGAIN = 0.025
# Seconds by which it may be late: an event's time is known to the millisecond.
LATE = 0.002


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
        faulthandler.register(SIGNAL, file=STDERR, all_threads=True, chain=True)
        return True
