"""Tells where the user's code stands when to import it takes too long.

While it is imported it may fork, or replace what threads are made of, as in the official client: no
thread of Python's looks at it. The kernel's own timer signals the main thread (room `ring`), which
writes down all stacks between two of its instructions. C code that holds it does not come to that:
for it faulthandler's timer stands behind, which is no thread of Python's either, and is taken back
for the moment of a fork.

It reads the stacks while the interpreter goes on, which is sound of who stands still in C code. Of
who runs Python the process may crash by it: a frame that it reads is gone in the next moment. When
it alone told of imports in pure Python, 5 % of them ended in a segmentation fault on 3.11, and 15 %
on 3.13.5. (CPython looks more closely from 3.13.10 and 3.14.1 on.)
"""

import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import monotonic
from types import FrameType

from .alarm import SIGNAL, drop_signal
from .dump_timer import DumpTimer
from .logs import STDERR, write_raw
from .ring import Ring

# Seconds that the main thread has to take the signal, which on a part of a core takes some turns.
PATIENCE = 0.25
# As many of a thread as faulthandler tells.
FRAMES = 100


class SlowImport:
    """Tells of one import, once.

    Args:
        timer: faulthandler's.
        limit: seconds of the process's life after which it tells; infinity for never.
        tells_at: when that is, by the monotonic clock.
    """

    __slots__ = ("_limit", "_ring", "_tells_at", "_timer")

    def __init__(self, timer: DumpTimer, limit: float, tells_at: float) -> None:
        self._timer = timer
        self._limit = limit
        self._tells_at = tells_at
        self._ring = Ring(SIGNAL)

    def begin(self) -> None:
        """The import begins, on the main thread."""
        left = self._left()
        if 0 < left < math.inf:
            signal.signal(SIGNAL, self._tell)
            self._ring.set(left)
            self.go_on()

    def go_on(self) -> None:
        """It has forked. What the kernel is to do was not stopped by that."""
        self._timer.go_on()
        left = self._left()
        if 0 < left < math.inf:
            self._timer.tick(left + PATIENCE, file=STDERR)

    def end(self) -> None:
        """The import has ended, or failed."""
        self._ring.take_back()
        self._timer.take_back()
        drop_signal()

    def _tell(self, _: int, frame: FrameType | None) -> None:
        try:
            if self._left() <= -PATIENCE:
                # C code has held the thread, and it is told of.
                return
            stacks = "\n".join(_stacks(frame))
            self._timer.take_back()
            write_raw(
                f"the import has taken {self._limit:g} s, of the ten that Lambda gives an init;"
                " all stacks follow",
                behind=stacks,
            )
        except RecursionError:
            # It stands as deep as Python lets it, and has a right to. faulthandler tells of it.
            return

    def _left(self) -> float:
        return self._tells_at - monotonic()


def began(at_most: float) -> float:
    """When this process began, by the monotonic clock: the platform counts an init from there, and
    on a part of a core it takes a second and more until the watchdog is made.

    Now, where the system does not tell, or tells of more seconds ago than at most: such a process
    was another program before.
    """
    try:
        # proc(5): in ticks of the clock that a suspended machine does not stop.
        ticks = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        age = 0.0
    return monotonic() - (age if 0 < age < at_most else 0.0)


def _stacks(frame: FrameType | None) -> Iterator[str]:
    """Of all threads, as faulthandler writes them; of this one from a frame outwards."""
    main = threading.main_thread().ident or 0
    for ident, each in sys._current_frames().items():
        if ident != main:
            yield from _stack(f"Thread 0x{ident:016x}", each)
            yield ""
    yield from _stack(f"Current thread 0x{main:016x}", frame)
    yield ""


def _stack(name: str, frame: FrameType | None) -> Iterator[str]:
    yield f"{name} (most recent call first):"
    for each, line in islice(traceback.walk_stack(frame), FRAMES):
        yield f'  File "{each.f_code.co_filename}", line {line} in {each.f_code.co_name}'
