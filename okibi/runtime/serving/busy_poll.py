"""Busy polling: after a response, check for the next event for a moment before the poller parks.

Parking and waking a task costs as much CPU time as a whole event: the kernel puts a core to sleep
and wakes it with cold caches, and trio's loop makes two passes. When the next event follows within
microseconds, polling is cheaper and faster. (The BEAM's schedulers do the same, `+sbwt`; Go's
scheduler and locks, too.) When no event follows, polling is waste. `OKIBI_BUSY_WAIT_US` sets the
limit, and the rule adapts:

    the last event arrived      consequence
    within the limit            poll again after the required number of such events in a row; the
                                number is 1 at first
    later, without polling      do not poll
    later, after a vain poll    do not poll, and require PRICE more in a row; each event found by
                                polling reduces the number by 1

A function with rare events never polls. If a handler waits, the poller is parked when the response
goes out; it is woken to poll if that pays. The loop makes a pass before each poll, and no task that
is ready has to wait. With several lanes no poller polls, because the other lanes' events would
wait.
"""

from collections.abc import Callable
from math import inf
from typing import Final

import trio

from ...actors.trio_internals import tasks_are_runnable

# A vain poll costs the limit; a found event saves one park and wake. The ratio of the two.
PRICE: Final = 8
# Upper bound of the number of quick events in a row that are required.
MAX_REQUIRED: Final = 1024


class BusyPoll:
    """Decides whether to poll for the next event, and polls.

    Args:
        limit: seconds to poll, counted from when the event can arrive; 0 turns polling off.
        clock: the current time in seconds; None for the clock of the trio run.
    """

    __slots__ = ("_clock", "_found", "_quick_in_a_row", "_required", "_since", "limit")

    def __init__(self, limit: float, clock: Callable[[], float] | None = None) -> None:
        self.limit = limit
        self._clock = clock or self._find_clock
        # When the awaited event could arrive first; None if that is not known.
        self._since: float | None = None
        # Whether the last poll found something.
        self._found = False
        # Events in a row that arrived within the limit.
        self._quick_in_a_row = 0
        self._required = 1

    def _find_clock(self) -> float:
        """Read trio's clock, and use it directly from then on: that saves two calls of trio's."""
        self._clock = trio.lowlevel.current_clock().current_time
        return self._clock()

    def should_poll(self) -> bool:
        """Return whether to poll. The first call after an event also starts the clock."""
        if self._since is None and self.limit:
            self._since = self._clock()
        return self._quick_in_a_row >= self._required and not tasks_are_runnable()

    def poll(self, pending: Callable[[], bool]) -> bool:
        """Poll until something arrives or the limit has passed.

        Args:
            pending: whether something has arrived.

        Returns:
            Whether something has arrived. If not, the caller parks.
        """
        if self._since is None or tasks_are_runnable():
            return False
        now, until = -inf, self._since + self.limit
        while not pending():
            before, now = now, self._clock()
            # A test's clock may stand still, and would never reach the limit.
            if now >= until or now == before:
                break
        else:
            self._found = True
            return True
        self._found = False
        self._quick_in_a_row = 0
        self._required = min(self._required + PRICE, MAX_REQUIRED)
        return False

    def record_event(self) -> None:
        """Record an event that has arrived."""
        if self._found:
            self._found = False
            self._required = max(1, self._required - 1)
        since, self._since = self._since, None
        if since is None:
            # The limit is 0, or the server sent the event before it had the whole GET.
            return
        quick = self._clock() - since < self.limit
        self._quick_in_a_row = self._quick_in_a_row + 1 if quick else 0
