"""Interrupt a plain `def` on the main thread that is past its deadline.

The event loop does not run while such a handler runs. The watchdog's thread sends the main thread a
signal every 10 ms until the handler has returned. The signal handler raises DeadlineExceeded in the
user's code. Python also runs signal handlers out of an interrupted system call or lock, so a sleep,
a recv, a deadlock and a busy loop all end. C code that holds the interpreter does not. The kernel's
timer (`system.signal_timer`) sends the signal too, in case the watchdog has no core in time.

The rules are those of Ctrl-C and of Celery's soft time limit:

* DeadlineExceeded is a BaseException. `except Exception` does not catch it.
* Clean-up that it caused (an `except`, a `finally`, the end of a `with`) is not interrupted: half a
  rollback would harm the next event. If clean-up takes too long, the watchdog ends the process.
  Only at SIGTERM, when no event follows, is clean-up interrupted too.
* A result that the handler returns afterwards is ignored. Code that catches the exception usually
  does not expect it: `except BaseException` around each record of a batch. Lambda would take half a
  result for success, and the batch would be lost. Rejected: to look for the name DeadlineExceeded
  in the module. Lambda's own way to a partial result is `context.get_remaining_time_in_millis()`.

The process continues to serve, except in two cases in which no clean-up can help the next event.
Then the process answers the event with the error, and exits:

* A module was being imported. Python removes that module, but not the modules that it had imported,
  and C code initialises only once. pandas could not be imported again.
* An asyncio loop was running and is still open, as with Mangum. Its tasks would continue in the
  next event. (`asyncio.run` closes its loop.)

An `async def` that holds the loop is not interrupted: an exception at the wrong instruction, for
example while a nursery closes, breaks trio. The watchdog answers, and ends the process.

C code may resume a wait that a signal cut short, for its full length, before it lets Python handle
the signal: psycopg waits 0.1 s. Signals every 10 ms would keep it there for ever. Therefore at most
UNTAKEN signals are sent that Python has not handled.
"""

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import trio

from ...actors.trio_internals import sniffio
from ..errors.error_response import calls_handler
from ..errors.exceptions import DeadlineExceeded
from ..system.signal_timer import SignalTimer
from .where_it_stood import frames_of_asyncio_task

# Not SIGALRM, which user code uses, nor SIGUSR1 and SIGUSR2, which profilers and servers use. macOS
# has no real-time signals: SIGURG is harmless and hardly used. Windows has neither. It serves no
# events, but handlers are written and tested there.
SIGNAL = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else getattr(signal, "SIGURG", 0)
# More than one: a signal may arrive just before the system call that it must interrupt.
UNTAKEN = 3
# The frame that executes a module.
_IMPORT_FILE, _IMPORT_FUNCTION = "<frozen importlib._bootstrap>", "_load_unlocked"

IMPORT_INTERRUPTED = (
    "the process ends: a deadline interrupted an import, and the modules that it left behind may"
    " fail in every event"
)
LOOP_LEFT_OPEN = (
    "the process ends: a deadline interrupted an asyncio loop that is still open, and its tasks"
    " would continue in the next event"
)


