"""Enforce the deadline where the event loop cannot.

A handler's own cancel scope ends the handler at its limit, one margin before the platform would end
the sandbox. Four steps follow, each at a share of the margin before the deadline, while the
delivery is unsettled:

    1      interrupt a plain `def` on the main thread by a signal, repeatedly, except while clean-up
           that the signal caused is running: a `finally`, the end of a `with`
    1/2    ask the dispatcher to settle late deliveries and to abandon their workers (a shielded
           handler, no idle worker, a worker still in `init`)
    1/4    the loop has not answered, because an `async def` or an uninterruptible `def` holds it:
           claim the delivery, post the error on another connection, log all stacks, end the
           process. A streaming response gets no error: its truncation is the error
    1/8    C code holds the interpreter: the kernel's timer ends the process
           (`deadlines.kill_timer`)

A thread takes the first three steps. It wakes a few times per time-out and reads the ledgers. An
event wakes the thread only if the event is due before the thread's next look. On a fraction of a
core, a handler that computes may keep the thread from running for longer than a margin. For that
case, the kernel's timer also signals the main thread once at step 1 (`system.signal_timer`).

Step four needs no thread. The loop sets the timer when an event arrives, before the handler begins,
and cancels the timer before the last response goes out: a sandbox may freeze as soon as the
response is sent, and an overdue timer fires at once after the thaw. Many events share the timer. It
fires between KILL_AFTER and KILL_AFTER + SLACK seconds after the earliest deadline in flight, and
is set again only if no event in flight is due that early. A process that was stopped in the middle
of an event until after its deadline gets 0.1 s to answer (`deadlines.kill_timer`).

With many events in flight, computing threads take turns with the interpreter, and the process must
not end for that. Steps three and four therefore wait longer: the loop has STARVED seconds unless
user code holds it, and each turn of the thread past a limit postpones the kernel's timer. The timer
fires once the thread has had no turn for KILL_AFTER seconds. The loop alone decides what the timer
guards. The thread only decides how early the process may end. Therefore the two need no lock, which
a user's signal handler could leave locked for ever by raising on the main thread.

The thread also looks for code that holds the loop (`deadlines.held_loop`). It survives every error
in a look, also MemoryError.
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
from .held_loop import INTERVAL, HeldLoop
from .interrupt import DeadlineInterrupt
from .kill_timer import LOOKS, SIGNAL, ProcessDeadline
from .where_it_stood import deadline_error_from_loop, user_code_holds_loop

SIGNAL_EVERY = 0.01
# How many of the first events wake the thread, so that it sees code that holds the loop. A wake-up
# costs an event about 3 %. Later, an event that took over two looks has the next event wake it.
CLOSE_WATCHES = 10
# The interpreter's switch interval in seconds while an event is past its limit: with one lane, and
# with many. Each waiting thread wakes up once per interval. With many computing threads, a shorter
# interval would leave no time for them or for the loop.
SWITCH_INTERVAL, SWITCH_INTERVAL_OF_MANY = 1e-5, 1e-3
# Seconds that the loop has to answer before it counts as held.
PATIENCE = 0.02
# The same with many events in flight. Computing handlers take the interpreter in turn, 5 ms each,
# and the platform ends no sandbox over one event.
STARVED = 2.0
# Seconds from the earliest of many deadlines to the kernel's timer, at least, and up to SLACK more:
# the process must have ended 0.2 s after the deadline. With more than 30 lanes it is TURN seconds
# per lane, so that all computing threads can have a turn first.
KILL_AFTER, SLACK, TURN = 0.15, 0.02, 0.005
# Seconds that the thread has to report, once it ends the process.
REPORT_LIMIT = 0.15


class SignalSafeEvent:
    """Wakes one thread. A signal handler may call `set`, also in the middle of another `set`.

    `threading.Event` takes a lock in `set`, so a signal handler that calls it can deadlock.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Wake the thread, now or at its next `wait`."""
        # RuntimeError: it is set already.
        with suppress(RuntimeError):
            self._lock.release()

    def is_set(self) -> bool:
        """Whether the next `wait` returns at once."""
        return not self._lock.locked()

    def clear(self) -> None:
        """Reset it."""
        self._lock.acquire(blocking=False)

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, at most this long, and clear it. Return whether it was set."""
        return self._lock.acquire(timeout=min(max(seconds, 0.0), threading.TIMEOUT_MAX))


