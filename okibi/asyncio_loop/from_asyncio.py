"""Call, cast and send to actors from code on okibi's asyncio loop.

    visit = await from_asyncio.call(VISITS, Visits.visit, "bob")

As a Portal (`okibi.actors.portals`), but an asyncio task waits instead of a thread. Actor and
asyncio task run in one thread.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar, TypeVarTuple, Unpack

import outcome
import trio
from trio.lowlevel import current_task, spawn_system_task

from ..actors import Address, PortalClosed
from ..actors.process import CURRENT, Process
from ..actors.trio_internals import deadline_of
from .slices import ORIGIN, SliceLoop

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


from_asyncio = FromAsyncio()

_ENDED = "the tree has ended, or ended before the reply"


async def run_on_trio(act: Callable[[], Awaitable[R]]) -> R:
    """Run an async function on trio, and wait for its result on the asyncio loop."""
    loop = _running_loop()
    future: asyncio.Future[outcome.Outcome[R]] = loop.create_future()
    origin = ORIGIN.get(None)
    # So that code on trio knows how much time is left.
    scope = trio.CancelScope(deadline=deadline_of(None if origin is None else origin.caller))
    holder = None
    if origin is not None and origin.is_method and origin.running is asyncio.current_task():
        # An actor whose own method waits here reads no messages meanwhile (`wait_cycles`).
        holder = CURRENT.get()
    context = contextvars.copy_context()
    try:
        spawn_system_task(_act, act, holder, future, scope, loop, context=context)
    except RuntimeError:
        # The run of trio is ending.
        raise PortalClosed(_ENDED) from None
    try:
        return (await future).unwrap()
    except asyncio.CancelledError:
        scope.cancel()
        raise
    finally:
        # The traceback of an error refers to this frame.
        del future


async def _act(
    act: Callable[[], Awaitable[R]],
    holder: Process | None,
    future: "asyncio.Future[outcome.Outcome[R]]",
    scope: trio.CancelScope,
    loop: SliceLoop,
) -> None:
    with scope:
        if holder is not None:
            holder.waits.add_stand_in(current_task())
        result = await outcome.acapture(act)
        if holder is not None:
            holder.waits.remove_stand_in(current_task())
        if not future.done():
            future.set_result(_replace_cancelled(result, scope.deadline))
            loop.run_soon()
        # The error's frames refer to this frame.
        del result, future


def _replace_cancelled(result: outcome.Outcome[R], deadline: float) -> outcome.Outcome[R]:
    if not isinstance(result, outcome.Error) or not isinstance(result.error, trio.Cancelled):
        return result
    if trio.current_time() >= deadline:
        # The code on asyncio is being cancelled, too.
        return outcome.Error(TimeoutError("the caller's deadline has come"))
    return outcome.Error(PortalClosed(_ENDED))


def _running_loop() -> SliceLoop:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "from_asyncio needs okibi's asyncio loop, and this code does not run on asyncio: on "
            "trio use `await address.call(...)`; in a plain `def` use okibi.actors.from_sync"
        ) from None
    if isinstance(loop, SliceLoop):
        return loop
    raise RuntimeError(
        "from_asyncio needs okibi's own asyncio loop, and this code runs on another loop: "
        "use okibi.actors.Portal"
    )
