"""Enforce the deadline where the event loop cannot.

A handler's own cancel scope ends the handler at its limit, one margin before the platform would end
the sandbox. Four steps follow, each at a share of the margin before the deadline, while the
delivery is unsettled, or has follow-ups:

    1      interrupt a plain `def` on the main thread by a signal, repeatedly, except while clean-up
           that the signal caused is running: a `finally`, the end of a `with`
    1/2    ask the dispatcher to settle late deliveries and to abandon their workers (a shielded
           handler, no idle worker, a worker still in `init`)
    1/4    the loop has not answered, because an `async def` or an uninterruptible `def` holds it:
           claim the delivery, post the error on another connection, log all stacks, end the
           process. A streaming response gets no error: its truncation is the error. Follow-ups
           get none: their event is answered
    1/8    C code holds the interpreter: the kernel's timer ends the process
           (`deadlines.kill_timer`)

A thread takes the first three steps. It looks at the ledgers every INTERVAL seconds. An event that
is due before the next look wakes it. It also looks for code that holds the loop
(`deadlines.held_loop`), and survives every error in a look, also MemoryError. On a fraction of a
core, a handler that computes may keep the thread from running for longer than a margin. For that
case, the kernel's timer also signals the main thread once at step 1 (`system.signal_timer`).

Step four needs no thread. Each turn of the thread past a limit shows that no C code holds the
interpreter, and postpones the kernel's timer. Who sets the timer depends on the number of lanes:

    one     The loop sets it when an event arrives, and clears it before the response goes out: a
            sandbox may freeze as soon as the response is sent, and an overdue timer fires at once
            after the thaw. The loop sets it again for follow-ups. A process that was stopped in the
            middle of an event until after its deadline gets 0.1 s to answer.
    many    `SharedWatchdog`
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

from ...actors import logs
from ..errors.error_response import LATE_ANSWERS, RECYCLED_PROCESSES
from ..in_flight.delivery import Delivery, DeliveryState
from ..in_flight.emergency_report import report_outcome
from ..in_flight.handover import wake
from ..in_flight.ledger import DISPATCHER, Ledger
from ..logs.lambda_log import STDERR, write_counts_at_exit, write_raw
from ..system.unlisted_thread import start_unlisted_thread
from .held_loop import HeldLoop
from .interrupt import DeadlineInterrupt
from .kill_timer import LOOKS, SIGNAL, ProcessDeadline
from .where_it_stood import deadline_error_from_loop

SIGNAL_EVERY = 0.01
# Seconds between two looks. A wake-up for each event would cost a warm one about 3 %.
INTERVAL = 0.1
# The interpreter's switch interval in seconds while an event is past its limit: with one lane, and
# with many. Each waiting thread wakes up once per interval. With many computing threads, a shorter
# interval would leave no time for them or for the loop.
SWITCH_INTERVAL, SWITCH_INTERVAL_OF_MANY = 1e-5, 1e-3
# Seconds that the loop has to answer before it counts as held.
PATIENCE = 0.02
# The same with many events in flight, unless the loop is seen to be held (`deadlines.held_loop`).
# Computing handlers take the interpreter in turn, 5 ms each, and the platform ends no sandbox over
# one event.
STARVED = 2.0
# Seconds without a turn of the thread past a limit until the kernel's timer ends the process, at
# least: with one lane, and with many. With more than 30 lanes it is TURN seconds per lane, so that
# all computing threads can have a turn first.
KILL_AFTER, KILL_AFTER_OF_MANY, TURN = 0.05, 0.15, 0.005
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
        """Return whether the next `wait` returns at once."""
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
    _kill_after = KILL_AFTER

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._ledger: Ledger | None = None
        self._interrupt: DeadlineInterrupt | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        # Seconds that the monotonic clock is ahead of trio's.
        self._offset = 0.0
        # When the thread looks next, by trio's clock.
        self._next_look = math.inf
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

    def start(self) -> None:
        """Start the thread."""
        self._thread_runs.clear()
        start_unlisted_thread(self._run_thread)

    def close(self) -> None:
        """Stop watching."""
        self._closed = True
        self._wake_up.set()
        self._deadline.clear()
        self._cancel_signal()

    def run_instead(self, function: Callable[[], None]) -> None:
        """Stop watching and run this function in the thread: the process is about to end.

        Starting another thread may need memory that the process does not have.
        """
        self._after_watch = function
        self._closed = True
        self._wake_up.set()
        # No turn postpones it any more.
        self._deadline.clear()

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
        """Set the timer for an event that has arrived, or whose follow-ups begin."""
        due, limit = delivery.due, delivery.limit
        self._deadline.set(due - (due - limit) / 8 + self._offset)
        if limit < self._next_look:
            self._wake_up.set()

    def settled(self) -> None:
        """Cancel the kernel's timers: a response, or the GET after follow-ups, is to be sent."""
        self._deadline.clear()
        if self._signal_is_set:
            self._cancel_signal()

    # -- called on the loop and in the thread

    def _cancel_signal(self) -> None:
        self._signal_is_set = False
        if self._interrupt is not None:
            self._interrupt.cancel_signal()

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
            now = monotonic() - self._offset
            delivery = self._earliest()
            self._note_look(now, delivery)
            if delivery is not None and delivery.limit <= now:
                self._watch_late(delivery)
            else:
                self._sleep(now, delivery)

    def _earliest(self) -> Delivery | None:
        """Return the unfinished delivery that is due first; None if none has a deadline."""
        lanes = self._ledger.lanes if self._ledger is not None else []
        deliveries = [lane.delivery for lane in lanes]
        unfinished = [d for d in deliveries if d is not None and d.unfinished and d.due < math.inf]
        return min(unfinished, key=_due, default=None)

    def _note_look(self, now: float, delivery: Delivery | None) -> None:
        """Note that this thread runs, so no C code holds the interpreter."""
        # With one lane only the loop sets the kernel's timer: it knows when the sandbox may freeze.

    def _sleep(self, now: float, delivery: Delivery | None) -> None:
        """Sleep until the next look or the limit; have the kernel signal a plain `def` at it."""
        seconds = INTERVAL
        if delivery is not None:
            until_limit = delivery.limit - now
            seconds = min(INTERVAL, until_limit)
            if self._interrupt is not None and _aim(self._interrupt, delivery):
                self._signal_is_set = True
                self._interrupt.signal_in(until_limit)
            if not delivery.unfinished:
                # It was settled meanwhile, perhaps before the signal was set.
                self._cancel_signal()
            if self._held_loop is not None:
                self._held_loop.look()
        self._next_look = now + seconds
        self._wake_up.wait(seconds)

    def _watch_late(self, delivery: Delivery) -> None:
        # A busy loop gives up the interpreter every 5 ms, and this thread waits for that after
        # each sleep and each system call. A margin is too short for that.
        interval = sys.getswitchinterval()
        sys.setswitchinterval(self._switch_interval)
        try:
            self._end_delivery(delivery)
        finally:
            sys.setswitchinterval(interval)

    def _end_delivery(self, delivery: Delivery) -> None:
        interrupt = self._interrupt
        assert interrupt is not None  # `attach` set it before any delivery arrived
        margin = delivery.due - delivery.limit
        asked = math.inf
        while _aim(interrupt, delivery) and not self._closed:
            now = monotonic()
            left = delivery.due + self._offset - now
            self._deadline.postpone(now + self._kill_after)
            interrupt.send_signal()
            if left <= margin / 2 and self._token is not None:
                # Repeatedly: by the loop's clock the first request may come too early.
                asked = min(asked, now)
                self._ask_dispatcher(self._token)
            # However late the event arrived, the loop has time to answer the request.
            if self._is_held(now - asked) and left <= margin / 4 and delivery.claim_end():
                self._end_process(delivery)
            self._wake_up.clear()
            self._wake_up.wait(SIGNAL_EVERY)

    def _is_held(self, waited: float) -> bool:
        """Return whether the loop, which was asked so many seconds ago, counts as held."""
        # The platform ends the sandbox at the deadline, whatever keeps the loop from answering.
        return waited >= PATIENCE

    def _ask_dispatcher(self, token: trio.lowlevel.TrioToken) -> None:
        try:
            token.run_sync_soon(wake, DISPATCHER)
        except trio.RunFinishedError:
            self._closed = True

    def _end_process(self, delivery: Delivery) -> None:
        # The process ends after this time, whatever holds the interpreter or the report.
        self._deadline.set(monotonic() + REPORT_LIMIT)
        words = "the loop does not answer at the deadline; all stacks follow"
        telemetry = None if self._ledger is None else self._ledger.telemetry
        try:
            error = deadline_error_from_loop(delivery)
            # The Runtime API would refuse an /error for a response that is streaming, or is out.
            if delivery.state < DeliveryState.STREAMING:
                answer = delivery.late_answer()
                if answer is not None:
                    # The invoker does not see the error.
                    write_raw(error.body.decode(), delivery.request_id)
                report_outcome(self.address, delivery, answer or error)
            write_raw(words, delivery.request_id)
            logs.count(LATE_ANSWERS)
            logs.count(RECYCLED_PROCESSES)
            write_counts_at_exit()
            faulthandler.dump_traceback(STDERR)
            if telemetry is not None:
                seconds = (delivery.due - delivery.limit) / 4
                self._deadline.set(monotonic() + seconds + REPORT_LIMIT)
                telemetry.end_process(delivery, error, seconds)
        finally:
            # The delivery is claimed, so only this thread can answer and end the process.
            os._exit(1)


