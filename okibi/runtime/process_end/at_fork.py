"""Make a forked child safe, if a handler forks (`os.fork`, multiprocessing).

The connections belong to the parent, and so do the signal handlers of okibi: the child restores the
actions that were set before. A parent may terminate the child at once, as multiprocessing does. A
signal that reached okibi's handler in the child would be lost, so signals are blocked until the
handlers are restored. Another thread may have held a lock of the log's streams: the child replaces
the streams' locks.

A handler on the loop's thread forks in the middle of a task's step. The child has a copy of the
loop and of all its tasks: other events, the pollers on the parent's connections. The child runs
until the end of that step, which is enough for os.exec, os._exit, multiprocessing, and for a plain
`def` to return. If the child returns to the loop, it exits and says why.
"""

import os
import select
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import trio

from ...actors.trio_internals import epoll
from ..in_flight.lane import Lane
from ..logs import lambda_log as logs
from .shutdown import SIGNALS

if TYPE_CHECKING:

    class ForkAware(Protocol):
        """Something that a forked child must release or reset."""

        def after_fork_in_child(self) -> None: ...


class ForkGuard:
    """Makes every child safe that the process forks after this is created.

    Args:
        lanes: the lanes, whose connections no child may use.
        others: reset in the child, in this order; more may be appended.
    """

    def __init__(self, lanes: Sequence[Lane], *others: "ForkAware") -> None:
        self._lanes = lanes
        self.others = list(others)
        self._forking_thread = threading.local()
        self._loop_thread = threading.get_ident()
        os.register_at_fork(
            before=self._block_signals,
            after_in_parent=self._restore_mask,
            after_in_child=self._reset_child,
        )

    def _block_signals(self) -> None:
        self._forking_thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        # Few functions fork, so a start does not import it. A child must not have to: another
        # thread may hold a lock of the import system, or no descriptor may be left.
        from . import forked_child as forked_child

    def _restore_mask(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._forking_thread.mask)

    def _reset_child(self) -> None:
        try:
            # First: through this pipe a signal in the child would wake the parent's loop.
            signal.set_wakeup_fd(-1)
            from .forked_child import ExitAfterStep, ForkedTransport, fork_location

            logs.after_fork_in_child()
            for each in self.others:
                each.after_fork_in_child()
            for lane in self._lanes:
                lane.enter_child(ForkedTransport.in_place_of)
            if threading.get_ident() == self._loop_thread and trio.lowlevel.in_trio_run():
                _replace_epoll()
                deliveries = [lane.delivery for lane in self._lanes]
                unsettled = [each for each in deliveries if each is not None and each.unsettled]
                trio.lowlevel.add_instrument(ExitAfterStep(unsettled, fork_location()))
        finally:
            self._restore_mask()


def _replace_epoll() -> None:
    """Replace the epoll that the child shares with its parent.

    What the child's step registers must not change what the parent waits for.
    """
    shared = epoll()
    # OSError: no descriptor is left.
    with suppress(OSError):
        if shared is not None:
            with select.epoll() as own:
                os.dup2(own.fileno(), shared.fileno(), inheritable=False)
