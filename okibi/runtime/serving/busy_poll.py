"""Busy waiting: the next event looked for during a moment, before its poller's task is parked.

To park a task and to wake it takes as long as an answer: the kernel puts a core to sleep and wakes
it, whose caches are another's by then, and trio's loop makes two passes. Where an event follows
upon an answer within microseconds, whoever looks for it meanwhile takes no more of the processor
than that, and has it at once. (The BEAM's schedulers wait so before they sleep, `+sbwt`; so do
Go's, and locks.) Where none follows it is for nothing. So it is done only as long as it pays:

    the last event came        what follows
    within the limit           the next one is looked for once as many as are wanted have come so in
                               a row: one, to begin with
    later, not looked for      the next one is not looked for
    later, looked for          nor is it, and PRICE more in a row are wanted from now on; one less
                               for each that is found

A function that is asked now and then looks for nothing. Where a handler waits, its poller is parked
while the answer goes out, and is woken to look if that pays. The loop makes a pass before each
look, and there is none while a task is to have its step; one that is woken in that very pass may
have it after the look. With more than one lane nobody looks, for it would be kept from the others'
events.
"""

from collections.abc import Callable
from math import inf
from typing import Final

import trio

from ...actors.trio_internals import tasks_are_runnable

# How many that are found make good for one that is looked for in vain: the limit, by what it takes
# to be parked and woken.
PRICE: Final = 8
# As many in a row are wanted at most.
MOST: Final = 1024


class BusyPoll:
    """Whether the next event is looked for, by what the last ones did; and the look.

    Args:
        limit: seconds that an event is looked for, from when it can come; 0 for not at all.
        clock: what tells the time, in seconds.
    """

    __slots__ = ("_asked", "_clock", "_found", "_in_a_row", "_wanted", "limit")

    def __init__(self, limit: float, clock: Callable[[], float] = trio.current_time) -> None:
        self.limit = limit
        self._clock = clock
        # Since when the event that is awaited can come.
        self._asked: float | None = None
        # What was seen of it last was found by looking.
        self._found = False
        self._in_a_row = 0
        self._wanted = 1

    def begins(self) -> bool:
        """From now on the next event can come; said before, nothing. Whether it is looked for."""
        if self._asked is None and self.limit:
            self._asked = self._clock()
        return self._in_a_row >= self._wanted and not tasks_are_runnable()

    def sees(self, pending: Callable[[], bool]) -> bool:
        """Look until something has come; False if it is to be waited for.

        Args:
            pending: whether it has.
        """
        if self._asked is None or tasks_are_runnable():
            return False
        now, until = -inf, self._asked + self.limit
        while not pending():
            before, now = now, self._clock()
            # A clock that stands still, as a test's does, would never say that it is enough.
            if now >= until or now == before:
                break
        else:
            self._found = True
            return True
        self._found = False
        self._in_a_row = 0
        self._wanted = min(self._wanted + PRICE, MOST)
        return False

    def came(self) -> None:
        """Take note of an event that has come."""
        if self._found:
            self._found = False
            self._wanted = max(1, self._wanted - 1)
        asked, self._asked = self._asked, None
        if asked is None:
            # The limit is 0; or a server has sent it before all of its GET was out.
            return
        self._in_a_row = self._in_a_row + 1 if self._clock() - asked < self.limit else 0
