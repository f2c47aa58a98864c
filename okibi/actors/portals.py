"""Portals: send messages to actors from synchronous code, in any thread.

The methods `call`, `cast` and `send` are those of an address, but block instead of being awaited.
Three portals differ in where they work:

    from_thread    in a thread started by `trio.to_thread.run_sync`; trio knows its run.
    Portal()       in any thread, for example of concurrent.futures or a library. Create it inside
                   trio and pass it to the thread.
    from_sync      in code that may run in either: in a thread of trio's as `from_thread`; in the
                   loop's own thread it casts and sends without waiting. It also works in a thread
                   of asyncio's or of a web framework, if the thread has the context variables of
                   code on okibi's asyncio loop.

All of them refuse a call in the loop's own thread, because it would block the loop that has to
serve the call. The exceptions are the same as without a thread: ActorExited, a Refusal, CallCycle.

Rejected: one portal that finds the run by itself in any thread. It would need a global variable of
the process, and two trees in one process must not share one.
"""

import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec, TypeVar

import trio
from trio.lowlevel import Task, TrioToken, current_task, current_trio_token, in_trio_run

from .exits import CallCycle, CallingSelf, NoProcess
from .process import CURRENT, ON_BEHALF, Process
from .ref import Address, cast_now
from .request import CALLING_EVENT
from .trio_internals import task_waiting_for_thread
from .wait_cycles import find_cycle, format_chain

if TYPE_CHECKING:
    from .request import Event

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")


# The run of trio that code on asyncio belongs to. asyncio.to_thread, anyio and asgiref copy it into
# their threads; a thread of `run_in_executor` has none.
RUN_OF_CONTEXT: ContextVar[TrioToken] = ContextVar("run_of_context")


class PortalClosed(Exception):
    """The run of trio that a Portal leads to has ended, or ended during the message."""