class Watchdog:
    """Enforces the deadline of one event at a time.

    Args:
        address: host and port of the Runtime API.
    """

    _switch_interval = SWITCH_INTERVAL

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._ledger: Ledger | None = None
        self._interrupt: DeadlineInterrupt | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        # Seconds that the monotonic clock is ahead of trio's.
        self._offset = 0.0
        # The longest time-out seen, in seconds; infinity until the first event.
        self._time_out = math.inf
        # When the thread looks next, by the monotonic clock.
        self._next_look = math.inf
        # The limit of the event that woke the thread last, by the monotonic clock.
        self._woken_for = -math.inf
        self._closed = False
        self._after_watch: Callable[[], None] = lambda: None
        # Ends the process by the kernel's timer.
        self._deadline = ProcessDeadline()
        # The thread's native id once it runs; the main thread's without a thread.
        self._native_id = threading.get_native_id()
        self._thread_runs = SignalSafeEvent()
        self._thread_runs.set()
        # Whether the kernel is to signal the main thread for the interrupt.
        self._signal_is_set = False
        self._wake_up = SignalSafeEvent()
        self._held_loop: HeldLoop | None = None
        # How many more events wake the thread for `_held_loop`, whenever they are due.
        self._close_watches = CLOSE_WATCHES
        # When the last event arrived, by the monotonic clock.
        self._armed_at = math.inf

    def start(self) -> None:
        """Start the thread."""
        self._thread_runs.clear()
        start_unlisted_thread(self._run_thread)

    def close(self) -> None:
        """Stop watching."""
        self._closed = True
        self._wake_up.set()
        self.settled()

    def run_instead(self, function: Callable[[], None]) -> None:
        """Stop watching and run this function in the thread: the process is about to end.

        Starting another thread may need memory that the process does not have.
        """
        self._after_watch = function
        self._closed = True
        self._wake_up.set()

    # -- called on the loop

    def attach(self, ledger: Ledger, interrupt: DeadlineInterrupt) -> None:
        """Set what to watch, before the tree starts."""
        self._token = trio.lowlevel.current_trio_token()
        self._offset = _clock_offset()
        self._ledger, self._interrupt = ledger, interrupt
        self._held_loop = HeldLoop(interrupt)
        # Returns at once: the thread was started long before.
        self._thread_runs.wait(math.inf)
        self._deadline.create(self._native_id)

    def arm(self, delivery: Delivery) -> None:
        """An event has arrived."""
        due, limit = delivery.due, delivery.limit
        self._armed_at = monotonic()
        self._deadline.set_at(due - (due - limit) / 8 + self._offset)
        if limit + self._offset < self._next_look:
            self._woken_for = limit + self._offset
            self._wake_up.set()

    def settled(self) -> None:
        """Cancel the kernel's timers: a delivery is settled, and its response not yet sent."""
        self._deadline.clear()
        if self._signal_is_set:
            self._cancel_signal()
        if monotonic() - self._armed_at > 2 * INTERVAL and self._close_watches == 0:
            # The event may have held the loop: watch the next one.
            self._close_watches, self._next_look = 1, math.inf

    # -- called on the loop and in the thread

    def _cancel_signal(self) -> None:
        self._signal_is_set = False
        if self._interrupt is not None:
            self._interrupt.cancel_signal()

    def _unsettled(self) -> list[Delivery]:
        """The unsettled deliveries that have a deadline."""
        lanes = self._ledger.lanes if self._ledger is not None else []
        deliveries = [lane.delivery for lane in lanes]
        return [d for d in deliveries if d is not None and d.unsettled and math.isfinite(d.due)]

    # -- the thread

    def _run_thread(self) -> None:
        # A signal that user code waits for, blocked in the main thread, must not end the process by
        # arriving here. This thread must take both of okibi's, whatever its starter blocks.
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals() - {SIGNAL, LOOKS})
        self._native_id = threading.get_native_id()
        self._thread_runs.set()
        self._watch_until_closed()
        self._after_watch()

    def _watch_until_closed(self) -> None:
        while not self._closed:
            try:
                self._watch()
            except Exception as error:
                # Without memory, writing the message may fail too.
                with suppress(Exception):
                    write_raw(f"the watchdog continues after {error!r}")
                sleep(PATIENCE)

    def _watch(self) -> None:
        while not self._closed:
            self._wake_up.clear()
            # An event that arrives during the look must cause another look.
            self._next_look = math.inf
            delivery = self._earliest()
            if delivery is None:
                # The event that woke the thread may be settled already. Its time-out still tells
                # how often to look.
                self._note_time_out(self._woken_for - monotonic())
                self._sleep(self._time_out / 4)
            else:
                self._watch_delivery(delivery)

    def _earliest(self) -> Delivery | None:
        return min(self._unsettled(), key=_due, default=None)

    def _watch_delivery(self, delivery: Delivery) -> None:
        now = monotonic() - self._offset
        until_limit, until_due = delivery.limit - now, delivery.due - now
        if until_limit <= 0:
            # A busy loop gives up the interpreter every 5 ms, and this thread waits for that after
            # each sleep and each system call. A margin is too short for that.
            interval = sys.getswitchinterval()
            sys.setswitchinterval(self._switch_interval)
            try:
                self._end_delivery(delivery)
            finally:
                sys.setswitchinterval(interval)
            return
        self._note_time_out(until_due)
        if self._interrupt is not None and _aim(self._interrupt, delivery):
            self._signal_is_set = True
            self._interrupt.signal_in(until_limit)
        if not delivery.unsettled:
            # It was settled meanwhile, perhaps before the signal was set.
            self._cancel_signal()
        self._sleep_beside(delivery, min(until_limit, self._time_out / 4))

    def _note_time_out(self, left: float) -> None:
        """Keep the longest remaining time seen: a look may come late in an event."""
        if left > 0:
            self._time_out = left if math.isinf(self._time_out) else max(self._time_out, left)

    def _end_delivery(self, delivery: Delivery) -> None:
        interrupt = self._interrupt
        assert interrupt is not None  # `attach` set it before any delivery arrived
        margin = delivery.due - delivery.limit
        asked = math.inf
        while _aim(interrupt, delivery) and not self._closed:
            now = monotonic()
            left = delivery.due + self._offset - now
            self._postpone(now)
            interrupt.send_signal()
            if left <= margin / 2 and self._token is not None:
                # Repeatedly: by the loop's clock the first request may come too early.
                asked = min(asked, now)
                self._ask_dispatcher(self._token)
            # However late the event arrived, the loop has time to answer the request.
            if left <= margin / 4 and now - asked >= self._patience() and delivery.claim():
                self._end_process(delivery)
            self._wake_up.clear()
            self._wake_up.wait(SIGNAL_EVERY)

    def _postpone(self, now: float) -> None:
        """Note that this thread runs past a limit, so no C code holds the interpreter."""
        # With one lane this thread ends the process before the kernel's timer would.

    def _patience(self) -> float:
        return PATIENCE

    def _ask_dispatcher(self, token: trio.lowlevel.TrioToken) -> None:
        try:
            token.run_sync_soon(wake, DISPATCHER)
        except trio.RunFinishedError:
            self._closed = True

    def _end_process(self, delivery: Delivery) -> None:
        # The process ends after this time, whatever holds the interpreter or the report.
        self._deadline.set_at(monotonic() + REPORT_LIMIT)
        words = "the loop does not answer at the deadline; all stacks follow"
        try:
            # The Runtime API would refuse an /error for a response that is streaming.
            if delivery.state is not DeliveryState.STREAMING:
                report_invocation_error(self.address, delivery, deadline_error_from_loop(delivery))
            write_raw(words, delivery.request_id)
            faulthandler.dump_traceback(STDERR)
        finally:
            # The delivery is claimed, so only this thread can answer and end the process.
            os._exit(1)

    def _sleep(self, seconds: float) -> None:
        self._next_look = monotonic() + seconds if self._close_watches == 0 else math.inf
        if self._wake_up.wait(seconds) and self._close_watches > 0:
            self._close_watches -= 1

    def _sleep_beside(self, delivery: Delivery, seconds: float) -> None:
        """Sleep, at most until the delivery is settled, and look for a held loop meanwhile."""
        self._next_look = until = monotonic() + seconds
        while (left := until - monotonic()) > 0 and delivery.unsettled:
            if self._wake_up.wait(min(left, INTERVAL)):
                return
            if left >= INTERVAL and self._held_loop is not None and self._held_loop.look():
                self._close_watches = CLOSE_WATCHES


