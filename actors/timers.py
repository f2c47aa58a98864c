"""Messages an actor sends to itself after a while.

An actor's timers are a heap in its own mailbox, and the wait for the next message has the first
one's due time as its deadline. No task waits for a timer, so none can outlive its actor, and a
clock that jumps (a frozen sandbox) makes what is due ring once, in the order it was due.
"""

import heapq
import itertools
import math

_order = itertools.count()


class Timer:
    """One message to oneself that is under way (OTP: `erlang:send_after`).

    Args:
        due: when it rings, in seconds of trio's clock.
        message: what `handle_info` or `receive` is given then.
    """

    __slots__ = ("_rank", "cancelled", "due", "message")

    def __init__(self, due: float, message: object) -> None:
        self.due = due
        self.message = message
        self.cancelled = False
        self._rank = next(_order)

    def cancel(self) -> bool:
        """Take it back. True if it had neither rung nor been cancelled before.

        A message that has rung but was not taken yet stays in the mailbox, as in OTP.
        """
        taken = not self.cancelled
        self.cancelled = True
        return taken

    def __lt__(self, other: "Timer") -> bool:
        return (self.due, self._rank) < (other.due, other._rank)


def ring(timers: list[Timer], now: float) -> list[object]:
    """Take what is due by `now` off the heap and give the messages, first due first."""
    due: list[object] = []
    while timers and (timers[0].cancelled or timers[0].due <= now):
        timer = heapq.heappop(timers)
        if not timer.cancelled:
            timer.cancelled = True
            due.append(timer.message)
    return due


def sweep(timers: list[Timer]) -> None:
    """Take what was cancelled off the heap, wherever in it it stands."""
    timers[:] = [timer for timer in timers if not timer.cancelled]
    heapq.heapify(timers)


def next_due(timers: list[Timer]) -> float:
    """When the heap has to be looked at again; infinity when it is empty."""
    return timers[0].due if timers else math.inf
