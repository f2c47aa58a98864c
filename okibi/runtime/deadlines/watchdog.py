"""The watchdog: holds the deadline when the loop cannot.

A handler's own cancel scope ends it a margin before the platform would. Behind that stand, each
at its share of the margin before the deadline, as long as the delivery is unsettled:

    1      the alarm: a plain `def` on the main thread is signalled, again and again unless what
           that has set off in it is at work, a `finally` or the end of a `with`
    1/2    the dispatcher is asked to settle what is late and abandon its worker (a shielded
           handler, no idle worker, a worker still in `init`)
    1/4    the loop has not answered (an `async def` holds it, or a `def` that nothing ends): claim
           the delivery, post the error on a socket of its own (not of an answer that streams: its
           cut is the error), log all stacks, end the process
    1/8    C code holds the interpreter: the kernel's timer ends the process
           (`deadlines.kill_timer`)

The first three are a thread's, which wakes a few times in the length of a time-out and looks at the
ledgers; only an event that is due before it would look wakes it. Who computes on a part of a core
leaves this thread none of it for longer than a margin. So the kernel's own timer signals the main
thread besides, once, when the alarm is to (`system.signal_timer`).

The last one needs no thread, and is set on the loop's own: when an event comes, before its handler
begins. It is taken back before the last event in flight is answered, since a sandbox may be frozen
as soon as the answer is out, and a timer that is overdue at the thaw goes off at once. Many events
share the timer: it goes off BEHIND the deadline of the earliest event in flight or up to SLACK
later, and is set anew only when no event in flight is due so long before it. A process that was
stopped in the middle of an event, and past its deadline, has a tenth of a second to answer
(`deadlines.kill_timer`).

Where many events may be in flight, threads that compute take the interpreter in turn, and none is
to be ended for that. So the last two wait longer: the loop has STARVED seconds, unless user code
holds it. The kernel's timer is put off with each turn that this thread has past a limit. If this
thread has no turn for BEHIND seconds, the timer goes off. The loop alone decides what the timer
guards; this thread only says when the process may end at the soonest, so they need no lock. (A lock
would stay locked for ever if a signal's handler of the user's raised on the main thread in there.)

Nothing that goes wrong in a look is the last of them: not even that no memory is left.
"""

import faulthandler
import math
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, sleep

import trio

from ..in_flight.delivery import Delivery, DeliveryState
from ..in_flight.emergency_report import report_invocation_error
from ..in_flight.handover import wake
from ..in_flight.ledger import DISPATCHER, Ledger
from ..system.unlisted_thread import start_unlisted_thread
from ..telemetry.logs import STDERR, write_raw
from .interrupt import Alarm
from .kill_timer import LOOKS, SIGNAL, Deadline
from .where_it_stood import late_held, loop_is_held

SIGNAL_EVERY = 0.01
# Seconds after which who waits for the interpreter asks for it, while an event is past its limit.
# Each thread that waits wakes up as often to ask: a few that compute would come to nothing else,
# nor would the loop, which has the answers to make.
OFTEN, OFTEN_TO_MANY = 1e-5, 1e-3
# Seconds that the loop has at least, before it is said not to answer.
PATIENCE = 0.02
# Seconds that the loop has where many events may be in flight: handlers that compute take the
# interpreter in turn, 5 ms each, and the platform ends no sandbox over one event.
STARVED = 2.0
# Seconds between the deadline of one of many events and the kernel's timer at least, up to SLACK
# later: as patient as can be, where the process is to have ended by the deadline plus 0.2 s. With
# more than 30 events it is a TURN for each: all their threads may compute, and have theirs first.
BEHIND, SLACK, TURN = 0.15, 0.02, 0.005
# Seconds that the thread has for its report, once it is to end the process.
REPORT = 0.15


class Bell:
    """Wakes one thread: an event that a signal's handler may set, also in the middle of a `set`."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Wake the thread, now or when it is to wait."""
        # It may be set already.
        with suppress(RuntimeError):
            self._lock.release()

    def is_set(self) -> bool:
        """Whether the thread has still to hear of it."""
        return not self._lock.locked()

    def clear(self) -> None:
        """Forget that it was set."""
        self._lock.acquire(blocking=False)

    def wait(self, seconds: float) -> None:
        """Wait until it is set, for so many seconds at most, and clear it."""
        self._lock.acquire(timeout=min(max(seconds, 0.0), threading.TIMEOUT_MAX))


