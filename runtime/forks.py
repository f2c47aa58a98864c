"""What a child of this process finds, if a handler forks (`os.fork`, multiprocessing).

The lanes are its parent's, and so are the signals that okibi takes: in the child they do what they
would do without okibi. A parent may end it at once, as multiprocessing's `terminate` does. A signal
that came before the child has given them back would be okibi's, and lost; so they wait meanwhile.
Other threads may have been in the middle of a line of the log: its streams have other locks there.

A handler on the loop's thread forks in the middle of one task's step. The child has a copy of the
loop, and of whatever else runs on it: other events, the pollers on their parent's connections. So
the child goes on to the end of that step, which is enough for os.exec, os._exit, multiprocessing,
and for a plain `def` to return. If it gets back to the loop, it ends and says why.
"""

import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn, Protocol

import trio
from trio.abc import Instrument
from trio.lowlevel import Task

from actors.trio_internals import epoll

from . import logs
from .delivery import Delivery
from .ending import SIGNALS
from .failure import is_users
from .lane import Lane
from .transport import SocketTransport, end_as_answered

BACK_ON_LOOP = (
    "okibi: a child process, forked in {}, has come back to the event loop, which is its parent's, "
    "and ends. Use subprocess, multiprocessing in a plain `def`, or end the child by os._exit or "
    "os.exec."
)


class Forked(Protocol):
    """Who has something to give up in a child of this process."""

    def forked(self) -> None: ...


class Forks:
    """Sees to the children of this process, from when it is made.

    Args:
        lanes: which no child may speak on.
        others: who is told in a child, in this order; more may follow.
    """

    def __init__(self, lanes: Sequence[Lane], *others: Forked) -> None:
        self._lanes = lanes
        self.others = list(others)
        # Of the thread that forks.
        self._own = threading.local()
        self._loop = threading.get_ident()
        os.register_at_fork(
            before=self._before, after_in_parent=self._after, after_in_child=self._in_child
        )

    def _before(self) -> None:
        self._own.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

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
            if threading.get_ident() == self._loop and trio.lowlevel.in_trio_task():
                _leave_epoll()
                deliveries = [lane.delivery for lane in self._lanes]
                unsettled = [each for each in deliveries if each is not None and each.unsettled]
                trio.lowlevel.add_instrument(_EndOfStep(unsettled, forked_in()))
        finally:
            self._after()


class _EndOfStep(Instrument):
    """Ends the child with the step that has forked it.

    Args:
        deliveries: of which one may be what the step answers.
        forked_in: where it was forked.
    """

    def __init__(self, deliveries: Sequence[Delivery], forked_in: str) -> None:
        self._deliveries = deliveries
        self._forked_in = forked_in

    def after_task_step(self, task: Task) -> None:
        try:
            for delivery in self._deliveries:
                outcome = delivery.outcome
                if outcome is not None:
                    end_as_answered(outcome.body, outcome.error_type is not None)
            end_on_loop(self._forked_in)
        finally:
            # trio would go on after what a stream of the user's raises.
            os._exit(1)


def _leave_epoll() -> None:
    """Put an epoll of the child's in the place of the one that it shares with its parent: what its
    step still waits for is not to change what its parent waits for.
    """
    shared = epoll()
    # No descriptor may be left.
    with suppress(OSError):
        if shared is not None:
            with select.epoll() as own:
                os.dup2(own.fileno(), shared.fileno(), inheritable=False)


def forked_in() -> str:
    """Where this process forks, in words."""
    frame = sys._getframe()
    while frame.f_back is not None and not is_users(frame.f_code.co_filename):
        frame = frame.f_back
    return f'File "{frame.f_code.co_filename}", line {frame.f_lineno}, in {frame.f_code.co_name}'


def end_on_loop(forked_in: str) -> NoReturn:
    """End a child that has come back to its parent's loop, and say why.

    Args:
        forked_in: where it was forked.
    """
    try:
        print(BACK_ON_LOOP.format(forked_in), file=sys.stderr, flush=True)
    finally:
        os._exit(1)


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
