"""A clock for trio with a finer grain, so that a sleep ends on time.

epoll waits in whole milliseconds, and Python rounds up, so a wait ends 0.5 ms late on average. With
many events in one process this costs more: tasks that wake in the same millisecond run one after
the other, answer together and ask for new events together. Such a group grows and never separates.

Linux's timerfd is precise to a microsecond, and is a descriptor that trio's epoll can watch. Ending
the wait is enough: the loop checks its deadlines after each wait (`okibi.actors.trio_internals`
lists the releases of trio). With other releases, and on other systems, the grain is trio's.

A process that slept long also wakes late: the core sleeps too, or the hypervisor has lent it to
another machine. Waking takes 0.1 to 0.2 ms then, and almost nothing after a short sleep. Therefore
an early timer fires first: the loop makes one pass and sleeps again. The second timer fires just
before the deadline, and the loop then makes passes without waiting until the deadline. The code
that runs next is in the core's caches, and events that arrive in this moment are served at once. A
task that sleeps only for such short times keeps its core busy.

`current_time` is a C function, not a Python one: each pass of the loop calls it twice.
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

# Seconds. For longer waits a millisecond is at most 1 %. Therefore the deadlines of events, which
# are the loop's next deadline while no task sleeps, cost no system call unless the time-out is
# short.
NEAR = 0.1
# Seconds before a deadline in which the loop does not sleep.
AWAKE = 7e-5
# Seconds before a deadline at which the early timer wakes the core.
EARLY = 3e-4
# Zero would disarm the timer.
NEAREST = 1e-9


class PreciseClock(Clock):
    """A clock for `trio.run`. Precise while `run_timer` runs."""

    __slots__ = ("_set", "_set_early", "_timer", "_timer_at")

    if TYPE_CHECKING:

        def current_time(self) -> float: ...

    else:
        current_time = staticmethod(time.perf_counter)

    def __init__(self) -> None:
        self._timer: int | None = None
        self._set_early: Callable[[float], object] | None = None
        self._timer_at = 0.0

    def start_clock(self) -> None:
        pass

    def deadline_to_sleep_time(self, deadline: float) -> float:
        left = deadline - time.perf_counter()
        if left < NEAR and self._timer is not None:
            if left < AWAKE + NEAREST:
                return min(left, 0.0)
            if deadline != self._timer_at:
                self._timer_at = deadline
                # The loop must not get an exception.
                with suppress(OSError):
                    self._set(self._timer, left - AWAKE)
                    # A shorter sleep needs no early wake-up.
                    if left > EARLY + AWAKE and self._set_early is not None:
                        self._set_early(left - EARLY)
        return left

    async def run_timer(self) -> None:
        """Wake the loop at each near deadline until cancelled."""
        # No descriptor is left, or the system has no timerfd: the grain stays trio's.
        with suppress(OSError, AttributeError):
            create, self._set = timerfd()
            await self._run(create(), create)

    def after_fork_in_child(self) -> None:
        """Do not set the parent's timer."""
        self._timer = None

    async def _run(self, timer: int, create: Callable[[], int]) -> None:
        timers = [timer]
        try:
            if trio_internals.wake_loop_on(timer):
                self._timer = timer
                # No descriptor is left: long sleeps end late.
                with suppress(OSError):
                    timers.append(create())
                    if trio_internals.wake_loop_on(timers[-1]):
                        self._set_early = partial(self._set, timers[-1])
            # Never read: setting a timer again clears its expiration.
            await trio.sleep_forever()
        finally:
            self._timer = self._set_early = None
            for each in timers:
                # First: if a forked child holds a copy, closing would not remove it from epoll.
                notify_closing(each)
                os.close(each)
