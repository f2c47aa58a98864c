"""Busy waiting: the next event looked for during a moment, before its poller's task is parked.

To park a task and to wake it takes as long as an answer: the kernel puts a core to sleep and wakes
it, whose caches are another's by then, and trio's loop makes two passes. Where an event follows
upon an answer within microseconds, whoever looks for it meanwhile takes no more of the processor
than that, and has it at once. (The BEAM's schedulers wait so before they sleep, `+sbwt`; so do
Go's, and locks.) Where none follows it is for nothing. So it is done only as long as it pays:

    the last event came        what follows
    within the limit           the next one is looked for once as many as are wanted have come so in
                               a row: one, to begin with, and again when one has been found
    later, not looked for      the next one is not looked for
    later, looked for          nor is it, and twice as many in a row are wanted from now on

A function that is asked now and then, or frozen between its events, looks for none. What looking
would keep from others they have before: the loop makes a pass, and there is no look while a task is
to have its step. Nor where there is more than one lane, for it would be kept from the others'
events.
"""

from collections.abc import Callable
from math import inf
from typing import Final

import trio

from actors.loop import others_wait

# As many in a row are wanted at most.
MOST: Final = 1024


class BusyWait:
    """Whether the next event is looked for, by what the last ones did; and the look.

    Args:
        limit: seconds that an event is looked for, from when it can come; 0 for not at all.
        clock: what tells the time, in seconds.
    """

    __slots__ = ("_asked", "_clock", "_in_a_row", "_wanted", "limit")

    def __init__(self, limit: float, clock: Callable[[], float] = trio.current_time) -> None:
        self.limit = limit
        self._clock = clock
        # Since when the event that is awaited can come.
        self._asked: float | None = None
        self._in_a_row = 0
        self._wanted = 1

    def begins(self) -> bool:
        """From now on the next event can come; said before, nothing. Whether it is looked for."""
        if self._asked is None and self.limit:
            self._asked = self._clock()
        return self._in_a_row >= self._wanted

    def sees(self, pending: Callable[[], bool]) -> bool:
        """Look until something has come; False if it is to be waited for.

        Args:
            pending: whether it has.
        """
        if self._asked is None or others_wait():
            return False
        now, until = -inf, self._asked + self.limit
        while not pending():
            before, now = now, self._clock()
            # A clock that stands still, as a test's does, would never say that it is enough.
            if now >= until or now == before:
                break
        else:
            return True
        self._in_a_row = 0
        self._wanted = min(2 * self._wanted, MOST)
        return False

    def came(self) -> None:
        """Take note of an event that has come."""
        asked, self._asked = self._asked, None
        # None: its handler took its time, and the last answer went out unseen.
        if asked is None:
            return
        if self._clock() - asked >= self.limit:
            self._in_a_row = 0
            return
        if self._in_a_row >= self._wanted:
            self._wanted = 1
        self._in_a_row += 1
