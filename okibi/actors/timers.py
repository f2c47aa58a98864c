"""Timers: messages that an actor sends to itself after a delay.

The timers of an actor are a heap in its mailbox. The wait for the next message has the first due
time as its deadline. No task waits for a timer, so no timer outlives its actor. After a jump of the
clock (a frozen sandbox), all due timers fire once, in the order in which they were due.

A timer has three states:

    set       on the heap until it is due
    fired     off the heap; its Tick waits in the mailbox. `cancel` discards the Tick
    handled   the actor has taken the Tick. A repeating timer (Interval) is on the heap as due at
              once: the next look at the heap sets it to the next point of its schedule

At most one Tick of a timer waits, even for a slow actor. (OTP's `send_interval` fills the
mailbox.) Messages on the data lane get a turn between two Ticks, even if handling a Tick takes
longer than the interval.
"""

import heapq
import itertools
import math

import trio

_order = itertools.count()


class Notice:
    """The base class of Down, Result and Tick: messages that the data lane does not bound."""

    __slots__ = ()


class Timer:
    """A timer that was set by `send_after` or `send_every`.

    Attributes:
        due: the time at which the timer fires, in seconds of trio's clock.
        message: the message that `handle_info` or `receive` gets.
        cancelled: whether the timer was cancelled, or its actor has taken its last message.
    """

    __slots__ = ("_rank", "cancelled", "due", "message")

    def __init__(self, due: float, message: object) -> None:
        self.due = due
        self.message = message
        self.cancelled = False
        self._rank = next(_order)

    @property
    def time_left(self) -> float | None:
        """Seconds until it is due; None if it was cancelled or is over (OTP: `read_timer`).

        0.0 while its message waits in the mailbox. OTP's `cancel_timer` returns the time left;
        `cancel` returns a bool. To get both:

            left = timer.time_left
            timer.cancel()
        """
        if self.cancelled:
            return None
        now = trio.current_time()
        return max(0.0, self._next_due(now) - now)

    def _next_due(self, now: float) -> float:
        return self.due

    def cancel(self) -> bool:
        """Cancel the timer. A message that waits in the mailbox is discarded (OTP: it stays there).

        Returns:
            True if a message was still to come: it comes no more.
        """
        active = not self.cancelled
        self.cancelled = True
        return active

    def __lt__(self, other: "Timer") -> bool:
        return (self.due, self._rank) < (other.due, other._rank)


class Interval(Timer):
    """A timer that fires repeatedly (OTP: `timer:send_interval`).

    The schedule is fixed when the timer is set, so a late tick delays no other.

    Args:
        now: the start of the schedule, in seconds of trio's clock.
        seconds: the interval; above 0.
        message: the message that `handle_info` or `receive` gets at each tick.
    """

    __slots__ = ("_count", "_since", "handled", "seconds")

    def __init__(self, now: float, seconds: float, message: object) -> None:
        super().__init__(now + seconds, message)
        self.seconds = seconds
        self.handled = False
        self._since = now
        self._count = 1.0

    def set_again(self, now: float) -> None:
        """Set it to the next tick of its schedule; skip the ticks that `now` has passed."""
        self._count, self.due = self._next_tick(now)
        self.handled = False

    def _next_due(self, now: float) -> float:
        return self._next_tick(now)[1] if self.handled else self.due

    def _next_tick(self, now: float) -> tuple[float, float]:
        missed = (now - self._since) // self.seconds
        # The division may round down; never return the same tick twice.
        count = max(self._count, missed) + 1
        due = self._since + count * self.seconds
        # An interval below the clock's resolution is due at the next representable moment.
        return count, due if now < due < math.inf else math.nextafter(now, math.inf)


class Tick(Notice):
    """The entry in the mailbox for a timer that has fired."""

    __slots__ = ("timer",)

    def __init__(self, timer: Timer) -> None:
        self.timer = timer


def pop_due(timers: list[Timer], now: float) -> list[Tick]:
    """Remove the timers that are due from the heap. Return their Ticks, first due first."""
    due: list[Tick] = []
    again: list[Interval] = []
    while timers and (timers[0].cancelled or timers[0].due <= now):
        timer = heapq.heappop(timers)
        if timer.cancelled:
            continue
        if isinstance(timer, Interval) and timer.handled:
            timer.set_again(now)
            again.append(timer)
        else:
            due.append(Tick(timer))
    for timer in again:
        heapq.heappush(timers, timer)
    return due


def accept_tick(tick: Tick, timers: list[Timer]) -> bool:
    """End the timer of a Tick, or put an Interval back on the heap. False if it was cancelled."""
    timer = tick.timer
    if timer.cancelled:
        return False
    if isinstance(timer, Interval):
        timer.handled = True
        timer.due = -math.inf
        heapq.heappush(timers, timer)
    else:
        timer.cancelled = True
    return True


def drop_cancelled(timers: list[Timer]) -> None:
    """Remove all cancelled timers from the heap."""
    timers[:] = [timer for timer in timers if not timer.cancelled]
    heapq.heapify(timers)
