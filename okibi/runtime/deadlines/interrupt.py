"""Interrupt a plain `def` on the main thread that is past its deadline.

The event loop does not run while such a handler does. The watchdog's thread sends the main thread a
signal every 10 ms until the handler has left. The signal's handler raises DeadlineExceeded where
the user's code stands. Python runs a signal's handler also out of an interrupted system call or
lock: a sleep, a recv and a deadlock end as a busy loop does. C code that holds the interpreter is
beyond it. The kernel's timer (`system.signal_timer`) signals too, in case the watchdog has no core
in time.

The rules are those of Ctrl-C, and of the soft time limit of Celery:

* DeadlineExceeded is a BaseException. `except Exception` does not catch it.
* Code that it has set off, an `except`, a `finally` or the end of a `with`, is not interrupted:
  half a rollback would harm the next event. Clean-up that takes too long costs the process, by the
  watchdog. Only at SIGTERM, when no event follows, is it interrupted as well.
* What the handler returns after it does not count. Most code that catches it does not know of it:
  `except BaseException` around each record of a batch. Half of an answer would be a success to
  Lambda, and the batch would be gone. Rejected: to look for the name DeadlineExceeded in the
  module; Lambda's own way to a partial answer is `context.get_remaining_time_in_millis()`.

The process serves on, but for two cases, in which no clean-up of the user's helps the next event.
The error is answered, and then the process ends:

* A module was being imported. Python takes back that one, but not those that it has imported until
  then, and C code initialises once. pandas could not be imported again.
* A loop of asyncio's was running and is still open, as Mangum's is. The tasks would go on in the
  next event. `asyncio.run` closes its loop.

An `async def` that holds the loop is not interrupted: an exception at the wrong instruction, as a
nursery closes, breaks trio. The watchdog answers, and ends the process.

C code may wait on when a signal cuts its wait short, and as long again, before it lets Python look:
psycopg's does, for a tenth of a second. Signals every 10 ms would hold it there for ever. So
signals that have not been taken are at most UNTAKEN.
"""

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, SimpleNamespace
from typing import Any

import trio

from ..errors.error_response import calls_handler
from ..errors.exceptions import DeadlineExceeded
from ..system.signal_timer import Ring
from .where_it_stood import awaited_in

# By which trio says that it runs in this thread. A trio without sniffio says it to nobody.
try:
    from sniffio import thread_local as sniffio
except ImportError:
    sniffio = SimpleNamespace(name=None)  # type: ignore[assignment]

# Not SIGALRM, which user code uses; not SIGUSR1 or SIGUSR2, which profilers and servers do. Where
# there are no real-time signals (macOS), the one that nobody takes and that does no harm. Windows
# has neither, and serves nobody; but handlers are written and tested there.
SIGNAL = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else getattr(signal, "SIGURG", 0)
# More than one: a signal may come just before the call that it is to cut short.
UNTAKEN = 3
# Whose frame says that a module is being made.
_IMPORTS, _LOADS = "<frozen importlib._bootstrap>", "_load_unlocked"

IMPORT_CUT = "a deadline has cut an import short: what it has left may fail in each event"
LOOP_LEFT = (
    "a deadline has cut a run of an asyncio loop short: its tasks would go on in the next event"
)


