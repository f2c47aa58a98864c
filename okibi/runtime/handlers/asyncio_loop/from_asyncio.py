"""Call, cast and send to actors from code on okibi's asyncio loop.

    visit = await from_asyncio.call(VISITS, Visits.visit, "bob")

As a Portal (`okibi.actors.portals`), but an asyncio task waits instead of a thread.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Concatenate, Final, ParamSpec, TypeVar, TypeVarTuple, Unpack

import outcome
import trio
from trio.lowlevel import TrioToken, spawn_system_task

from ....actors import Address, PortalClosed
from .loop import TRIO_TOKENS

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")
Args = TypeVarTuple("Args")


class FromAsyncio:
    """Calls actors from handlers that run on okibi's asyncio loop; use the value `from_asyncio`.

        async def handler(event, context):
            async with asyncio.timeout(1):
                return await from_asyncio.call(VISITS, Visits.visit, event["name"])

    A cancelled call no longer waits for the reply; the actor may still run the method.
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
        """Have an actor run one of its methods, and wait for the reply (OTP: gen_server:call).

        Args:
            address: a Ref or a Name.
            method: a public async method of the actor's class.
            *args, **kwargs: the method's arguments.

        Raises:
            ActorExited, NoProcess, CallCycle, MailboxFull, TypeError, any Refusal: the call failed
                (`Ref.call` lists the reasons).
            PortalClosed: the tree has ended.
            RuntimeError: the caller does not run on okibi's asyncio loop.
        """
        return await run_on_trio(lambda: address.call(method, *args, **kwargs))

    async def cast(
        self,
        address: Address[A],
        method: Callable[Concatenate[A, P], Awaitable[object]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Have an actor run one of its methods later; wait only while the mailbox is full.

        Args:
            address, method, *args, **kwargs: the arguments of `call`.

        Raises:
            NoProcess, MailboxFull, TypeError, PortalClosed, RuntimeError: the message could not be
                sent (see `call`).
        """
        await run_on_trio(partial(address.cast, method, *args, **kwargs))

    async def send(self, address: Address[object], message: object) -> None:
        """Send any value as a message; wait only while the mailbox is full.

        Args:
            address: a Ref or a Name.
            message: any value.

        Raises:
            NoProcess, MailboxFull, PortalClosed, RuntimeError: the message could not be sent (see
                `call`).
        """
        await run_on_trio(partial(address.send, message))

    async def run(self, function: Callable[[Unpack[Args]], Awaitable[R]], *args: *Args) -> R:
        """Run an async function on trio, and wait for its result: `from_asyncio.run(TOKEN.get)`.

        Args:
            function: an async function.
            *args: the arguments of the function.

        Raises:
            PortalClosed: the tree has ended.
            RuntimeError: the caller does not run on okibi's asyncio loop.
            BaseException: the exception that the function raises.
        """
        return await run_on_trio(partial(function, *args))


from_asyncio: Final = FromAsyncio()

_ENDED = "the tree has ended, or ended before the reply"


async def run_on_trio(act: Callable[[], Awaitable[R]]) -> R:
    """Run an async function on trio, and wait for its result on the asyncio loop."""
    token = _token()
    loop = asyncio.get_running_loop()
    future: asyncio.Future[outcome.Outcome[R]] = loop.create_future()
    scope = trio.CancelScope()

    def settle(result: outcome.Outcome[R]) -> None:
        if not future.done():
            future.set_result(result)

    async def run() -> None:
        with scope:
            result = await outcome.acapture(act)
            # The asyncio loop may be closed.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, _replace_cancelled(result))

    context = contextvars.copy_context()

    def start() -> None:
        try:
            spawn_system_task(run, context=context)
        except RuntimeError:
            # The trio run is ending; this error must not reach trio's loop.
            loop.call_soon_threadsafe(settle, outcome.Error(PortalClosed(_ENDED)))

    try:
        token.run_sync_soon(start)
    except trio.RunFinishedError:
        raise PortalClosed(_ENDED) from None
    try:
        result = await future
    except asyncio.CancelledError:
        with suppress(trio.RunFinishedError):
            token.run_sync_soon(scope.cancel)
        raise
    return result.unwrap()


def _replace_cancelled(result: outcome.Outcome[R]) -> outcome.Outcome[R]:
    if isinstance(result, outcome.Error) and isinstance(result.error, trio.Cancelled):
        return outcome.Error(PortalClosed(_ENDED))
    return result


def _token() -> TrioToken:
    try:
        token = TRIO_TOKENS.get(asyncio.get_running_loop())
    except RuntimeError:
        raise RuntimeError(
            "from_asyncio needs okibi's asyncio loop, and this code does not run on asyncio: on "
            "trio use `await address.call(...)`; in a plain `def` use okibi.actors.from_sync"
        ) from None
    if token is None:
        raise RuntimeError(
            "from_asyncio needs okibi's own asyncio loop, and this code runs on another loop: "
            "use okibi.actors.Portal"
        )
    return token