class SharedWatchdog(Watchdog):
    """Enforces the deadlines of many events at once.

    Such a sandbox never freezes, and the platform ends it over no event. Therefore the kernel's
    timer is always set, also between events: a thread that a handler left behind may hold the
    interpreter there. The watchdog's thread sets the timer at each look, for the earliest deadline
    in flight, or for that of an event that would arrive now. The loop sets it only for an event
    that has more time than every event before, such as the first.

    Computing threads take turns with the interpreter, and the process must not end for that. The
    loop therefore counts as held only by the processor time that it had (`deadlines.held_loop`).

    Args:
        address: host and port of the Runtime API.
    """

    _switch_interval = SWITCH_INTERVAL_OF_MANY

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address)
        # The longest time that an event had at its arrival, in seconds.
        self._time_out = 0.0

    def attach(self, ledger: Ledger, interrupt: DeadlineInterrupt) -> None:
        super().attach(ledger, interrupt)
        self._kill_after = max(KILL_AFTER_OF_MANY, TURN * len(ledger.lanes))

    def arm(self, delivery: Delivery) -> None:
        left = delivery.due - trio.current_time()
        if self._time_out < left < math.inf:
            self._time_out = left
            self._end_at(delivery.due)
        if delivery.limit < self._next_look:
            self._wake_up.set()

    def settled(self) -> None:
        """Cancel nothing: the thread moves the timer."""

    def _note_look(self, now: float, delivery: Delivery | None) -> None:
        if self._time_out:
            after = now + self._time_out
            self._end_at(after if delivery is None else min(delivery.due, after))

    def _end_at(self, due: float) -> None:
        self._deadline.set(due + self._kill_after + self._offset)
        if self._closed:
            # Nothing postpones the end any more.
            self._deadline.clear()

    def _is_held(self, waited: float) -> bool:
        assert self._held_loop is not None  # as in `_end_delivery`
        # First: a look compares with the one before.
        held = self._held_loop.is_held()
        return waited >= STARVED or (waited >= PATIENCE and held)


def _due(delivery: Delivery) -> float:
    return delivery.due


def _aim(interrupt: DeadlineInterrupt, delivery: Delivery) -> bool:
    """Aim the interrupt at the function that runs now, if the delivery is unfinished; say if it is.

    The interrupt then spares a handler that begins after this thread has lost the core.
    """
    run = interrupt.run_count
    if not delivery.unfinished:
        return False
    interrupt.target_run = run
    return True


def _clock_offset() -> float:
    """Return the seconds by which the monotonic clock is ahead of trio's.

    Another thread may run between two readings, so the fastest of five pairs counts.
    """
    readings = list[tuple[float, float]]()
    for _ in range(5):
        before, now = monotonic(), trio.current_time()
        readings.append((monotonic() - before, before - now))
    return min(readings)[1]