class Watchdog:
    """Holds the deadline of one event at a time.

    Args:
        address: of the Runtime API.
    """

    _often = OFTEN

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._ledger: Ledger | None = None
        self._alarm: Alarm | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._offset = 0.0
        self._length = math.inf
        self._looks_at = math.inf
        # The limit of the event that woke the thread last, by the monotonic clock.
        self._woken_for = -math.inf
        self._closed = False
        # What the thread does once it watches no more.
        self._errand: Callable[[], None] = lambda: None
        # The kernel's timer.
        self._deadline = Deadline()
        # The thread's native id, once it runs; the main thread's where none was started.
        self._native_id = threading.get_native_id()
        self._runs = Bell()
        self._runs.set()
        # Whether the alarm has been told to ring.
        self._rings = False
        self._look = Bell()

    def start(self) -> None:
        """Begin to watch."""
        self._runs.clear()
        start_unlisted_thread(self._apart)

    def close(self) -> None:
        """End it; nothing is watched any more."""
        self._closed = True
        self._look.set()
        self.settled()

    def turn_to(self, errand: Callable[[], None]) -> None:
        """Have the thread do something else from now on: the process is to end, and to start
        another thread may take memory that there is not.
        """
        self._errand = errand
        self._closed = True
        self._look.set()

    # -- called on the loop

    def attach(self, ledger: Ledger, alarm: Alarm) -> None:
        """Take what it is to watch, before the tree starts."""
        self._token = trio.lowlevel.current_trio_token()
        self._offset = _offset()
        self._ledger, self._alarm = ledger, alarm
        # It does by now: much has been done since it was started.
        self._runs.wait(math.inf)
        self._deadline.make(self._native_id)

    def arm(self, delivery: Delivery) -> None:
        """An event has come."""
        due, limit = delivery.due, delivery.limit
        self._deadline.hold(due - (due - limit) / 8 + self._offset)
        if limit + self._offset < self._looks_at:
            self._woken_for = limit + self._offset
            self._look.set()

    def settled(self) -> None:
        """A delivery has been settled: take the kernel's timer back before its answer goes out."""
        self._deadline.let_go()
        if self._rings:
            self._ring_not()

    # -- called on the loop, and in the thread

    def _ring_not(self) -> None:
        self._rings = False
        if self._alarm is not None:
            self._alarm.ring_not()

    def _unsettled(self) -> list[Delivery]:
        """What is in flight and has a deadline."""
        lanes = self._ledger.lanes if self._ledger is not None else []
        waiting = [lane.delivery for lane in lanes]
        return [d for d in waiting if d is not None and d.unsettled and math.isfinite(d.due)]

    # -- the thread

    def _apart(self) -> None:
        # A signal that the main thread blocks, to wait for it, must not end the process here. The
        # mask of the thread that starts this one is not kept: it may block both of okibi's.
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals() - {SIGNAL, LOOKS})
        self._native_id = threading.get_native_id()
        self._runs.set()
        self._live()
        self._errand()

    def _live(self) -> None:
        while not self._closed:
            try:
                self._watch()
            except Exception as error:
                # Without memory there may be none for the words either.
                with suppress(Exception):
                    write_raw(f"the watchdog goes on after {error!r}")
                sleep(PATIENCE)

    def _watch(self) -> None:
        while not self._closed:
            self._look.clear()
            # What comes while it looks is due before its next look, whenever that is.
            self._looks_at = math.inf
            delivery = self._earliest()
            if delivery is None:
                # What woke it may be settled by now, as the next ones will be: how long they may
                # take is all it has to know of them.
                self._expect(self._woken_for - monotonic())
                self._sleep(self._length / 4)
            else:
                self._watch_delivery(delivery)

    def _earliest(self) -> Delivery | None:
        return min(self._unsettled(), key=_due, default=None)

    def _watch_delivery(self, delivery: Delivery) -> None:
        now = monotonic() - self._offset
        until_limit, until_due = delivery.limit - now, delivery.due - now
        if until_limit <= 0:
            # A busy loop gives the interpreter away every 5 ms, and this thread waits for that
            # after each sleep and each call into the kernel: a margin is not long enough for it.
            interval = sys.getswitchinterval()
            sys.setswitchinterval(self._often)
            try:
                self._end_delivery(delivery)
            finally:
                sys.setswitchinterval(interval)
            return
        self._expect(until_due)
        if self._alarm is not None and _means(self._alarm, delivery):
            self._rings = True
            self._alarm.ring_in(until_limit)
        if not delivery.unsettled:
            # Settled while it was set: that may have found nothing to take back.
            self._ring_not()
        self._sleep(min(until_limit, self._length / 4))

    def _expect(self, left: float) -> None:
        """Take the most that is left of any event for their time-out: a look may be a late one."""
        if left > 0:
            self._length = left if math.isinf(self._length) else max(self._length, left)

    def _end_delivery(self, delivery: Delivery) -> None:
        alarm = self._alarm
        assert alarm is not None  # what is watched was attached with it
        margin = delivery.due - delivery.limit
        asked = math.inf
        while _means(alarm, delivery) and not self._closed:
            now = monotonic()
            left = delivery.due + self._offset - now
            self._put_off(now)
            alarm.send()
            if left <= margin / 2 and self._token is not None:
                # Again and again: by the loop's clock the first may come too early.
                asked = min(asked, now)
                self._ask(self._token)
            # However late the event came: the loop is given time to answer what it is asked.
            if left <= margin / 4 and now - asked >= self._patience() and delivery.claim():
                self._end_process(delivery)
            self._look.clear()
            self._look.wait(SIGNAL_EVERY)

    def _put_off(self, now: float) -> None:
        """This thread has a turn past a limit: the interpreter is not held."""
        # It ends the process itself, sooner than the kernel's timer.

    def _patience(self) -> float:
        return PATIENCE

    def _ask(self, token: trio.lowlevel.TrioToken) -> None:
        try:
            token.run_sync_soon(wake, DISPATCHER)
        except trio.RunFinishedError:
            self._closed = True

    def _end_process(self, delivery: Delivery) -> None:
        # So long the process lives at most, whoever holds the interpreter or the report up.
        self._deadline.hold(monotonic() + REPORT)
        words = "the loop does not answer at the deadline; all stacks follow"
        try:
            if delivery.state is not DeliveryState.STREAMING:
                # (Where one has begun an /error would be refused, and its cut is the error.)
                report_invocation_error(self.address, delivery, late_held(delivery))
            write_raw(words, delivery.request_id)
            faulthandler.dump_traceback(STDERR)
        finally:
            # It is claimed: nobody else can answer it, or end this.
            os._exit(1)

    def _sleep(self, seconds: float) -> None:
        self._looks_at = monotonic() + seconds
        self._look.wait(seconds)


