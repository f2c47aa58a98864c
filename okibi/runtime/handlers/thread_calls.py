"""Hand calls to handler threads, and their ends back to the loop, at the loop's wait.

A thread that is woken while the loop holds the interpreter has to wait for the interpreter and be
woken again. Therefore the first call of a pass of the loop is handed out at once: waking the thread
takes about as long as the loop runs on. All other calls of the pass are handed out when the loop is
about to wait. After each call the loop gives up the interpreter and its core, so that the thread
begins at once. Otherwise all threads of a pass would begin together, and each answer would wait
for all others.

The end of a call wakes the loop only if the loop waits. A loop that is running looks for ended
calls before its next wait.

    the loop      hands out calls, sets `_waits`, looks for ended calls, waits
    a thread      adds the ended call, looks at `_waits`, wakes the loop

Each side writes before it reads, so at least one side sees the other's write (Dekker's algorithm;
the interpreter's lock orders the steps).

An instrument sees each wait of the loop. trio removes an instrument that raises and continues, but
then every handler thread would wait forever. An exception here (from a user's signal handler)
therefore ends the run, as anywhere else in trio's loop.

The loop is woken by an eventfd that is edge-triggered in trio's epoll and never read
(`okibi.actors.trio_internals`), or by trio's own wake-up where that is not possible. The wake
function owns the eventfd, so the eventfd is closed once the run is over and no thread is about to
write. (If the run ended by an exception in the hooks, once the instrument is collected.)
"""

import os
import sys
import weakref
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Protocol

import trio
from trio.abc import Instrument
from trio.lowlevel import RunVar

from ...actors import trio_internals
from ..system.scheduling import yield_core

Call = Callable[[], None]


class CallOwner(Protocol):
    """Waits for the end of a call."""

    def call_ended(self) -> None:
        """Called in the loop's thread, between two passes. Must not raise."""
        ...


class WaitingThread(Protocol):
    """A handler thread, as virtual time sees it."""

    @property
    def waits(self) -> bool:
        """Whether a task waits for the end of a call now."""
        ...


class ThreadCalls(Instrument):
    """Hands out calls to the threads of one trio run, and collects their ends.

    Args:
        wake: ends the loop's current or next wait; callable in any thread.
        fail: ends the run with an error.

    Attributes:
        threads: the handler threads that have not been abandoned.
    """

    def __init__(self, wake: Callable[[], object], fail: Callable[[BaseException], object]) -> None:
        self.threads = set[WaitingThread]()
        self._wake = wake
        self._fail = fail
        # Whether a call was handed out in this pass, and the calls that wait for the pass to end.
        self._handed_out = False
        self._postponed: list[tuple[SimpleQueue[Call | None], Call]] = []
        self._ended = deque[CallOwner]()
        self._waits = False

    def hand_out(self, calls: SimpleQueue[Call | None], call: Call) -> None:
        """Put a call into a thread's queue, at once or before the loop waits."""
        if self._handed_out:
            self._postponed.append((calls, call))
        else:
            self._handed_out = True
            _put(calls, call)

    def report_end(self, owner: CallOwner) -> None:
        """Report the end of a call to its owner; callable in any thread."""
        self._ended.append(owner)
        if self._waits:
            # One wake-up for all calls that end before the loop runs.
            self._waits = False
            self._wake()

    def before_io_wait(self, timeout: float) -> None:
        try:
            self._hand_out_postponed()
            self._waits = timeout > 0
            if self._ended and self._waits:
                self._waits = False
                self._wake()
        except BaseException as error:
            self._fail(error)
            raise

    def after_io_wait(self, timeout: float) -> None:
        try:
            self._waits = False
            ended = self._ended
            while ended:
                ended.popleft().call_ended()
        except BaseException as error:
            self._fail(error)
            raise

    def after_run(self) -> None:
        # trio's part of a run is a reference cycle, which would keep the eventfd until collected.
        self._wake = _do_nothing

    def _hand_out_postponed(self) -> None:
        self._handed_out = False
        if self._postponed:
            postponed, self._postponed = self._postponed, []
            for calls, call in postponed:
                _put(calls, call)


def get_thread_calls() -> ThreadCalls:
    """Return the ThreadCalls of the current trio run; the first call creates it."""
    try:
        return _of_this_run.get()
    except LookupError:
        created = _create()
        _of_this_run.set(created)
        trio.lowlevel.add_instrument(created)
        return created


def handler_threads() -> Collection[WaitingThread]:
    """Return the handler threads of the current trio run that have not been abandoned."""
    try:
        return _of_this_run.get().threads
    except LookupError:
        return ()


def _create() -> ThreadCalls:
    token = trio.lowlevel.current_trio_token()
    fail = partial(trio_internals.end_run, token)
    if sys.platform == "linux":
        with suppress(OSError):  # no descriptor is left
            descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            if trio_internals.wake_loop_on(descriptor):
                wake = partial(os.eventfd_write, descriptor, 1)
                # A thread that is about to write after the end of the run holds `wake`.
                weakref.finalize(wake, os.close, descriptor).atexit = False
                return ThreadCalls(wake, fail)
            os.close(descriptor)
    return ThreadCalls(_wake_by_token(token), fail)


def _wake_by_token(token: trio.lowlevel.TrioToken) -> Callable[[], object]:
    def wake() -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(_do_nothing, idempotent=True)

    return wake


def _put(calls: SimpleQueue[Call | None], call: Call) -> None:
    calls.put(call)
    yield_core()


def _do_nothing() -> None:
    pass


_of_this_run: RunVar[ThreadCalls] = RunVar("thread_calls")
