"""The watchdog: a thread that holds the deadline when the loop cannot.

A handler's own cancel scope ends it a margin before the platform would. Behind that stand, each
at its share of the margin before the deadline, as long as the delivery is unsettled:

    1      the alarm: a plain `def` on the main thread is signalled, again and again unless what
           that has set off in it is at work, a `finally` or the end of a `with`
    1/2    the dispatcher is asked to settle what is late and abandon its worker (a shielded
           handler, no idle worker, a worker still in `init`); lest it cannot, the main thread is
           signalled again and again: an `async def` that holds the loop is ended too
    1/4    the loop has not answered: log all stacks, claim the delivery, post the error on a
           socket of its own (not of an answer that streams: its cut is the error), end the process
    1/8    C code holds the interpreter, so that not even this thread runs: faulthandler's timer,
           which needs no interpreter, ends the process

Who computes on a part of a core leaves this thread none of it for longer than that. So the kernel's
own timer signals the main thread besides, once, when the alarm is to (room `ring`).

Where many events may be in flight the last two wait for two seconds more, unless the loop is held
by code of the user's: what keeps it busy then is many threads that compute.

To arm it costs an invocation one comparison. The thread wakes a few times in the length of a
time-out and looks at the ledgers; only an event that is due before it would look wakes it.
faulthandler's timer is set while it looks at an unsettled delivery, and taken back once nothing is
in flight: one left ticking would go off when a frozen sandbox thaws. There is one such timer, and
to set it takes a thread. While other lanes' events are in flight it ticks on for one that is
settled, until the next look sets it anew, which comes long before it would go off. The user's code
may want it for itself, and has it then (room `dump_timer`). A freeze in the middle of an event, and
past its deadline, ends the process at the thaw, without an answer: the timer goes by the clock, and
first. One event at a time Lambda has given up on it by then.

It watches the start too, and ends none: the platform allows an on-demand init ten seconds, and then
begins it anew with the first event, in the function's own time, where a slow import is welcome.
But at nine seconds the log is told which actor, or which line, it stands in (while the user's code
is imported by room `slow_import`).

Nothing that goes wrong in a look is the last of them: not even that no other thread can be started,
as in a sandbox that has a thousand of them for a while.
"""

import faulthandler
import math
import os
import signal
import sys
import threading
import traceback
from time import monotonic, sleep

import trio

from actors import Ref
from actors.process import Process

from .alarm import Alarm
from .delivery import Delivery, State
from .dump_timer import DumpTimer
from .failure import is_users
from .ledger import DISPATCHER, Ledger, wake
from .logs import STDERR, write_raw
from .report import report_invocation_error
from .slow_import import SlowImport, began
from .standing import late_held, loop_is_held
from .unlisted_thread import start_unlisted_thread

INIT_LIMIT = 9.0
SIGNAL_EVERY = 0.01
# Seconds after which who waits for the interpreter asks for it, while an event is past its limit.
# Each thread that waits wakes up as often to ask: a few that compute would come to nothing else,
# nor would the loop, which has the answers to make.
OFTEN, OFTEN_TO_MANY = 1e-5, 1e-3
# Seconds that the loop has at least, before it is said not to answer.
PATIENCE = 0.02
# Seconds that the loop, and this thread, have where many events may be in flight: handlers that
# compute take the interpreter in turn, 5 ms each, and the platform ends no sandbox over one event.
STARVED = 2.0