class SharedWatchdog(Watchdog):
    """Holds the deadlines of many events at once, which share the kernel's timer."""

    _often = OFTEN_TO_MANY

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address)
        # When the kernel's timer goes off, by trio's clock, unless it is put off.
        self._kills_at = math.inf
        # A delivery that is due before that; None where nothing is in flight.
        self._guarded: Delivery | None = None
        # Seconds between a deadline and the timer at least.
        self._behind = BEHIND

    def attach(self, ledger: Ledger, alarm: Alarm) -> None:
        super().attach(ledger, alarm)
        self._behind = max(BEHIND, TURN * len(ledger.lanes))

    def arm(self, delivery: Delivery) -> None:
        earliest = delivery.due + self._behind
        if self._kills_at > earliest + SLACK:
            self._guarded = delivery
            self._kill_at(earliest + SLACK)
        elif self._kills_at >= earliest:
            self._guarded = delivery
        if delivery.limit + self._offset < self._looks_at:
            self._woken_for = delivery.limit + self._offset
            self._look.set()

    def settled(self) -> None:
        """A delivery has been settled: see to the kernel's timer before its answer goes out."""
        guarded = self._guarded
        if guarded is not None and not guarded.unsettled:
            self._guard_next()

    def close(self) -> None:
        super().close()
        self._take_back()

    def _guard_next(self) -> None:
        """Have the kernel's timer guard what is in flight, and take it back where nothing is."""
        unsettled = self._unsettled()
        if not unsettled:
            self._take_back()
            return
        unsettled.sort(key=_due)
        first = unsettled[0].due + self._behind
        if not first <= self._kills_at <= first + SLACK:
            self._kill_at(first + SLACK)
        # The one that came last is in flight for longest: until it is settled nothing is to do.
        before = [each for each in unsettled if each.due + self._behind <= self._kills_at]
        self._guarded = before[-1]

    def _kill_at(self, at: float) -> None:
        # In this order: if a signal's handler of the user's raises in between, it is set again.
        self._deadline.hold(at + self._offset)
        self._kills_at = at

    def _take_back(self) -> None:
        self._kills_at = math.inf
        super().settled()
        self._guarded = None

    def _put_off(self, now: float) -> None:
        self._deadline.put_off(now + self._behind)

    def _patience(self) -> float:
        # asyncio's loop, which has a thread of its own, is asked by somebody who waits for it.
        held = loop_is_held() or (self._ledger is not None and self._ledger.asyncio_stuck())
        return PATIENCE if held else STARVED

    def _end_process(self, delivery: Delivery) -> None:
        # It stays unsettled, so nobody takes the timer back. The loop may set it to go off sooner.
        self._deadline.put_off(monotonic() + REPORT)
        super()._end_process(delivery)


def _due(delivery: Delivery) -> float:
    return delivery.due


def _means(alarm: Alarm, delivery: Delivery) -> bool:
    """Whether it is unsettled. If so the alarm means the handler that runs now, and none that
    begins once this thread has lost the core.
    """
    runs = alarm.runs
    if not delivery.unsettled:
        return False
    alarm.meant = runs
    return True


def _offset() -> float:
    """What the monotonic clock is ahead of trio's. Between two looks another thread may have the
    interpreter: of some readings the one that took least is right.
    """
    readings = list[tuple[float, float]]()
    for _ in range(5):
        before, now = monotonic(), trio.current_time()
        readings.append((monotonic() - before, before - now))
    return min(readings)[1]
