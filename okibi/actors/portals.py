"""Doors: how synchronous code, in whatever thread, speaks to an actor.

Three verbs as an address has them, which block instead of being awaited, and three places to
speak from:

    from_thread    a thread that `trio.to_thread.run_sync` has started. trio knows whose it is.
    Portal()         any thread: concurrent.futures, a library's callbacks. Made inside trio, which
                   it then leads to, and handed over.
    from_sync      code that does not know where it runs: in a thread of trio's it is
                   `from_thread`; in the loop's own thread it casts and sends without waiting.

A call from the loop's own thread is refused by all of them: it would block the loop that is to
serve it. That a call is made in a thread changes nothing of what may come of it: ActorExited,
a Refusal, CallCycle arrive in the thread as they are.

Rejected: one door that finds the run by itself, from a thread trio knows nothing of. It would
have to be a variable of the whole process, and two trees in one process must never meet.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Concatenate, Final, ParamSpec, TypeVar

import trio
from trio.lowlevel import Task, TrioToken, current_task, current_trio_token, in_trio_run

from .exits import CallCycle, CallingSelf, NoProcess
from .process import CURRENT, ON_BEHALF, Process
from .ref import Address
from .trio_internals import host_of_this_thread
from .wait_cycles import chain, circle

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")


class PortalClosed(Exception):
    """The run of trio that the door leads to has ended, or ended before there was an answer."""


class Portal:
    """A way into the run of trio that it was made in, for any thread.

    >>> import trio
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from okibi.actors import Portal, Server, start
    >>> class Sums(Server):
    ...     total = 0
    ...     async def add(self, number: int) -> int:
    ...         self.total += number
    ...         return self.total
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         sums, door = await start(nursery, Sums), Portal()
    ...         def work(number):
    ...             return door.call(sums, Sums.add, number)
    ...         def many():
    ...             with ThreadPoolExecutor() as pool:
    ...                 return max(pool.map(work, [1, 2, 3]))
    ...         print(await trio.to_thread.run_sync(many))
    ...         sums.stop()
    >>> trio.run(main)
    6

    What a thread asks for through it is done by a task of its own, which no cancellation but
    the end of the run reaches, in the name of the actor, or task, that has made the Portal. In the
    loop's own thread it casts and sends without waiting.

    Args:
        timeout: seconds that each message may take, the answer to a call included; without
            limit if left out. A thread has no `trio.fail_after`, and of a thread that trio did
            not start nobody knows which actor waits for it: only this ends a call back to that.

    Raises:
        RuntimeError: it was made outside trio.
        ValueError: `timeout` is not more than 0.
    """

    __slots__ = ("_maker", "_timeout", "_token")

    _token: TrioToken | None
    _maker: Process | Task | None

    def __init__(self, timeout: float = math.inf) -> None:
        if not timeout > 0:
            raise ValueError(f"a Portal's timeout is more than 0 seconds, not {timeout!r}")
        if not in_trio_run():
            raise RuntimeError("a Portal is made inside trio, then handed to the thread")
        self._token = current_trio_token()
        self._maker = CURRENT.get() or current_task()
        self._timeout = timeout

    def call(
        self,
        address: Address[A],
        method: Callable[Concatenate[A, P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Have an actor run one of its methods, and block this thread until it replies.

        Args:
            address: a Ref or a Name.
            method: a public async method of the receiver's class.
            *args, **kwargs: what the method takes.

        Raises:
            ActorExited, NoProcess, CallCycle, MailboxFull, TypeError, any Refusal: as the
                address's own.
            PortalClosed: the run has ended.
            trio.TooSlowError: it took longer than the door's timeout.
            trio.Cancelled: who waits for this thread was cancelled (`from_thread`,
                `from_sync`); let it pass. If the thread was started to be abandoned it is not
                raised, and the call goes on.
            RuntimeError: this is the thread of a trio loop, or trio did not start it and the
                door leads to no run.
        """
        act = partial(_call, host_of_this_thread(), address, method, *args, **kwargs)
        return self._enter(act, "call", method)

    def cast(
        self,
        address: Address[A],
        method: Callable[Concatenate[A, P], Awaitable[object]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Have an actor run one of its methods some time; block only until there is room.

        Raises:
            ActorExited, NoProcess, MailboxFull, TypeError: as the address's own. There is no
                waiting for room in the loop's own thread, nor in one that the actor waits for.
            PortalClosed, trio.TooSlowError, trio.Cancelled, RuntimeError: as `call`.
        """
        if self._at_home():
            return address.cast_nowait(method, *args, **kwargs)
        act = partial(_cast, host_of_this_thread(), address, method, *args, **kwargs)
        return self._enter(act, "cast", method)

    def send(self, address: Address[object], message: object) -> None:
        """Send any value; block only until there is room.

        Raises:
            As `cast`.
        """
        if self._at_home():
            return address.send_nowait(message)
        return self._enter(partial(_send, host_of_this_thread(), address, message), "send", message)

    def _at_home(self) -> bool:
        """Whether this is the thread of the loop it leads to."""
        return in_trio_run() and (self._token is None or self._token is current_trio_token())

    def _enter(self, act: Callable[[], Awaitable[R]], verb: str, what: object) -> R:
        """Run `act` inside trio while this thread waits."""
        if in_trio_run():
            raise RuntimeError(
                f"a {verb} of {_named(what)} would block the trio loop of this thread; "
                f"await the address's own `{verb}` there"
            )
        if self._token is None and not _started_by_trio():
            raise RuntimeError(
                f"a {verb} of {_named(what)} finds no way into trio, which did not start this "
                "thread; make a Portal() inside trio, hand it over and use that here"
            )
        try:
            asks = self._maker or host_of_this_thread()
            return trio.from_thread.run(_within, asks, self._timeout, act, trio_token=self._token)
        except trio.RunFinishedError:
            ended = f"the run of trio has ended: nobody is left for a {verb} of {_named(what)}"
            raise PortalClosed(ended) from None
        except trio.Cancelled:
            if self._token is None:
                raise
            ended = f"the run of trio ended before a {verb} of {_named(what)} was through"
            raise PortalClosed(ended) from None


class _OfThisThread(Portal):
    """A door that needs not be made: trio knows where the threads belong that it started."""

    __slots__ = ()

    def __init__(self) -> None:
        self._token = self._maker = None
        self._timeout = math.inf


class _OfTriosThreads(_OfThisThread):
    """The same, for those who know that they are in a thread, and would rather wait for room."""

    __slots__ = ()

    def _at_home(self) -> bool:
        return False


from_sync: Final = _OfThisThread()
from_thread: Final = _OfTriosThreads()


# -- inside trio


async def _within(
    asks: Process | Task | None, timeout: float, act: Callable[[], Awaitable[R]]
) -> R:
    """Do it in the name of who has made the Portal, or waits for the thread.

    The context is the message's own: a copy of the thread's.
    """
    if CURRENT.get() is None:
        if isinstance(asks, Process):
            CURRENT.set(asks)
        elif asks is not None:
            ON_BEHALF.set(asks)
    with trio.fail_after(timeout):
        return await act()


async def _call(
    host: Task | None,
    address: Address[A],
    method: Callable[Concatenate[A, P], Awaitable[R]],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    paths = _circle(host, address)
    if paths is not None:
        kind = CallingSelf if len(paths) == 2 else CallCycle
        way = chain(paths, "calls")
        raise kind(f"{way}, from a thread it waits for: {_named(method)} would never return", paths)
    return await address.call(method, *args, **kwargs)


async def _cast(
    host: Task | None,
    address: Address[A],
    method: Callable[Concatenate[A, P], Awaitable[object]],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> None:
    if _circle(host, address) is not None:
        address.cast_nowait(method, *args, **kwargs)
    else:
        await address.cast(method, *args, **kwargs)


async def _send(host: Task | None, address: Address[object], message: object) -> None:
    if _circle(host, address) is not None:
        address.send_nowait(message)
    else:
        await address.send(message)


def _circle(host: Task | None, address: Address[object]) -> tuple[str, ...] | None:
    """The circle that would close if `host` waited for who is at `address`, as it does.

    An address looks for it along the task that it is used in. For a thread that may be abandoned,
    and behind a Portal, that is another task than the one that waits for the thread. (That the
    callee closes the circle later is then not seen: no edge is laid for a wait that may be
    abandoned any time. Its host's time-out ends it.)
    """
    caller = CURRENT.get()
    if caller is None or host is None:
        return None
    try:
        process = address.process()
    except NoProcess:
        # The message itself says so, or waits for the name.
        return None
    return circle(caller, process, host)


# -- in the thread


def _started_by_trio() -> bool:
    try:
        trio.from_thread.check_cancelled()
    except RuntimeError:
        return False
    except trio.Cancelled:
        pass  # the message itself is told, or goes through, as `call` says
    return True


def _named(what: object) -> str:
    return str(getattr(what, "__name__", None) or type(what).__name__)