class SharedWatchdog(Watchdog):
    """Enforces the deadlines of many events at once, which share the kernel's timer.

    Args:
        address: host and port of the Runtime API.
    """

    _switch_interval = SWITCH_INTERVAL_OF_MANY

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address)
        # When the kernel's timer fires, by trio's clock, unless postponed.
        self._kills_at = math.inf
        # A delivery that is due before that time; None if none is in flight.
        self._guarded: Delivery | None = None
        # Least seconds from a deadline to the timer.
        self._kill_after = KILL_AFTER

    def attach(self, ledger: Ledger, interrupt: DeadlineInterrupt) -> None:
        super().attach(ledger, interrupt)
        self._kill_after = max(KILL_AFTER, TURN * len(ledger.lanes))

    def arm(self, delivery: Delivery) -> None:
        earliest = delivery.due + self._kill_after
        if self._kills_at > earliest + SLACK:
            self._guarded = delivery
            self._kill_at(earliest + SLACK)
        elif self._kills_at >= earliest:
            self._guarded = delivery
        if delivery.limit + self._offset < self._next_look:
            self._woken_for = delivery.limit + self._offset
            self._wake_up.set()

    def settled(self) -> None:
        """Adjust the kernel's timer: a delivery is settled, and its response not yet sent."""
        guarded = self._guarded
        if guarded is not None and not guarded.unsettled:
            self._guard_next()

    def close(self) -> None:
        super().close()
        self._cancel_timer()

    def _guard_next(self) -> None:
        """Set the kernel's timer for the deliveries in flight; cancel it if there are none."""
        unsettled = self._unsettled()
        if not unsettled:
            self._cancel_timer()
            return
        unsettled.sort(key=_due)
        first = unsettled[0].due + self._kill_after
        if not first <= self._kills_at <= first + SLACK:
            self._kill_at(first + SLACK)
        # Guard the delivery that is due last: it is probably settled last, and nothing is to do
        # until then.
        guarded = [each for each in unsettled if each.due + self._kill_after <= self._kills_at]
        self._guarded = guarded[-1]

    def _kill_at(self, at: float) -> None:
        # In this order: if a user's signal handler raises in between, the timer is set again.
        self._deadline.set_at(at + self._offset)
        self._kills_at = at

    def _cancel_timer(self) -> None:
        self._kills_at = math.inf
        super().settled()
        self._guarded = None

    def _postpone(self, now: float) -> None:
        self._deadline.postpone(now + self._kill_after)

    def _patience(self) -> float:
        # `stuck`: the asyncio loop, which has its own thread, does not answer its task on trio.
        held = user_code_holds_loop() or (self._ledger is not None and self._ledger.asyncio_stuck())
        return PATIENCE if held else STARVED

    def _end_process(self, delivery: Delivery) -> None:
        # The delivery stays unsettled, so the timer is not cancelled. The loop may set it sooner.
        self._deadline.postpone(monotonic() + REPORT_LIMIT)
        super()._end_process(delivery)


def _due(delivery: Delivery) -> float:
    return delivery.due


def _aim(interrupt: DeadlineInterrupt, delivery: Delivery) -> bool:
    """Aim the interrupt at the handler that runs now, if the delivery is unsettled; say if it is.

    The interrupt then spares a handler that begins after this thread has lost the core.
    """
    run = interrupt.run_count
    if not delivery.unsettled:
        return False
    interrupt.target_run = run
    return True


def _clock_offset() -> float:
    """How many seconds the monotonic clock is ahead of trio's.

    Another thread may run between two readings, so the fastest of five pairs counts.
    """
    readings = list[tuple[float, float]]()
    for _ in range(5):
        before, now = monotonic(), trio.current_time()
        readings.append((monotonic() - before, before - now))
    return min(readings)[1]
