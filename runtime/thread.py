"""The thread of a plain `def` that runs beside the loop, kept from one event to the next.

trio's `to_thread` makes each call a thread's whole work: it takes a token, names the thread, and
has the result told by a queue of trio's own, whose task wakes the one that waits: half of what such
an event costs. Here one call of `to_thread` lasts as long as the thread, so that all of
`trio.from_thread` works in it; what it is to run comes by a queue, and that it has run by a pipe,
which its waiter is woken by itself.

What it keeps in a `threading.local`, a connection say, is there at the next event.

A thread cannot be ended. One whose event is over time is abandoned: it ends when its call does,
whose result is nobody's, and which may ask whether it is (`trio.from_thread.check_cancelled`).
"""

import math
import os
import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue

import trio

from .forks import end_child
from .standing import InThread

# Of threads there is one for each event in flight. trio's own forty would be too few for many
# lanes, and a handler that waits for one of its own `to_thread` must not hold what that needs.
THREADS = trio.CapacityLimiter(math.inf)


class HandlerThread(InThread):
    """One thread; from when it is made until it is abandoned, or its nursery ends.

    Args:
        nursery: what holds it.
    """

    __slots__ = ("_bell", "_calls", "_process", "_scope")

    def __init__(self, nursery: trio.Nursery) -> None:
        super().__init__()
        self._bell = Bell()
        self._calls = SimpleQueue[Callable[[], None] | None]()
        self._scope = trio.CancelScope()
        self._process = os.getpid()
        nursery.start_soon(self._hold, trio.lowlevel.current_task().name)

    async def call(self, act: Callable[[], object]) -> object:
        """Run something of the handler's, with this task's context variables.

        One at a time; one that is cancelled must be the last (`abandon`).

        Raises:
            BaseException: what it raised.
        """
        context = copy_context()
        # What it came to, past trio: that refuses a function that returns a coroutine, which a
        # handler may, and an error that its frames pass on is kept by them, in a circle.
        results: list[object] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(context.run(self.run, act))
            except BaseException as error:
                errors.append(error)
            if os.getpid() != self._process:
                # It has forked, and this is the child.
                end_child(errors.pop() if errors else None)

        self._calls.put(run)
        while not results and not errors:
            # Nobody else is to ring; but a child that a handler has forked has the pipe, too.
            await self._bell.rung()
        if errors:
            raise errors.pop()
        return results.pop()

    def abandon(self) -> None:
        """Let it go: it ends when its call does. From now on it holds no descriptor."""
        self._scope.cancel()
        self._bell.close()

    async def _hold(self, name: str) -> None:
        try:
            with self._scope:
                await trio.to_thread.run_sync(
                    self._serve, thread_name=name, abandon_on_cancel=True, limiter=THREADS
                )
        finally:
            self._calls.put(None)

    def _serve(self) -> None:
        while True:
            run = self._calls.get()
            if run is None:
                return
            run()
            # The event must not be kept until the next one.
            del run
            self._bell.ring()


class Bell:
    """Wakes a task of the loop from a thread: a pipe.

    An abandoned thread may ring when its waiter has long gone: that must not go to whatever has got
    the descriptor since.
    """

    __slots__ = ("_lock", "ends")

    def __init__(self) -> None:
        self.ends: tuple[int, ...] = ()
        self._lock = threading.Lock()
        self.ends = os.pipe()

    def ring(self) -> None:
        """Have `rung` return; in any thread."""
        with self._lock:
            if self.ends:
                os.write(self.ends[1], b"\0")

    async def rung(self) -> None:
        """Wait for a `ring`."""
        near = self.ends[0]
        await trio.lowlevel.wait_readable(near)
        os.read(near, 1)

    def close(self) -> None:
        """Ring no more; nobody may wait."""
        with self._lock:
            ends, self.ends = self.ends, ()
        for end in ends:
            os.close(end)

    __del__ = close
