"""Tell where the user's code stands when its import takes too long.

User code may fork while it is imported, or replace what threads are made of, as in the official
client: no thread of Python's looks at it. The kernel's own timer (`system.signal_timer`) signals
the main thread, which writes down all stacks between two of its instructions. C code that holds the
interpreter is told of once it lets go.
"""

import faulthandler
import math
import signal
from contextlib import suppress

from ..system.signal_timer import Ring
from ..telemetry.logs import STDERR, write_raw
from .interrupt import SIGNAL, drop_signal

# Of the ten seconds that the platform allows an init before it begins another.
LIMIT = 9.0


class SlowImport:
    """Tells of one import, once: entered on the main thread while that imports.

    Args:
        limit: seconds after which it tells; infinity for never.
    """

    __slots__ = ("_limit", "_ring")

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._ring = Ring(SIGNAL)

    def __enter__(self) -> None:
        if self._limit < math.inf:
            signal.signal(SIGNAL, self._tell)
            self._ring.set(self._limit)

    def __exit__(self, *_: object) -> None:
        self._ring.take_back()
        drop_signal()

    def _tell(self, *_: object) -> None:
        # Whatever goes wrong here is not to be raised in the user's import.
        with suppress(Exception):
            write_raw(
                f"the import has taken {self._limit:g} s, of the ten that Lambda gives an init;"
                " all stacks follow"
            )
            faulthandler.dump_traceback(STDERR)