class Watchdog:
    """Holds the deadlines of what is in flight, and tells of a start that takes too long.

    Args:
        address: of the Runtime API.
        init_limit: seconds of the process's life after which it tells of a start; infinity where
            the platform sets no limit.
    """

    def __init__(self, address: tuple[str, int], init_limit: float = INIT_LIMIT) -> None:
        self.address = address
        self.timer = DumpTimer()
        self.init_limit = init_limit
        self._import: SlowImport | None = None
        self.root: Process | None = None
        self._ledger: Ledger | None = None
        self._alarm: Alarm | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._offset = 0.0
        self._length = math.inf
        self._looks_at = math.inf
        # The limit of the event that woke the thread last, by the monotonic clock.
        self._woken_for = -math.inf
        self._initialised = False
        self._closed = False
        # What faulthandler's timer is set for, and when it goes off, by the monotonic clock.
        self._guarded: Delivery | None = None
        self._goes_off = math.inf
        # Without a limit nobody need know when the process began.
        self._tells_at = began(init_limit) + init_limit if init_limit < math.inf else math.inf
        self._look = threading.Event()

    def import_begins(self) -> None:
        """The user's code is imported now, on the main thread."""
        self._import = SlowImport(self.timer, self.init_limit, self._tells_at)
        self._import.begin()
        os.register_at_fork(
            before=self._forks, after_in_parent=self._has_forked, after_in_child=self._is_child
        )

    def start(self) -> None:
        """Begin to watch: the user's code has been imported, and the tree is to be started."""
        self._import_ends()
        if monotonic() >= self._tells_at:
            # It has been told of.
            self._tells_at = math.inf
        start_unlisted_thread(self._apart)

    def _import_ends(self) -> None:
        if self._import is not None:
            self._import.end()
            self._import = None

    def _forks(self) -> None:
        # A child has no such thread, and a lock that it holds: at its end it would wait for that.
        self._guarded = None
        self.timer.pause()

    def _has_forked(self) -> None:
        if self._import is not None:
            self._import.go_on()
        else:
            self.timer.go_on()
            self._look.set()

    def _is_child(self) -> None:
        # Should the thread have set one in between.
        self._guarded = None

    def close(self) -> None:
        """End it; nothing is watched any more."""
        self._import_ends()
        self._closed = True
        self._look.set()
        self._take_back()

    # -- called on the loop

    def attach(self, ledger: Ledger, alarm: Alarm) -> None:
        """Take what it is to watch: before the tree starts, of which it watches the start first."""
        self._token = trio.lowlevel.current_trio_token()
        self._offset = _offset()
        self._ledger, self._alarm = ledger, alarm

    def initialised(self) -> None:
        """The tree stands: watch its deliveries from now on."""
        self._initialised = True
        self._look.set()

    def arm(self, limit: float) -> None:
        """An event has come that is to be answered by `limit`, in seconds of trio's clock.

        The first may come before anybody has said that the tree stands.
        """
        if limit + self._offset < self._looks_at:
            self._woken_for = limit + self._offset
            self.initialised()

    def settled(self) -> None:
        """A delivery has been settled: see to faulthandler's timer, if it ticks."""
        guarded = self._guarded
        if guarded is None or self._ledger is None:
            return
        if not self._ledger.in_flight():
            self._take_back()
        elif not guarded.unsettled and self._goes_off - monotonic() < self._length / 2:
            # It ran long, and the thread might look too late.
            self._look.set()

    # -- the thread

    def _apart(self) -> None:
        # What a `def` on the main thread blocks, to wait for it, is not to end the process here.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self._live()

    def _live(self) -> None:
        self._watch_start()
        while not self._closed:
            try:
                self._watch()
            except Exception as error:
                write_raw(f"the watchdog goes on after {error!r}")
                sleep(PATIENCE)

    def _watch(self) -> None:
        while not self._closed:
            self._look.clear()
            # What comes while it looks is due before its next look, whenever that is.
            self._looks_at = math.inf
            delivery = self._earliest()
            if delivery is None:
                # Events without a deadline may be in flight, beside which it was left ticking.
                self._take_back()
                # What woke it may be settled by now, as the next ones will be: how long they may
                # take is all it has to know of them.
                self._expect(self._woken_for - monotonic())
                self._sleep(self._length / 4)
            else:
                self._watch_delivery(delivery)

    def _watch_start(self) -> None:
        while not self._initialised and not self._closed:
            left = self._tells_at - monotonic()
            if left <= 0:
                self._tell_start()
                left = self._tells_at = math.inf
            self._look.wait(min(left, threading.TIMEOUT_MAX))
            self._look.clear()

    def _earliest(self) -> Delivery | None:
        lanes = self._ledger.lanes if self._ledger is not None else []
        waiting = [lane.delivery for lane in lanes]
        unsettled = [d for d in waiting if d is not None and d.unsettled and math.isfinite(d.due)]
        return min(unsettled, key=lambda delivery: delivery.due, default=None)

    def _watch_delivery(self, delivery: Delivery) -> None:
        now = monotonic() - self._offset
        until_limit, until_due = delivery.limit - now, delivery.due - now
        if until_limit <= 0:
            # A busy loop gives the interpreter away every 5 ms, and this thread waits for that
            # after each sleep and each call into the kernel: a margin is not long enough for it.
            interval = sys.getswitchinterval()
            sys.setswitchinterval(OFTEN_TO_MANY if self._many() else OFTEN)
            try:
                self._end_delivery(delivery)
            finally:
                sys.setswitchinterval(interval)
            return
        self._expect(until_due)
        margin = delivery.due - delivery.limit
        # First: faulthandler's takes a thread, for which this one may wait.
        if self._alarm is not None and _means(self._alarm, delivery):
            self._alarm.ring_in(until_limit, until_due - margin / 2)
        self._guard(delivery, until_due + STARVED if self._many() else until_due - margin / 8)
        if not delivery.unsettled:
            # Settled while it was set: whoever did so may have found nothing to take back.
            self._take_back()
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
            (alarm.interrupt if left <= margin / 2 else alarm.send)()
            if left <= margin / 2 and self._token is not None:
                # Again and again: by the loop's clock the first may come too early.
                asked = min(asked, now)
                self._ask(self._token)
            # However late the event came: the loop is given time to answer what it is asked.
            if left <= margin / 4 and now - asked >= self._patience() and delivery.claim():
                self._end_process(delivery)
            # Other lanes' settlements cut the wait short, each of them once.
            self._look.clear()
            self._look.wait(SIGNAL_EVERY)

    def _many(self) -> bool:
        return self._ledger is not None and len(self._ledger.lanes) > 1

    def _patience(self) -> float:
        # asyncio's loop, which has a thread of its own, is asked by somebody who waits for it.
        held = loop_is_held() or (self._ledger is not None and self._ledger.stuck())
        return STARVED if self._many() and not held else PATIENCE

    def _ask(self, token: trio.lowlevel.TrioToken) -> None:
        try:
            token.run_sync_soon(wake, DISPATCHER)
        except trio.RunFinishedError:
            self._closed = True

    def _end_process(self, delivery: Delivery) -> None:
        # This thread runs, so the interpreter is free: the timer would only cut the report short.
        self.timer.take_back()
        words = "the loop does not answer at the deadline; all stacks follow"
        try:
            write_raw(words, delivery.request_id)
            faulthandler.dump_traceback(STDERR, all_threads=True)
            if delivery.state is not State.STREAMING:
                # (Where one has begun an /error would be refused, and its cut is the error.)
                report_invocation_error(self.address, delivery, late_held(delivery))
        finally:
            # It is claimed: nobody else can answer it, or end this.
            os._exit(1)

    def _tell_start(self) -> None:
        where = self._starting() or _line_of_main_thread()
        write_raw(f"init has taken {self.init_limit:g} s, of the ten that Lambda gives it: {where}")

    def _starting(self) -> str:
        """The path of the actor whose `init` is running, if the tree has come that far."""
        if self.root is None:
            return ""
        try:
            # Late: a start that does not take long has no need of it.
            from supervisors import Snapshot, snapshot

            node: Snapshot | None = snapshot(Ref(self.root))
        except Exception:
            # The tree changed while this thread read it: that must not keep the process alive.
            return ""
        path = ""
        while node is not None:
            path = node.path
            node = next((c for c in node.children if c.phase == "starting"), None)
        return f"{path} is still in its init"

    def _guard(self, delivery: Delivery, seconds: float) -> None:
        seconds = max(seconds, 5 * PATIENCE)
        self._guarded, self._goes_off = delivery, monotonic() + seconds
        try:
            self.timer.tick(seconds, exit=True, file=STDERR)
        except RuntimeError:
            # No thread can be started, which it needs; there will be others of its looks.
            self._guarded = None

    def _take_back(self) -> None:
        self._guarded = None
        if self._alarm is not None:
            self._alarm.ring_not()
        self.timer.take_back()

    def _sleep(self, seconds: float) -> None:
        self._looks_at = monotonic() + seconds
        self._look.wait(None if math.isinf(seconds) else max(seconds, 0.0))


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


def _line_of_main_thread() -> str:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    stack = traceback.extract_stack(frame)
    last = next((f for f in reversed(stack) if is_users(f.filename)), stack[-1])
    return f'it stands in File "{last.filename}", line {last.lineno}, in {last.name}'
