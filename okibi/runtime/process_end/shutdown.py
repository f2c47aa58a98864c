"""The end of the process.

The platform leaves 300 ms between SIGTERM and SIGKILL. In seconds since the signal:

    0        no lane asks for another event. Events in flight continue, and an event that is half
             read may arrive completely
    DRAIN    events still in flight are interrupted and answered with an error. Without events in
             flight this step comes at once. The tree is stopped in reverse
    HASTE    every actor that was not asked to stop yet is asked now: each `terminate` matters more
             than their order
    LIMIT    once no actor ends any more, the remaining ones are killed and logged. A machine short
             of processor time costs no actor its `terminate`

A child's `shutdown` time is meant for a restart. At the end of the process it counts only within
these limits. A second signal ends the process at once. A SIGTERM handler that the user's code had
set (`signal.signal`) runs last, outside trio.

Python handles a signal between two instructions or out of an interrupted system call. A signal that
arrives in the few microseconds before a plain handler begins a system call is handled when the call
ends. (Rejected: to let another thread take the signal. The main thread would have to block it, and
so would every process that the handler starts, which then could not be terminated.)

An end caused by a failure has nothing to drain, and may take as long as Lambda's shutdown phase. If
the root supervisor gives up, the end begins before any child is stopped, so that no lane asks for
another event, and no handler can delay the end.

Nothing is started on the way to the end: without memory no thread starts, and `Thread.start` would
wait for it for ever. The watchdog's thread interrupts handlers, and the kernel's timer enforces the
last limit (`exit_within`).
"""

import atexit
import math
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic, sleep
from types import FrameType
from typing import Any

import trio

from ...actors import logs
from ...actors.life import Phase
from ...actors.process import Process
from ...supervisors import Supervisor, SupervisorSpec
from ...supervisors.parent import Parent
from ..deadlines.interrupt import DeadlineInterrupt
from ..deadlines.kill_timer import AGAIN, KillTimer
from ..deadlines.kill_timer import SIGNAL as KILLS
from ..errors.error_response import RECYCLED_PROCESSES
from ..errors.exceptions import ProcessStopped
from ..in_flight.lane import Lane
from ..logs.lambda_log import write_counts_at_exit, write_raw
from ..system.signal_timer import SignalTimer
from ..system.unlisted_thread import start_unlisted_thread

logger = logs.logger("okibi")

DRAIN = 0.06
HASTE = 0.18
LIMIT = 0.22
# Seconds from the decision to end until the process exits in any case: the longest that Lambda's
# shutdown phase allows. A shielded handler or a user's thread could hold the process for ever.
STOP_LIMIT = 2.0
FAILED_HASTE, FAILED_LIMIT = 1.0, 1.5
# Seconds between two looks at the tree. Two looks without a change mean that no actor ends any
# more: before the first, this process may have had no core.
STALLED_FOR = 0.01
DRAIN_POLL = 0.002
INTERRUPT_EVERY = 0.01
# Seconds that an interrupted handler has for clean-up, such as a `finally`.
CLEAN_UP = 0.06

