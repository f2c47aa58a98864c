"""Tells where the user's code stands when to import it takes too long.

While it is imported it may fork, or replace what threads are made of, as in the official client: no
thread of Python's looks at it. The kernel's own timer signals the main thread (room `ring`), which
writes down all stacks between two of its instructions. C code that holds it does not come to that.
For it a second timer rings PATIENCE seconds later, whose signal goes to faulthandler: its handler
is in C, and writes the stack of the thread that it interrupts. (Of all threads it would read frames
that others run on: 5 % of such processes crashed on Python 3.11.)
"""

import faulthandler
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
from .kill_timer import SIGNAL as DUMP
from .logs import STDERR, write_raw
from .ring import Ring

# Seconds that the main thread has to take the signal, which on a part of a core takes some turns.
PATIENCE = 0.25
# As many of a thread as faulthandler tells.
FRAMES = 100


class SlowImport:
    """Tells of one import, once.

    Args:
        limit: seconds of the process's life after which it tells; infinity for never.
        tells_at: when that is, by the monotonic clock.
    """

    __slots__ = ("_dump", "_limit", "_ring", "_tells_at")

    def __init__(self, limit: float, tells_at: float) -> None:
        self._limit = limit
        self._tells_at = tells_at
        self._ring, self._dump = Ring(SIGNAL), Ring(DUMP)

    def begin(self) -> None:
        """The import begins, on the main thread."""
        left = self._left()
        if 0 < left < math.inf:
            signal.signal(SIGNAL, self._tell)
            self._ring.set(left)
            if self._ring.made:
                faulthandler.register(DUMP, file=STDERR, all_threads=False)
                self._dump.set(left + PATIENCE)

    def end(self) -> None:
        """The import has ended, or failed."""
        self._ring.take_back()
        drop_signal()
        if self._dump.made:
            self._dump.take_back()
            drop_signal(DUMP)
            faulthandler.unregister(DUMP)

    def _tell(self, _: int, frame: FrameType | None) -> None:
        try:
            if self._left() <= -PATIENCE:
                # C code has held the thread, and it is told of.
                return
            text = "\n".join(stacks(frame))
            self._dump.take_back()
            write_raw(
                f"the import has taken {self._limit:g} s, of the ten that Lambda gives an init;"
                " all stacks follow",
                behind=text,
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


def stacks(frame: FrameType | None = None) -> Iterator[str]:
    """The lines of all threads' stacks, as faulthandler writes them; the main thread's last.

    Args:
        frame: where the main thread stands; None for where it is found.
    """
    main = threading.main_thread().ident or 0
    frames = sys._current_frames()
    stands = frame or frames.get(main)
    for ident, each in frames.items():
        if ident != main:
            yield from _stack(f"Thread 0x{ident:016x}", each)
            yield ""
    name = "Current thread" if threading.get_ident() == main else "Thread"
    yield from _stack(f"{name} 0x{main:016x}", stands)
    yield ""


def _stack(name: str, frame: FrameType | None) -> Iterator[str]:
    yield f"{name} (most recent call first):"
    for each, line in islice(traceback.walk_stack(frame), FRAMES):
        yield f'  File "{each.f_code.co_filename}", line {line} in {each.f_code.co_name}'
