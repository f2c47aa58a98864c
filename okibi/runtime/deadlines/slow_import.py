"""Log where the user's code is when its import takes too long.

User code may fork while it is imported, or patch threading, as the official client does. Therefore
no Python thread watches the import. The kernel's timer (`system.signal_timer`) signals the main
thread, and the handler writes all stacks. C code that holds the interpreter delays the handler.
"""

import faulthandler
import math
import signal
from contextlib import suppress

from ..logs.lambda_log import STDERR, write_raw
from ..system.signal_timer import SignalTimer
from .interrupt import SIGNAL, drop_signal

# Seconds; after ten the platform restarts the init.
LIMIT = 9.0


class SlowImport:
    """Logs all stacks once if the block takes longer than the limit. Enter it on the main thread.

    Args:
        limit: seconds; infinity for never.
    """

    __slots__ = ("_limit", "_timer")

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._timer = SignalTimer(SIGNAL)

    def __enter__(self) -> None:
        if self._limit < math.inf:
            signal.signal(SIGNAL, self._log_stacks)
            self._timer.set(self._limit)

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        drop_signal()

    def _log_stacks(self, *_: object) -> None:
        # An error here must not be raised in the user's import.
        with suppress(Exception):
            write_raw(
                f"the import has taken {self._limit:g} s, of the ten that Lambda gives an init;"
                " all stacks follow"
            )
            faulthandler.dump_traceback(STDERR)
