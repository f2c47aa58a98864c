"""What a child of this process finds, if a handler forks (`os.fork`, multiprocessing).

The lanes are its parent's, and so are the signals that okibi takes: in the child they do what they
would do without okibi. A parent may end it at once, as multiprocessing's `terminate` does. A signal
that came before the child has given them back would be okibi's, and lost; so they wait meanwhile.
Other threads may have been in the middle of a line of the log: its streams have other locks there.

An `async def` forks in the middle of the loop, of which the child has a copy: what has forked goes
on there, alone (room `child`), and reads no lane, else it would take its parent's events.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn, Protocol

import trio

from . import logs
from .ending import SIGNALS
from .lane import Lane
from .transport import SocketTransport


class Forked(Protocol):
    """Who has something to give up in a child of this process."""

    def forked(self) -> None: ...


class Forks:
    """Sees to the children of this process, from when it is made.

    Args:
        lanes: which no child may speak on.
        others: who is told in a child, in this order; more may follow.
        on_loop: gives what is called in a child that a task of trio's has forked, once all else is
            given up; asked before each fork.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        *others: Forked,
        on_loop: Callable[[], Callable[[Sequence[Lane]], None]] = lambda: lambda _: None,
    ) -> None:
        self._lanes = lanes
        self._on_loop = on_loop
        self.others = list(others)
        # What is called before each fork, where it is about to be.
        self.before = list[Callable[[], None]]()
        # Of the thread that forks.
        self._own = threading.local()
        self._loop = threading.get_ident()
        os.register_at_fork(
            before=self._before, after_in_parent=self._after, after_in_child=self._in_child
        )

    def _before(self) -> None:
        self._own.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for act in self.before:
            act()
        on_loop = threading.get_ident() == self._loop and trio.lowlevel.in_trio_task()
        try:
            self._own.goes_on = self._on_loop() if on_loop else None
        except OSError as error:
            # No descriptor is left to import by. On its parent's loop it must not go on.
            self._own.goes_on = partial(_end_at_once, error)

    def _after(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._own.mask)

    def _in_child(self) -> None:
        # First the loop's pipe, by which a signal of the child's would wake its parent.
        try:
            signal.set_wakeup_fd(-1)
            logs.forked()
            for each in self.others:
                each.forked()
            for lane in self._lanes:
                lane.outbox.clear()
                if isinstance(lane.transport, SocketTransport):
                    lane.transport = lane.transport.forked()
            if self._own.goes_on is not None:
                self._own.goes_on(self._lanes)
        finally:
            self._after()


def _end_at_once(error: OSError, _: Sequence[Lane]) -> None:
    end_child(error)


def end_child(error: BaseException | None) -> NoReturn:
    """End a child that is through with what has forked it: the answer is its parent's.

    Its exit code is that of a program that ends so. It ends at once, without `atexit`.

    Args:
        error: what it raised; None if it has returned.
    """
    code: object = 1
    try:
        code = error.code if isinstance(error, SystemExit) else error and 1
        if isinstance(error, Exception):
            traceback.print_exception(error)
        elif not isinstance(code, int | None):
            print(code, file=sys.stderr)
        logs.flush()
    finally:
        # Whatever stands in the place of the standard streams raises.
        os._exit((code or 0) & 255 if isinstance(code, int | None) else 1)
