"""Whether a thread is stuck, by the processor time that it has had.

A look at a thread from outside shows where the thread is, not whether it could go on. On an
overloaded machine, and beside threads that compute, a thread waits for its turn in the middle of
any step. It is stuck at a step only in two cases:

    it computes   The thread has had HOLD seconds of processor time at the step.
    it sleeps     The thread is in a system call, has been at the step for HOLD seconds, and has had
                  no processor time since the last look. (A thread that waits for the interpreter
                  wakes up once per switch interval, and that takes time.)

Code that sleeps often and briefly, such as a client with many short calls, looks like a thread that
waits for the interpreter. Whether it counts as stuck is the caller's choice.
"""

import threading
import time

# Seconds. Less is a long step, not a stuck thread: the JSON of a large event takes some 20 ms.
HOLD = 0.05


class ThreadProgress:
    """The progress of the thread that creates this object. Any thread may ask."""

    __slots__ = ("_at_step", "_clock", "_last", "_native_id", "_since", "_step")

    def __init__(self) -> None:
        self._native_id = threading.get_native_id()
        # macOS has no such clock.
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        self._clock: int | None = None if clock_of is None else clock_of(threading.get_ident())
        self._step: object = None
        # When the step was first seen, and the processor time until then and until the last look.
        self._since = self._at_step = self._last = 0.0

    def is_stuck(self, step: object, in_doubt: bool = False) -> bool:
        """Look at the thread.

        Args:
            step: the step that the thread is at; equal at each look while the thread does not go
                on. None if the thread does nothing.
            in_doubt: the answer for a thread that sleeps often and briefly, or waits for the
                interpreter; and on a system that tells nothing of a thread, such as macOS.
        """
        now = time.monotonic()
        had = 0.0 if self._clock is None else time.clock_gettime(self._clock)
        last, self._last = self._last, had
        if step is None or step != self._step:
            self._step, self._since, self._at_step = step, now, had
            return False
        if had - self._at_step >= HOLD:
            return True
        if now - self._since < HOLD:
            return False
        asleep = self._is_asleep()
        return in_doubt if asleep is None else asleep and (in_doubt or had == last)

    def _is_asleep(self) -> bool | None:
        """Return whether the thread neither runs nor waits for a core; None if unknown."""
        try:
            with open(f"/proc/self/task/{self._native_id}/stat", "rb") as stat:
                # After the thread's name in brackets: S for a sleep, D for one that no signal ends.
                return stat.read().rpartition(b") ")[2][:1] in (b"S", b"D")
        except OSError:
            return None
