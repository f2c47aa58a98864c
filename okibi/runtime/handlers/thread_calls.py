"""Where the loop and the threads of plain handlers meet: at the loop's wait.

A thread that is woken while the loop has the interpreter wakes for nothing: it waits for the
interpreter, and is woken once more. Of those that have something to run in one pass of the loop the
first gets it at once, for to wake takes it as long as the loop takes to let go; the others get it
when the loop has done all that it had to do, and is about to wait. Behind each call that it gives
out the loop lets go of the interpreter and of its core, so that a thread that is woken there begins
at once. Else all those of a pass would begin together, when the loop sleeps, and so they would end,
each answer behind all the others. (A thread that is woken on another core begins as it would.)
The other way a call that has ended wakes the loop only where that waits; where it does not, it
looks before it waits again.

    the loop      gives out what it has for threads, says that it waits, looks whether a call has
                  ended, waits
    a thread      says that its call has ended, looks whether the loop waits, wakes it

Each says its own before it looks for the other's, so one of the two sees it. (Dekker's; that what
is said first is seen first, the interpreter's lock sees to.)

An instrument is told of each wait of the loop's. trio takes one out that raises, and goes on: here
every thread would wait for ever then. So what is raised in it, by a signal handler of the user's
say, ends the run, as it does anywhere else in trio's loop.

The loop is woken by an eventfd that stands in its epoll by edges, and is never read: to write is
all that there is to do (`okibi.actors.trio_internals`). Where that cannot be, by trio's own way. It
is closed when the run is over and no thread is about to write: who writes holds what it writes
with. (After a run that ended by a raise in the hooks, once it is collected.)
"""

import os
import sys
import weakref
from collections import deque
from collections.abc import Callable
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


class Waiter(Protocol):
    """Who is to hear of a call's end."""

    def ended(self) -> None:
        """It has ended; told in the loop's thread, between two passes. Raises nothing."""
        ...


class ThreadCalls(Instrument):
    """Of one run of trio, as long as a thread may have something for it.

    Args:
        wake: ends the loop's wait, or its next one; called in any thread.
        fail: ends the run with an error.
    """

    def __init__(self, wake: Callable[[], object], fail: Callable[[BaseException], object]) -> None:
        self._wake = wake
        self._fail = fail
        # Whether a call was given out in this pass, and those that wait for its end.
        self._gave = False
        self._given: list[tuple[SimpleQueue[Call | None], Call]] = []
        self._ended = deque[Waiter]()
        self._waits = False

    def give(self, calls: SimpleQueue[Call | None], call: Call) -> None:
        """Put a call into a thread's queue: at once, or before the loop waits."""
        if self._gave:
            self._given.append((calls, call))
        else:
            self._gave = True
            _put(calls, call)

    def tell(self, waiter: Waiter) -> None:
        """Tell who waits that its call has ended; in any thread."""
        self._ended.append(waiter)
        if self._waits:
            # Once for all that end before the loop has its turn.
            self._waits = False
            self._wake()

    def before_io_wait(self, timeout: float) -> None:
        try:
            self._give_out()
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
                ended.popleft().ended()
        except BaseException as error:
            self._fail(error)
            raise

    def after_run(self) -> None:
        # trio's own part of a run is in a circle, and would keep it until that is collected.
        self._wake = _nothing

    def _give_out(self) -> None:
        self._gave = False
        if self._given:
            given, self._given = self._given, []
            for calls, call in given:
                _put(calls, call)


def exchange() -> ThreadCalls:
    """This run's; made when it is first asked for."""
    try:
        return _of_this_run.get()
    except LookupError:
        made = _made()
        _of_this_run.set(made)
        trio.lowlevel.add_instrument(made)
        return made


def _made() -> ThreadCalls:
    token = trio.lowlevel.current_trio_token()

    def fail(error: BaseException) -> None:
        token.run_sync_soon(_raise, error)

    if sys.platform == "linux":
        with suppress(OSError):  # no descriptor is left
            descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            if trio_internals.ends_wait(descriptor):
                wake = partial(os.eventfd_write, descriptor, 1)
                # A thread that is yet to write when the run ends has this.
                weakref.finalize(wake, os.close, descriptor).atexit = False
                return ThreadCalls(wake, fail)
            os.close(descriptor)
    return ThreadCalls(_by_token(token), fail)


def _by_token(token: trio.lowlevel.TrioToken) -> Callable[[], object]:
    def wake() -> None:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(_nothing, idempotent=True)

    return wake


def _put(calls: SimpleQueue[Call | None], call: Call) -> None:
    calls.put(call)
    yield_core()


def _nothing() -> None:
    pass


def _raise(error: BaseException) -> None:
    raise error


_of_this_run: RunVar[ThreadCalls] = RunVar("exchange")