class Portal:
    """Sends messages from any thread into the run of trio in which it was created.

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
    ...         sums, portal = await start(nursery, Sums), Portal()
    ...         def work(number):
    ...             return portal.call(sums, Sums.add, number)
    ...         def many():
    ...             with ThreadPoolExecutor() as pool:
    ...                 return max(pool.map(work, [1, 2, 3]))
    ...         print(await trio.to_thread.run_sync(many))
    ...         sums.stop()
    >>> trio.run(main)
    6

    Each message is sent by a task of its own, in the name of the actor or task that created the
    Portal. Only the end of the run cancels that task. In the loop's own thread, a Portal casts and
    sends without waiting, and refuses a call.

    Args:
        timeout: seconds that each message may take, the reply to a call included; the default is no
            limit. A thread has no `trio.fail_after`. okibi cannot know which actor waits for a
            thread that trio did not start, so only the timeout ends a call back to that actor.

    Raises:
        RuntimeError: this thread does not run trio.
        ValueError: `timeout` is not > 0.
    """

    __slots__ = ("_event", "_owner", "_timeout", "_token")

    _token: TrioToken | None
    _owner: Process | Task | None
    _event: "Event | None"

    def __init__(self, timeout: float = math.inf) -> None:
        if not timeout > 0:
            raise ValueError(f"timeout must be > 0 seconds, got {timeout!r}")
        if not in_trio_run():
            raise RuntimeError("create a Portal inside trio, then pass it to the thread")
        self._token = current_trio_token()
        self._owner = CURRENT.get() or current_task()
        self._event = CALLING_EVENT.get(None)
        self._timeout = timeout

    def call(
        self,
        address: Address[A],
        method: Callable[Concatenate[A, P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call a method of an actor, and block this thread until the reply (`Address.call`).

        Args:
            address: a Ref or a Name.
            method: a public async method of the receiver's class.
            *args, **kwargs: arguments of the method.

        Raises:
            ActorExited, NoProcess, CallCycle, MailboxFull, TypeError, Refusal: the call failed
                (`Address.call` lists the reasons).
            PortalClosed: the run has ended.
            trio.TooSlowError: the timeout of the Portal is over.
            trio.Cancelled: the task that waits for this thread was cancelled (`from_thread`,
                `from_sync`); do not catch it. A thread started with `abandon_on_cancel` does not
                get it, and the call goes on.
            RuntimeError: this is the thread of a trio loop; or trio did not start this thread and
                the portal is `from_thread` or `from_sync`.
        """
        act = partial(_call, task_waiting_for_thread(), address, method, *args, **kwargs)
        return self._run_in_trio(act, "call", method)

    def cast(
        self,
        address: Address[A],
        method: Callable[Concatenate[A, P], Awaitable[object]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Cast a method to an actor; block only while its mailbox is full (`Address.cast`).

        Args:
            address: a Ref or a Name.
            method: a public async method of the receiver's class.
            *args, **kwargs: arguments of the method.

        Raises:
            ActorExited, NoProcess, MailboxFull, TypeError: the cast failed (see `Address.cast`). In
                the loop's own thread, and in a thread for which the receiver waits, a full mailbox
                raises MailboxFull at once.
            PortalClosed, trio.TooSlowError, trio.Cancelled, RuntimeError: the portal could not send
                the message (see `call`).
        """
        if self._is_loop_thread():
            return cast_now(address, method, args, kwargs)
        act = partial(_cast, task_waiting_for_thread(), address, method, *args, **kwargs)
        return self._run_in_trio(act, "cast", method)

    def send(self, address: Address[object], message: object) -> None:
        """Send any value to an actor; block only while its mailbox is full (`Address.send`).

        Args:
            address: a Ref or a Name.
            message: any value.

        Raises:
            ActorExited, NoProcess, MailboxFull, PortalClosed: the message could not be sent (see
                `cast`).
        """
        if self._is_loop_thread():
            return address.send_nowait(message)
        return self._run_in_trio(
            partial(_send, task_waiting_for_thread(), address, message), "send", message
        )

    def _is_loop_thread(self) -> bool:
        """Return whether this is the thread of the loop that the portal leads to."""
        return in_trio_run() and (self._token is None or self._token is current_trio_token())

    def _run_in_trio(self, act: Callable[[], Awaitable[R]], verb: str, message: object) -> R:
        """Run `act` inside trio while this thread waits."""
        if in_trio_run():
            raise RuntimeError(
                f"{_action(verb, message)} would block the trio loop of this thread; "
                f"use `await address.{verb}(...)` instead"
            )
        token = self._token
        if token is None and not _started_by_trio():
            token = self._run_of_context()
            if token is None:
                raise RuntimeError(
                    f"{_action(verb, message)} cannot reach trio, because trio did not start this "
                    "thread; create a Portal() inside trio and pass it to the thread"
                )
        try:
            sender = self._owner or task_waiting_for_thread()
            act = partial(_act_as, sender, self._event, self._timeout, act)
            return trio.from_thread.run(act, trio_token=token)
        except trio.RunFinishedError:
            when = f"before {_action(verb, message)}"
            raise PortalClosed(f"the run of trio has ended {when}") from None
        except trio.Cancelled:
            if token is None:
                raise
            when = f"during {_action(verb, message)}"
            raise PortalClosed(f"the run of trio has ended {when}") from None

    def _run_of_context(self) -> TrioToken | None:
        """Return the run that the thread's context variables lead to."""
        return None


class _ThreadPortal(Portal):
    """A global portal for threads that trio started. trio knows the run of each thread."""

    __slots__ = ()

    def __init__(self) -> None:
        self._token = self._owner = self._event = None
        self._timeout = math.inf


class _SyncPortal(_ThreadPortal):
    """Reaches the run of code on asyncio from threads that asyncio or a web framework started."""

    __slots__ = ()

    def _run_of_context(self) -> TrioToken | None:
        return RUN_OF_CONTEXT.get(None)


class _BlockingThreadPortal(_ThreadPortal):
    """Raises in the loop's own thread instead of casting and sending without waiting."""

    __slots__ = ()

    def _is_loop_thread(self) -> bool:
        return False


from_sync: Final = _SyncPortal()
"""A portal for synchronous code in a thread of trio's, in the loop's own thread, or in a thread
that asyncio or a web framework started for code on okibi's asyncio loop.

    def count(name: str) -> None:
        from_sync.cast(VISITS, Visits.visit, name)
"""

from_thread: Final = _BlockingThreadPortal()
"""A portal for synchronous code in a thread that `trio.to_thread.run_sync` has started.

    def work() -> int:
        return from_thread.call(SUMS, Sums.add, 1)

    total = await trio.to_thread.run_sync(work)
"""


# -- inside trio


async def _act_as(
    sender: Process | Task | None,
    event: "Event | None",
    timeout: float,
    act: Callable[[], Awaitable[R]],
) -> R:
    """Run `act` in the name of the Portal's owner, or of the task that waits for the thread.

    Sets context variables only for this message: the context is a copy of the thread's.
    """
    if CURRENT.get() is None:
        if isinstance(sender, Process):
            CURRENT.set(sender)
            if event is not None:
                CALLING_EVENT.set(event)
        elif sender is not None:
            ON_BEHALF.set(sender)
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
    paths = _find_cycle(host, address)
    if paths is not None:
        kind = CallingSelf if len(paths) == 2 else CallCycle
        chain = format_chain(paths, "calls")
        text = f"{chain}, from a thread it waits for: {_name_of(method)} would never return"
        raise kind(text, paths)
    return await address.call(method, *args, **kwargs)


async def _cast(
    host: Task | None,
    address: Address[A],
    method: Callable[Concatenate[A, P], Awaitable[object]],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> None:
    if _find_cycle(host, address) is not None:
        cast_now(address, method, args, kwargs)
    else:
        await address.cast(method, *args, **kwargs)


async def _send(host: Task | None, address: Address[object], message: object) -> None:
    if _find_cycle(host, address) is not None:
        address.send_nowait(message)
    else:
        await address.send(message)


def _find_cycle(host: Task | None, address: Address[object]) -> tuple[str, ...] | None:
    """Return the cycle that a wait of `host` for `address` would close; None if there is none.

    An address checks the current task. Behind a Portal, and for a thread that may be abandoned,
    `host`, the task that waits for the thread, is another task. A cycle that the callee closes
    later is not found, because a wait that may be abandoned at any time is no edge of the graph.

    Args:
        host: the task that waits for the thread.
        address: the receiver of the message.
    """
    caller = CURRENT.get()
    if caller is None or host is None:
        return None
    try:
        process = address.process()
    except NoProcess:
        # The message itself raises this, or waits for the name.
        return None
    return find_cycle(caller.waits, process.waits, host)


# -- in the thread


def _started_by_trio() -> bool:
    try:
        trio.from_thread.check_cancelled()
    except RuntimeError:
        return False
    except trio.Cancelled:
        pass  # the message itself raises this, or goes on (see `call`)
    return True


def _action(verb: str, message: object) -> str:
    return f"a {verb} of {_name_of(message)}"


def _name_of(message: object) -> str:
    return str(getattr(message, "__name__", None) or type(message).__name__)