# Seconds after the limit for the main thread to handle the exit signal on a busy machine. Killed
# instead, the process would lose its exit code.
EXIT_SIGNAL_TIME = 0.5
# Next to the signal of `kill_timer`.
SIGNAL = KILLS and KILLS + 1

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Shutdown:
    """Ends the process: on a signal, after a failure, or with the tree. Handles signals if entered.

    Args:
        lanes: the lanes of the process.
        interrupt: interrupts a plain handler on the main thread.
        run_in_thread: runs a function in a thread that exists already.

    Attributes:
        code: the exit code; None until the end has begun.
        root: the root of the tree, set once it has been spawned.
    """

    def __init__(
        self,
        lanes: list[Lane],
        interrupt: DeadlineInterrupt,
        run_in_thread: Callable[[Callable[[], None]], None] = lambda _: None,
    ) -> None:
        self.code: int | None = None
        self.root: Process | None = None
        self._lanes = lanes
        self._interrupt = interrupt
        self._run_in_thread = run_in_thread
        interrupt.request_exit = self.end_after_answer
        self._requested = trio.Event()
        self._began = 0.0
        self._exited = False
        self._previous: dict[signal.Signals, Any] = {}
        self._received: signal.Signals | None = None
        self._token = trio.lowlevel.current_trio_token()

    def fail(self, why: str) -> None:
        """End with exit code 1 and log why."""
        self.begin(1)
        logger.critical("%s", why)

    def begin(self, code: int) -> None:
        """Begin to end. Of several codes the highest becomes the exit code."""
        # Code 1: if the limit is reached, an event in flight was not answered.
        exit_within(STOP_LIMIT, 1)
        if code and not self.code:
            logs.count(RECYCLED_PROCESSES)
        if self.code is None:
            self._began = trio.current_time()
        self.code = max(code, self.code or 0)
        for lane in self._lanes:
            lane.stop_asking()
        self._requested.set()

    def end_after_answer(self, why: str) -> None:
        """End with a failure after the event in flight. A signal handler may call this."""
        if self._lanes[0].closing:
            return
        for lane in self._lanes:
            lane.stop_asking()
        self._token.run_sync_soon(self.fail, why)

    async def run(self) -> None:
        """Wait for the end to begin, then stop the tree."""
        await self._requested.wait()
        await self._drain()
        root = self.root
        assert root is not None
        haste, limit = (FAILED_HASTE, FAILED_LIMIT) if self.code else (HASTE, LIMIT)
        root.stop()
        with trio.move_on_at(self._began + haste):
            await root.wait_dead()
        for_each_process(root, Process.stop)
        with trio.move_on_at(self._began + limit):
            await root.wait_dead()
        await _wait_stalled(root)
        for_each_process(root, _kill_if_childless)

    async def _drain(self) -> None:
        until = self._began + DRAIN
        # Polled: a notification would cost every event.
        while not self.code and trio.current_time() < until and self._in_flight():  # noqa: ASYNC110
            await trio.sleep(DRAIN_POLL)

    def _in_flight(self) -> bool:
        return any(lane.delivery is not None or lane.half_read for lane in self._lanes)

    def after_fork_in_child(self) -> None:
        """Restore the previous signal handlers that user code has not replaced since."""
        for number, before in self._previous.items():
            if signal.getsignal(number) == self._handle_signal:
                signal.signal(number, before)

    def users_sigterm_handler(self) -> Callable[[], object] | None:
        """Return the SIGTERM handler that user code had set, to be called last.

        None if SIGTERM did not arrive or had no handler. SIGINT is left out: its handler may be
        trio's.
        """
        before = self._previous.get(signal.SIGTERM)
        if self._received is not signal.SIGTERM or not callable(before):
            return None
        return partial(before, signal.SIGTERM, None)

    # -- signals, handled by `signal.signal`: trio's own receiver would wait for a loop that may be
    # -- held

    def __enter__(self) -> None:
        # Now, while there is memory.
        _exit_timer.create()
        _kill_timer.create()
        for number in SIGNALS:
            # None: C code set the handler, and Python cannot restore it.
            self._previous[number] = signal.signal(number, self._handle_signal) or signal.SIG_DFL

    def __exit__(self, *_: object) -> None:
        for number, before in self._previous.items():
            signal.signal(number, before)
        self._exited = True

    def _handle_signal(self, number: int, _: FrameType | None) -> None:
        if self._received is not None:
            write_raw(f"{signal.Signals(number).name} arrived again: the process exits at once")
            write_counts_at_exit()
            os._exit(128 + number)
        self._received = signal.Signals(number)
        for lane in self._lanes:
            # Before the loop learns of the signal: a response sent meanwhile must not ask for
            # another event.
            lane.stop_asking()
        self._token.run_sync_soon(self._begin_for_signal, number)
        # `begin` sets it again. A handler may hold the loop so that `begin` never runs.
        exit_within(STOP_LIMIT, 1)
        # Even if no handler runs: one may begin before the loop learns of it.
        self._run_in_thread(self._interrupt_handlers)

    def _begin_for_signal(self, number: int) -> None:
        self.begin(0)
        logger.info("%s: stopping", signal.Signals(number).name)

    def _interrupt_handlers(self) -> None:
        """Interrupt plain handlers on the main thread after DRAIN seconds."""
        sleep(DRAIN)
        until = math.inf
        # Repeatedly: a plain `def` that yields holds the main thread again at each step.
        while not self._exited:
            if self._interrupt.armed:
                self._interrupt.error_type = ProcessStopped
                until = min(until, monotonic() + CLEAN_UP)
                if monotonic() < until:
                    self._interrupt.send_signal()
                else:
                    self._interrupt.interrupt_cleanup()
            sleep(INTERRUPT_EVERY)


