"""The run's clock: trio's own with a finer grain, so that a `sleep` ends when it is over.

epoll counts in whole milliseconds, and Python rounds up, lest it spins: a wait ends half a
millisecond late in the mean. Where one process serves many events that costs more than the half.
What ends in the same millisecond goes on together, each behind the work of all the others, is
answered together and asked for again together: such a bunch grows and never parts.

Linux's timerfd rings to the microsecond, and is a descriptor, of which trio's epoll is told once:
that its wait ends is all that is needed, for the loop looks at its deadlines then
(`okibi.actors.trio_internals` says with which releases). With others, and on another system, the
grain is trio's.

A process that sleeps is late, too, and the later the longer it has slept: a core that has nothing
else to do sleeps with it, and a virtual one has been given to somebody else. Until it runs again
takes 0.1 to 0.2 ms there, and hardly anything after a short sleep. So an early timer rings, at
which the loop makes one pass and sleeps again; and then the timer itself, a moment before the
deadline, from where on the loop makes its passes without a wait, as if there were something to do.
What the handler's end then runs through is at hand in the core's caches, and whatever else comes in
that moment is served at once. A task that never sleeps for longer than that keeps its core busy.

It is read without a frame of Python's between: a pass of the loop does so twice.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import trio
from trio.abc import Clock
from trio.lowlevel import notify_closing

from ...actors import trio_internals
from .timerfd import timerfd

# Of a longer wait a millisecond is a hundredth. So the deadlines of events, which are each the
# next one's while nobody sleeps, take no call into the kernel, unless a function has so little
# time.
NEAR = 0.1
# The moment before a deadline in which the loop does not sleep.
AWAKE = 7e-5
# Before a deadline, too: then a core that sleeps is woken, that will sleep but shortly.
EARLY = 3e-4
# None at all would disarm the timer.
NEAREST = 1e-9


class FineClock(Clock):
    """A clock for `trio.run`; its grain is fine while `ring` runs."""

    __slots__ = ("_rings_at", "_set", "_set_early", "_timer")

    if TYPE_CHECKING:

        def current_time(self) -> float: ...

    else:
        current_time = staticmethod(time.perf_counter)

    def __init__(self) -> None:
        self._timer: int | None = None
        self._set_early: Callable[[float], None] | None = None
        self._rings_at = 0.0

    def start_clock(self) -> None:
        pass

    def deadline_to_sleep_time(self, deadline: float) -> float:
        left = deadline - time.perf_counter()
        if left < NEAR and self._timer is not None:
            if left < AWAKE + NEAREST:
                return min(left, 0.0)
            if deadline != self._rings_at:
                self._rings_at = deadline
                # Nothing may be raised in the loop's own work.
                with suppress(OSError):
                    self._set(self._timer, left - AWAKE)
                    # Less is no long sleep.
                    if left > EARLY + AWAKE and self._set_early is not None:
                        self._set_early(left - EARLY)
        return left

    async def ring(self) -> None:
        """Wake the loop at each near deadline, until this is cancelled."""
        # No descriptor is left, or there is no timerfd here: the grain is trio's.
        with suppress(OSError, AttributeError):
            create, self._set = timerfd()
            await self._ring(create(), create)

    def forked(self) -> None:
        """In a child of this process: the timer is its parent's."""
        self._timer = None

    async def _ring(self, timer: int, create: Callable[[], int]) -> None:
        timers = [timer]
        try:
            if trio_internals.wake_loop_on(timer):
                self._timer = timer
                # No descriptor is left for it: whoever has slept long is late.
                with suppress(OSError):
                    timers.append(create())
                    if trio_internals.wake_loop_on(timers[-1]):
                        self._set_early = partial(self._set, timers[-1])
            # They are never read, for to set one anew takes back that it has rung.
            await trio.sleep_forever()
        finally:
            self._timer = self._set_early = None
            for each in timers:
                # It would ring on if a child that a handler has forked has it, too.
                notify_closing(each)
                os.close(each)