class Alarm:
    """Takes the signal while it is entered, and raises while a plain handler runs."""

    __slots__ = (
        "_armed", "_cleans_too", "_entered", "_lock", "_looks", "_loops", "_raised", "_ring",
        "_untaken", "meant", "raises", "runs", "spoiled",
    )  # fmt: skip

    def __init__(self) -> None:
        self._armed = False
        self._entered = False
        # Whether clean-up is interrupted, too.
        self._cleans_too = False
        # A signal's handler is looking at the stack.
        self._looks = False
        # The first that was raised in the handler which runs, and the loops that ran then.
        self._raised: DeadlineExceeded | None = None
        self._loops = list[Any]()
        self._ring = Ring(SIGNAL)
        self._lock = threading.Lock()
        self._untaken = 0
        # How many have run, and which of them is meant; None for whichever it is. Who signals may
        # lose the core between its look at an event and the signal, and the next event be there.
        self.runs = 0
        self.meant: int | None = None
        self.raises: type[DeadlineExceeded] = DeadlineExceeded
        # Called on the main thread with the reason why the process is to serve no other event.
        self.spoiled: Callable[[str], None] = lambda why: None

    @property
    def armed(self) -> bool:
        """Whether a plain handler runs."""
        return self._armed

    @calls_handler
    def run(self, handler: Callable[[Any, Any], Any], event: Any, context: Any) -> Any:
        """Run a plain handler that can be interrupted.

        Raises:
            DeadlineExceeded: it was, whether it has let that out or not.
        """
        # A handler that calls `asyncio.run` must not be told that it is on trio: httpx and anyio
        # would believe it.
        library, sniffio.name = sniffio.name, None
        self.runs += 1
        try:
            self._armed = True
            try:
                result = handler(event, context)
            finally:
                # First: a signal that comes when the handler has left must not hit the runtime.
                self._armed = False
                sniffio.name = library
            if self._raised is not None:
                # Without a name: its traceback holds this frame.
                raise self._raised
            return result
        finally:
            if self._raised is not None:
                self._forget()

    def _forget(self) -> None:
        self._raised = None
        loops, self._loops = self._loops, []
        if not all(loop.is_closed() for loop in loops):
            self.spoiled(LOOP_LEFT)

    def send(self) -> None:
        """Signal the main thread, from any other, if a plain handler runs; clean-up is let be."""
        if self._armed:
            self._signal()

    def interrupt(self) -> None:
        """The same, and clean-up is interrupted from now on: the process is to end."""
        self._cleans_too = True
        self.send()

    def ring_in(self, seconds: float) -> None:
        """Have the kernel signal the main thread once, from any other, if a plain handler runs:
        whoever watches may not have a core by then.
        """
        with self._lock:
            if self._entered and self._armed:
                self._ring.set(seconds)

    def ring_not(self) -> None:
        """What it was to ring for has its answer."""
        self._ring.take_back()

    def _signal(self) -> None:
        # Where nobody takes it, the signal would end the process.
        with self._lock:
            if not self._entered or self._untaken >= UNTAKEN:
                return
            self._untaken += 1
            try:
                signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
            except OSError:
                # Too many wait already: one of them will do.
                return

    def _take(self, _: int, frame: FrameType | None) -> None:
        self._untaken = 0
        # The next one may come while this one looks at a deep stack.
        if not self._armed or self._looks:
            return
        self._looks = True
        try:
            if self._is_meant() and (self._cleans_too or not _is_cleaning_up()):
                raise self._error_at(frame)
        finally:
            self._looks = False

    def _is_meant(self) -> bool:
        # At the end of the process each of them is.
        return self.meant in (None, self.runs) or self.raises is not DeadlineExceeded

    def _error_at(self, frame: FrameType | None) -> DeadlineExceeded:
        """What is raised in a frame; its loop and its import are noted."""
        error = self.raises()
        if self._raised is None:
            self._raised = error
        loop = _running_loop()
        if loop is not None:
            self._loops.append(loop)
            # Now: `asyncio.run` ends its task before anybody asks.
            error.awaited = awaited_in(frame)
        if _is_importing(frame):
            self.spoiled(IMPORT_CUT)
        return error

    def forked(self) -> None:
        """In a child of this process nobody sends the signal."""
        self._entered = False
        signal.signal(SIGNAL, signal.SIG_DFL)

    def __enter__(self) -> None:
        signal.signal(SIGNAL, self._take)
        self._entered = True

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._entered = False
            self._ring.take_back()
            drop_signal()


def drop_signal(number: int = SIGNAL) -> None:
    """Have nobody take the signal any more, nor the process end by one that is on its way."""
    signal.signal(number, signal.SIG_IGN)
    signal.signal(number, signal.SIG_DFL)


def _is_cleaning_up() -> bool:
    """Whether the code that was interrupted is what a DeadlineExceeded has set off; or what the
    worker's scope has, of a `def` that yields.
    """
    error = sys.exception()
    # A circle of the user's making would have no end.
    for _ in range(100):
        if error is None or isinstance(error, DeadlineExceeded | trio.Cancelled):
            break
        error = error.__context__
    return isinstance(error, DeadlineExceeded | trio.Cancelled)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_name == _LOADS and frame.f_code.co_filename == _IMPORTS:
            return True
        frame = frame.f_back
    return False


def _running_loop() -> Any:
    """The loop of asyncio's that runs in this thread, if any."""
    events = sys.modules.get("asyncio.events")
    try:
        return None if events is None else events.get_running_loop()
    except RuntimeError:
        return None
