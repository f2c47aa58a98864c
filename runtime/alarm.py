"""The signal that ends a plain `def` handler on the main thread at its deadline.

Nothing else reaches it there: the loop does not run while the handler does. The watchdog sends
the signal again and again until the handler is gone, and the handler's frame gets
DeadlineExceeded, a BaseException, so `except Exception: pass` does not hold it. Python runs a
signal's handler also out of an interrupted system call or lock, so a sleep, a recv and a
deadlock end as a busy loop does. C code that holds the interpreter is beyond it.
"""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from sniffio import thread_local as sniffio  # what trio tells its library's name by

from .failure import DeadlineExceeded

# Not SIGALRM, which user code uses; not SIGUSR1 or SIGUSR2, which profilers and servers do. Where
# there are no real-time signals (macOS), the one that nobody takes and that does no harm.
SIGNAL = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else signal.SIGURG


class Alarm:
    """Takes the signal while it is entered, and raises while a handler runs."""

    __slots__ = ("_armed", "raises")

    def __init__(self) -> None:
        self._armed = False
        self.raises: type[DeadlineExceeded] = DeadlineExceeded

    @property
    def armed(self) -> bool:
        """Whether a handler runs that it can end."""
        return self._armed

    def run(self, handler: Callable[[Any, Any], Any], event: Any, context: Any) -> Any:
        """Run a plain handler that can be ended.

        Raises:
            DeadlineExceeded: it was.
        """
        # A handler that calls `asyncio.run` must not be told that it is on trio: httpx and anyio
        # would believe it.
        library, sniffio.name = sniffio.name, None
        self._armed = True
        try:
            return handler(event, context)
        finally:
            self._armed = False
            sniffio.name = library

    def send(self) -> None:
        """Signal the main thread, from any other; does nothing unless a handler runs."""
        if self._armed:
            try:
                signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
            except OSError:
                # Too many wait already: one of them will do.
                return

    def _raise(self, _: int, __: FrameType | None) -> None:
        # One that comes when the handler has just returned must not hit the runtime.
        if self._armed:
            raise self.raises

    def __enter__(self) -> None:
        signal.signal(SIGNAL, self._raise)

    def __exit__(self, *_: object) -> None:
        signal.signal(SIGNAL, signal.SIG_DFL)