class RootSupervisor(Supervisor):
    """The root of the tree. Its failure ends the process.

    Args:
        flags: the spec of the tree.
        shutdown: begun when the root fails.
    """

    def __init__(self, flags: SupervisorSpec, shutdown: Shutdown) -> None:
        super().__init__(flags)
        self._shutdown = shutdown

    async def run(self) -> None:
        try:
            await super().run()
        except Exception:
            self._shutdown.begin(1)
            raise


def exit_within(seconds: float, code: int) -> None:
    """Exit the process after a time limit, if it still runs. Call it on the main thread.

    A second call changes the code only, not the time.

    The kernel's timer signals the main thread, whose handler logs and exits with the code. The
    signal repeats until it is handled: the interrupt or a user's signal handler may raise at the
    start of the handler. If C code holds the main thread, the process is killed EXIT_SIGNAL_TIME
    later. Without such a timer, as on macOS, a thread waits instead, and C code can hold the end.

    Args:
        seconds: the limit in seconds.
        code: the exit code.
    """
    first = not _code
    _code[:] = [code]
    if _exit_timer.create() and _kill_timer.create():
        # User code may block all signals for a thread that waits in sigwait.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (SIGNAL, KILLS))
        if first:
            signal.signal(SIGNAL, partial(_exit, seconds))
            _kill_timer.set(seconds + EXIT_SIGNAL_TIME)
            _exit_timer.set(seconds)
    elif first:
        # Without memory no thread starts. The platform ends the process then.
        with suppress(RuntimeError, MemoryError):
            start_unlisted_thread(partial(_exit_later, seconds))


@atexit.register
def _limit_finalisation() -> None:
    """Limit the interpreter's finalisation, which begins after this function.

    Finalisation removes signal handlers, and the exit signal would kill the process without its
    exit code. Therefore finalisation has its own STOP_LIMIT, and only exceeding that costs the exit
    code.
    """
    if _code:
        _exit_timer.cancel()
        if _kill_timer.created:
            _kill_timer.set(STOP_LIMIT)


def _exit_later(seconds: float) -> None:
    sleep(seconds)
    _exit(seconds)


def _exit(seconds: float, *_: object) -> None:
    try:
        _exit_timer.cancel()
        write_raw(f"the process has not ended within {seconds:g} s: exiting now")
        write_counts_at_exit()
    finally:
        os._exit(_code[0])


_code: list[int] = []
_exit_timer, _kill_timer = SignalTimer(SIGNAL, AGAIN), KillTimer()


def for_each_process(process: Process, do: Callable[[Process], None]) -> None:
    """Apply a function to each live process: a supervisor before its children, in reverse.

    In this order a supervisor that is asked to stop restarts none of its children.
    """
    if process.life.phase is Phase.DEAD:
        return
    do(process)
    if isinstance(process.actor, Parent):
        for place in reversed(process.actor.places):
            if place.process is not None:
                for_each_process(place.process, do)


async def _wait_stalled(root: Process) -> None:
    """Wait until no process of the tree ends any more."""
    count = math.inf
    unchanged = 0
    while unchanged < 2 and count > 0:
        living = list[Process]()
        for_each_process(root, living.append)
        unchanged = unchanged + 1 if len(living) == count else 0
        count = len(living)
        with trio.move_on_after(STALLED_FOR):
            await root.wait_dead()


def _kill_if_childless(process: Process) -> None:
    # A supervisor ends after its children, and reports the killed ones. A crash report for each
    # child would take 0.5 ms.
    if not isinstance(process.actor, Parent):
        process.life.report_elsewhere()
        process.kill()
