"""One wait for trio and asyncio: trio waits on the selector of asyncio's loop.

A wait of asyncio code then costs what it costs on asyncio alone: no task of trio has to wake for
it. trio goes on as soon as it has something to do. This needs epoll, and a clock that is real.

An instrument waits in trio's place. It is called after all other instruments, because they prepare
the wait. trio removes an instrument that raises and continues, but then asyncio would not run.
An exception here (from a user's signal handler) therefore ends the run, as anywhere else in trio's
loop.
"""

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from trio.abc import Instrument
from trio.lowlevel import add_instrument, current_trio_token, remove_instrument

from ..actors import trio_internals
from ..actors.freezes import is_virtual
from ..actors.trio_internals import tasks_are_runnable
from .job import Job
from .slices import SLICE, Events, SliceSelector


class SlicedLoop(Protocol):
    """The loop, as its shared wait sees it."""

    selector: SliceSelector
    ended_jobs: list[Job]

    def run_slice(
        self, found: Events | None = None, wait: Callable[[float | None], Events] | None = None
    ) -> None: ...

    def crash(self, error: BaseException) -> None: ...


class SharedWait(Instrument):
    """Waits in trio's place, and has asyncio's slices run, until it is closed.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: SlicedLoop) -> None:
        self._loop, self._ended_jobs = loop, loop.ended_jobs
        self._token = current_trio_token()
        # Ends trio's next wait.
        self._eventfd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._closed = False
        # When trio's wait ends, and when to look for asyncio's events while trio has tasks to run.
        self._until = self._next_look = 0.0
        # How often asyncio has begun and ended a wait within a slice: odd while it waits.
        self.steps = 0

    @classmethod
    def open(cls, loop: SlicedLoop) -> "SharedWait | None":
        """Begin to wait in trio's place; None where trio has to wait by itself."""
        epoll = trio_internals.epoll()
        if epoll is None or is_virtual() or trio_internals.is_guest():
            return None
        loop.selector.watch_trio(epoll.fileno())
        opened = cls(loop)
        trio_internals.wake_loop_on(opened._eventfd)
        add_instrument(opened)
        return opened

    def close(self) -> None:
        """Let trio wait by itself again."""
        self._closed = True
        with suppress(KeyError):  # trio has removed it, because a hook raised
            remove_instrument(self)
        os.close(self._eventfd)

    def before_io_wait(self, timeout: float) -> None:
        now = time.monotonic()
        try:
            if timeout <= 0:
                # trio has tasks to run.
                if now >= self._next_look:
                    self._next_look = now + SLICE
                    self._run_what_is_ready(0.0)
            elif trio_internals.waits_for_events_only():
                if trio_internals.is_called_last(self):
                    self._until = now + timeout
                    self._run_what_is_ready(timeout, self._wait)
                else:
                    remove_instrument(self)
                    add_instrument(self)
                    self._loop.selector.trio_is_ready = False
                if not self._loop.selector.trio_is_ready and not self._closed:
                    # trio would wait for the whole time-out.
                    os.eventfd_write(self._eventfd, 1)
        except BaseException as error:
            trio_internals.end_run(self._token, error)
            raise

    def _run_what_is_ready(
        self, seconds: float, wait: Callable[[float | None], Events] | None = None
    ) -> None:
        try:
            found = self._loop.selector.look(seconds)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            # User code has closed the descriptor.
            self._loop.crash(error)
        else:
            if found:
                self._loop.run_slice(found, wait)

    def _wait(self, timeout: float | None) -> Events:
        """Wait for trio and asyncio within a slice, as `SliceSelector.begin_slice` says."""
        selector, left = self._loop.selector, self._until - time.monotonic()
        if left <= 0 or self._ended_jobs or tasks_are_runnable():
            selector.end(timeout)
            return []
        self.steps += 1
        events = selector.look(left if timeout is None or left < timeout else timeout)
        self.steps += 1
        if selector.trio_is_ready:
            selector.end(0.0 if events else timeout)
        else:
            selector.until = time.monotonic() + SLICE
        return events