class DeadlineInterrupt:
    """Handles the signal while entered. Raises only while `run` runs a plain handler.

    Attributes:
        run_count: the number of handlers that have run, the current one included.
        target_run: the run to interrupt; None for any. A sender may lose the core between its look
            at an event and its signal, and the next event may have begun.
        error_type: the class of the exception to raise.
        request_exit: called on the main thread with the reason why the process must serve no other
            event.
    """

    __slots__ = (
        "_armed", "_entered", "_in_handler", "_interrupts_cleanup", "_lock", "_loops", "_raised",
        "_timer", "_untaken", "error_type", "request_exit", "run_count", "target_run",
    )  # fmt: skip

    def __init__(self) -> None:
        self._armed = False
        self._entered = False
        self._interrupts_cleanup = False
        # Whether a signal handler is inspecting the stack.
        self._in_handler = False
        # The first error raised in the current run, and the asyncio loops that ran at each error.
        self._raised: DeadlineExceeded | None = None
        self._loops = list[Any]()
        self._timer = SignalTimer(SIGNAL)
        self._lock = threading.Lock()
        self._untaken = 0
        self.run_count = 0
        self.target_run: int | None = None
        self.error_type: type[DeadlineExceeded] = DeadlineExceeded
        self.request_exit: Callable[[str], None] = lambda why: None

    @property
    def armed(self) -> bool:
        """Whether a plain handler is running."""
        return self._armed

    @calls_handler
    def run(self, handler: Callable[[Any, Any], Any], event: Any, context: Any) -> Any:
        """Run a plain handler so that it can be interrupted.

        Raises:
            DeadlineExceeded: the handler was interrupted, even if it caught the exception.
        """
        # In a handler that calls `asyncio.run`, httpx and anyio must not detect trio.
        library, sniffio.name = sniffio.name, None
        self.run_count += 1
        try:
            self._armed = True
            try:
                result = handler(event, context)
            finally:
                # First: a signal that arrives after the handler must not interrupt the runtime.
                self._armed = False
                sniffio.name = library
            if self._raised is not None:
                # No local variable: the traceback refers to this frame.
                raise self._raised
            return result
        finally:
            if self._raised is not None:
                self._end_interrupted_run()

    def _end_interrupted_run(self) -> None:
        self._raised = None
        loops, self._loops = self._loops, []
        if not all(loop.is_closed() for loop in loops):
            self.request_exit(LOOP_LEFT_OPEN)

    def send_signal(self) -> None:
        """Signal the main thread if a plain handler runs; from any other thread."""
        if self._armed:
            self._signal_main_thread()

    def interrupt_cleanup(self) -> None:
        """Signal, and interrupt clean-up too from now on: the process is about to end."""
        self._interrupts_cleanup = True
        self.send_signal()

    def signal_in(self, seconds: float) -> None:
        """Have the kernel signal the main thread once, if a plain handler runs.

        The kernel needs no core for the thread that asks. Call it from any other thread.
        """
        with self._lock:
            if self._entered and self._armed:
                self._timer.set(seconds)

    def cancel_signal(self) -> None:
        """Cancel the signal of `signal_in`: its event is settled."""
        self._timer.cancel()

    def _signal_main_thread(self) -> None:
        # Without a handler the signal would end the process.
        with self._lock:
            if not self._entered or self._untaken >= UNTAKEN:
                return
            self._untaken += 1
            try:
                signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
            except OSError:
                # The signal queue is full. One of the pending signals suffices.
                return

    def _handle_signal(self, _: int, frame: FrameType | None) -> None:
        self._untaken = 0
        # The next signal may arrive while this one inspects a deep stack.
        if not self._armed or self._in_handler:
            return
        self._in_handler = True
        try:
            if self._is_target() and (self._interrupts_cleanup or not _is_cleaning_up()):
                raise self._make_error(frame)
        finally:
            self._in_handler = False

    def _is_target(self) -> bool:
        # At the end of the process every run is.
        return self.target_run in (None, self.run_count) or self.error_type is not DeadlineExceeded

    def _make_error(self, frame: FrameType | None) -> DeadlineExceeded:
        """Create the error to raise in a frame; note a running asyncio loop and an import."""
        error = self.error_type()
        if self._raised is None:
            self._raised = error
        else:
            # The first error says where the handler was: a later signal may find an asyncio loop
            # whose task the first one has ended.
            error.__context__ = self._raised
        loop = _running_asyncio_loop()
        if loop is not None:
            self._loops.append(loop)
            # Now: `asyncio.run` ends its task before the error is read.
            error.awaited = frames_of_asyncio_task(frame)
        if is_importing(frame):
            self.request_exit(IMPORT_INTERRUPTED)
        return error

    def after_fork_in_child(self) -> None:
        """Restore the default action: no thread of the child sends the signal."""
        self._entered = False
        signal.signal(SIGNAL, signal.SIG_DFL)

    def __enter__(self) -> None:
        signal.signal(SIGNAL, self._handle_signal)
        self._entered = True

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._entered = False
            self._timer.cancel()
            drop_signal()


def drop_signal(number: int = SIGNAL) -> None:
    """Remove the handler, and discard a pending signal: its default action ends the process."""
    signal.signal(number, signal.SIG_IGN)
    signal.signal(number, signal.SIG_DFL)


def _is_cleaning_up() -> bool:
    """Return whether the interrupted code handles a DeadlineExceeded or a Cancelled.

    A `def` that yields is interrupted by a Cancelled of the worker's scope.
    """
    error = sys.exception()
    # Bounded: user code can make the chain circular.
    for _ in range(100):
        if error is None or isinstance(error, DeadlineExceeded | trio.Cancelled):
            break
        error = error.__context__
    return isinstance(error, DeadlineExceeded | trio.Cancelled)


def is_importing(frame: FrameType | None) -> bool:
    """Return whether a frame, or one that called it, executes a module."""
    while frame is not None:
        if frame.f_code.co_name == _IMPORT_FUNCTION and frame.f_code.co_filename == _IMPORT_FILE:
            return True
        frame = frame.f_back
    return False


def _running_asyncio_loop() -> Any:
    """Return the asyncio loop that runs in this thread, if any."""
    events = sys.modules.get("asyncio.events")
    try:
        return None if events is None else events.get_running_loop()
    except RuntimeError:
        return None
