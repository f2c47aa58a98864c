"""One wait for trio and asyncio: trio's epoll reports asyncio's descriptor, too.

A wait of asyncio code then costs little more than on asyncio alone, because no task of trio has to
wake for it: trio's wait runs the slice, and the slice waits again while only asyncio has something
to do. This needs epoll, and a clock that is real.
"""

import select
import time
from collections.abc import Callable

from trio.lowlevel import current_trio_token

from ..actors import trio_internals
from ..actors.freezes import is_virtual
from ..actors.trio_internals import tasks_are_runnable
from .slices import Events, SliceSelector


class SharedWait:
    """Takes the place of trio's epoll, and runs asyncio's slices, until it is closed.

    Args:
        epoll: trio's epoll.
        selector: the selector of asyncio's loop.
        run_slice: `AsyncioLoop.run_slice`.
    """

    def __init__(
        self, epoll: select.epoll, selector: SliceSelector, run_slice: Callable[..., None]
    ) -> None:
        self._trio_epoll, self._poll_trio = epoll, epoll.poll
        # trio calls these, too.
        self.register, self.modify, self.unregister = epoll.register, epoll.modify, epoll.unregister
        self.close = epoll.close
        self._selector, self._descriptor = selector, selector.fileno()
        self._run_slice, self._token = run_slice, current_trio_token()
        # When trio's wait ends, and what it returns.
        self._until = 0.0
        self._events: list[tuple[int, int]] = []
        self._max_events = 1

    @classmethod
    def begin(cls, selector: SliceSelector, run_slice: Callable[..., None]) -> "SharedWait | None":
        """Begin to wait in trio's place; None where trio has to wait by itself."""
        epoll = trio_internals.epoll()
        if epoll is None or is_virtual() or trio_internals.is_guest():
            return None
        epoll.register(selector.fileno(), select.EPOLLIN)
        shared = cls(epoll, selector, run_slice)
        trio_internals.set_epoll(shared)
        return shared

    def end(self) -> None:
        """Let trio wait by itself again."""
        trio_internals.set_epoll(self._trio_epoll)
        self._trio_epoll.unregister(self._descriptor)

    def poll(self, timeout: float, max_events: int) -> list[tuple[int, int]]:
        """Wait as trio's epoll; if asyncio is ready, run a slice."""
        self._until, self._events = time.monotonic() + timeout, []
        try:
            self._events = events = self._poll_trio(timeout, max_events)
            for descriptor, _ in events:
                # While callbacks of asyncio are ready, the pump runs the slices.
                if descriptor == self._descriptor and self._selector.idle_for > 0:
                    self._max_events = max_events
                    waits = timeout > 0 and len(events) == 1
                    self._run_slice(self._wait if waits else None, looks=True)
                    break
        except BaseException as error:
            # A user's signal handler has raised. If the error left the wait, the run would stay
            # open until the frames of the traceback are freed, and for ever if another thread
            # frees them.
            self._selector.waits = False
            trio_internals.end_run(self._token, error)
        return self._events

    def _wait(self, timeout: float | None) -> Events:
        """Wait within a slice, as `SliceSelector.begin_slice` says."""
        selector, left = self._selector, self._until - time.monotonic()
        if left <= 0 or tasks_are_runnable():
            selector.end(timeout)
            return []
        seconds = left if timeout is None or left < timeout else timeout
        selector.waits = True
        events = self._poll_trio(seconds, self._max_events)
        selector.waits = False
        selector.begin_slice(self._wait, looks=False)
        for descriptor, _ in events:
            if descriptor != self._descriptor:
                self._events += events
                selector.end(timeout)
                return []
        return selector.look(0) if events else []
