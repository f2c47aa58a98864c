"""How code on the asyncio loop speaks to an actor: an address's three verbs, awaited there.

    from_asyncio.call(VISITS, Visits.visit, "bob")

The same as a Portal's (`okibi.actors.portals`), but that asyncio waits instead of a thread.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Concatenate, Final, ParamSpec, TypeVar

import outcome
import trio
from trio.lowlevel import TrioToken, spawn_system_task

from ....actors import Address, PortalClosed
from .loop import TRIO_TOKENS

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")


class FromAsyncio:
    """The way from okibi's asyncio loop to the actors of its tree.

    A time-out is asyncio's own: `async with asyncio.timeout(1): await from_asyncio.call(...)`.
    Cancelled, a call is given up as any caller may.
    """

    __slots__ = ()

    async def call(
        self,
        address: Address[A],
        method: Callable[Concatenate[A, P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Have an actor run one of its methods, and wait for the reply.

        Args:
            address: a Ref or a Name.
            method: a public async method of the receiver's class.
            *args, **kwargs: what the method takes.

        Raises:
            ActorExited, NoProcess, CallCycle, MailboxFull, TypeError, any Refusal: as the
                address's own.
            PortalClosed: the tree has ended.
            RuntimeError: this is not the asyncio loop that okibi runs.
        """
        return await enter(lambda: address.call(method, *args, **kwargs))

    async def cast(
        self,
        address: Address[A],
        method: Callable[Concatenate[A, P], Awaitable[object]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Have an actor run one of its methods some time; wait only for room in its mailbox.

        Raises:
            As `call`, without the reply's.
        """
        await enter(partial(address.cast, method, *args, **kwargs))

    async def send(self, address: Address[object], message: object) -> None:
        """Send any value; wait only for room.

        Raises:
            As `cast`.
        """
        await enter(partial(address.send, message))


from_asyncio: Final = FromAsyncio()

_ENDED = "the run of trio has ended, or ended before there was an answer"


async def enter(act: Callable[[], Awaitable[R]]) -> R:
    """Have trio do it, and wait on the asyncio loop."""
    token = _token()
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[outcome.Outcome[R]] = loop.create_future()
    scope = trio.CancelScope()

    def settle(result: outcome.Outcome[R]) -> None:
        if not answer.done():
            answer.set_result(result)

    async def within() -> None:
        with scope:
            result = await outcome.acapture(act)
            # Whoever waited may be gone, with his loop.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, _told(result))

    context = contextvars.copy_context()

    def start() -> None:
        try:
            spawn_system_task(within, context=context)
        except RuntimeError:
            # The run is about to end and takes no task any more; trio would break on it.
            loop.call_soon_threadsafe(settle, outcome.Error(PortalClosed(_ENDED)))

    try:
        token.run_sync_soon(start)
    except trio.RunFinishedError:
        raise PortalClosed(_ENDED) from None
    try:
        result = await answer
    except asyncio.CancelledError:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(scope.cancel)
        raise
    return result.unwrap()


def _told(result: outcome.Outcome[R]) -> outcome.Outcome[R]:
    if isinstance(result, outcome.Error) and isinstance(result.error, trio.Cancelled):
        return outcome.Error(PortalClosed(_ENDED))
    return result


def _token() -> TrioToken:
    try:
        token = TRIO_TOKENS.get(asyncio.get_running_loop())
    except RuntimeError:
        raise RuntimeError(
            "from_asyncio is for what runs on asyncio, and this does not: on trio await the "
            "address's own verb; in a `def` use okibi.actors.from_sync"
        ) from None
    if token is None:
        raise RuntimeError(
            "from_asyncio is for handlers on okibi's own asyncio loop, and this is another; "
            "in a thread or an asyncio.run of your own use okibi.actors.Portal"
        )
    return token
