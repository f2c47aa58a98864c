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
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import trio

from ...actors.trio_internals import epoll
from ..in_flight.lane import Lane
from ..protocol.transport import SocketTransport
from ..telemetry import logs
from .forked_child import EndOfStep, ForkedTransport, forked_in
from .shutdown import SIGNALS


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
                    lane.transport = ForkedTransport(lane.transport.connected)
            if threading.get_ident() == self._loop and trio.lowlevel.in_trio_task():
                _leave_epoll()
                deliveries = [lane.delivery for lane in self._lanes]
                unsettled = [each for each in deliveries if each is not None and each.unsettled]
                trio.lowlevel.add_instrument(EndOfStep(unsettled, forked_in()))
        finally:
            self._after()


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
