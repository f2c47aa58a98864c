"""Messages an actor sends to itself after a while.

An actor's timers are a heap in its own mailbox, and the wait for the next message has the first
one's due time as its deadline. No task waits for a timer, so none can outlive its actor, and a
clock that jumps (a frozen sandbox) makes what is due ring once, in the order it was due.

A timer that repeats goes through three states:

    set       on the heap, until its next tick is due
    rung      its Tick waits on the control lane; the timer is off the heap
    handled   the tick was taken; on the heap as due at once, so that the reader's next look
              sets it to the first point of its schedule that lies ahead

So at most one tick of it waits, however slow its actor is: OTP's `send_interval` would fill the
mailbox. And what waits on the data lane gets its turn between two ticks, even of an actor that
takes longer for a tick than the interval lasts.
"""

import heapq
import itertools
import math

import trio

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

    @property
    def time_left(self) -> float | None:
        """Seconds until it rings (OTP: `read_timer`); None once it has rung or was cancelled.

        0.0 for one that is due and rings when its actor turns to its mailbox. OTP's `cancel_timer`
        returns the time left; `cancel` returns a bool, as elsewhere in Python. Read it before:

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
        """Take it back. True if it had neither rung nor been cancelled before.

        A message that has rung but was not taken yet stays in the mailbox, as in OTP. A timer rings
        when its actor turns to its mailbox, or is told of an end: one that has come due before that
        is taken back (OTP: too late).
        """
        taken = not self.cancelled
        self.cancelled = True
        return taken

    def __lt__(self, other: "Timer") -> bool:
        return (self.due, self._rank) < (other.due, other._rank)


class Interval(Timer):
    """A message to oneself that comes again and again (OTP: `timer:send_interval`).

    Every tick stands on the schedule that began when it was set, so none is late because
    another was.

    Args:
        now: when the schedule begins, in seconds of trio's clock.
        seconds: from one tick to the next; more than 0.
        message: as for a Timer.
    """

    __slots__ = ("_count", "_since", "handled", "seconds")

    def __init__(self, now: float, seconds: float, message: object) -> None:
        super().__init__(now + seconds, message)
        self.seconds = seconds
        self.handled = False
        self._since = now
        self._count = 1.0

    def cancel(self) -> bool:
        """Stop it. True if it had not been cancelled before.

        No tick is seen after it, not even one that waits in the mailbox already.
        """
        return super().cancel()

    def set_again(self, now: float) -> None:
        """Set it to the next tick of its schedule; those missed until `now` are not made up."""
        self._count, self.due = self._next_tick(now)
        self.handled = False

    def _next_due(self, now: float) -> float:
        return self._next_tick(now)[1] if self.handled else self.due

    def _next_tick(self, now: float) -> tuple[float, float]:
        missed = (now - self._since) // self.seconds
        # Never the same tick twice, whatever the division has rounded.
        count = max(self._count, missed) + 1
        due = self._since + count * self.seconds
        # An interval that is too short for the clock to tell is due at the very next moment.
        return count, due if now < due < math.inf else math.nextafter(now, math.inf)


class Tick:
    """What stands on the control lane for an interval that has rung."""

    __slots__ = ("timer",)

    def __init__(self, timer: Interval) -> None:
        self.timer = timer


def ring(timers: list[Timer], now: float) -> list[object]:
    """Take what is due by `now` off the heap and give what is to be read, first due first."""
    due: list[object] = []
    again: list[Interval] = []
    while timers and (timers[0].cancelled or timers[0].due <= now):
        timer = heapq.heappop(timers)
        if timer.cancelled:
            continue
        if not isinstance(timer, Interval):
            timer.cancelled = True
            due.append(timer.message)
        elif timer.handled:
            timer.set_again(now)
            again.append(timer)
        else:
            due.append(Tick(timer))
    for timer in again:
        heapq.heappush(timers, timer)
    return due


def take(tick: Tick, timers: list[Timer]) -> bool:
    """Put the timer of a tick that is read back on the heap; False if it was cancelled."""
    timer = tick.timer
    if timer.cancelled:
        return False
    timer.handled = True
    timer.due = -math.inf
    heapq.heappush(timers, timer)
    return True


def sweep(timers: list[Timer]) -> None:
    """Take what was cancelled off the heap, wherever in it it stands."""
    timers[:] = [timer for timer in timers if not timer.cancelled]
    heapq.heapify(timers)
