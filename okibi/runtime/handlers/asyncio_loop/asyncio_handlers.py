"""Handlers that run on the asyncio loop: callables, and Handler classes."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import attrs
import trio
from trio.lowlevel import TrioToken, current_trio_token

from ....actors import ExitReason
from ....actors.hook_errors import awaited
from ...deadlines.interrupt import Alarm
from ..context import Context
from ..handler import (
    Abandon,
    AsyncHandler,
    Handler,
    Instance,
    PlainHandler,
    is_async,
    is_awaitable,
    is_handler,
)
from .loop import AsyncioLoop


def instance_factory(
    target: Any,
    alarm: Alarm | None,
    abandon: Abandon,
    loop: AsyncioLoop,
) -> Callable[[], Instance]:
    """What makes the instances of a handler that is written for asyncio.

    Args:
        target: a Handler class, or any callable.
        alarm, abandon: as a PlainHandler's.
        loop: what it is awaited on.
    """
    if is_handler(target):
        return lambda: AsyncioHandler(target(), loop)
    if is_async(target):
        return lambda: AsyncHandler(partial(loop.run, target))
    return lambda: AsyncioPlainHandler(target, alarm, abandon, loop)


class AsyncioPlainHandler(PlainHandler):
    """A plain `def` as a handler; if it returns an awaitable, that is the asyncio loop's.

    It runs where it does without the loop: it blocks, and must not block that.

    Args:
        loop: the loop.
    """

    __slots__ = ("loop",)

    def __init__(
        self,
        target: Callable[[Any, Context], Any],
        alarm: Alarm | None,
        abandon: Abandon,
        loop: AsyncioLoop,
    ) -> None:
        super().__init__(target, alarm, abandon)
        self.loop = loop

    def result_of(self, result: object) -> object:
        async def on_loop() -> object:
            return await cast("Awaitable[object]", result)

        return self.loop.run(on_loop) if is_awaitable(result) else result


@attrs.define(eq=False)
class AsyncioHandler(Handler[Any]):
    """A Handler whose `init`, `handle` and `terminate` run on the asyncio loop.

    Args:
        inner: the user's own.
        loop: the loop.
    """

    inner: Handler[Any]
    loop: AsyncioLoop

    async def init(self) -> None:
        nursery: Any = TaskStarter(self.loop, self.nursery, current_trio_token())
        # Past the class's own __setattr__: it may be a frozen one.
        object.__setattr__(self.inner, "nursery", nursery)
        await self._hook("init")

    async def handle(self, event: Any, context: Context) -> object:
        # One that yields comes wrapped in what streams it.
        handle: Callable[[Any, Context], Awaitable[object]] = self.inner.handle  # type: ignore[assignment]
        return await self.loop.run(handle, event, context)

    async def terminate(self, reason: ExitReason) -> None:
        await self._hook("terminate", reason)

    async def before_snapshot(self) -> None:
        """Have it get ready for a snapshot, if it has a method of that name."""
        await self._hook("before_snapshot")

    async def after_restore(self) -> None:
        """Have it find back after a snapshot, if it has a method of that name."""
        await self._hook("after_restore")

    async def _hook(self, name: str, *args: object) -> None:
        hook = getattr(self.inner, name, None)
        if hook is not None:
            await self.loop.run(lambda: awaited(hook(*args), self.inner, name))


class TaskStarter:
    """What such a Handler finds as its `nursery`: its tasks run on the loop, and end with it.

    A trio task of the instance's own nursery waits for each, so that a crash is the instance's
    and its end cancels them, as without asyncio.
    """

    __slots__ = ("_loop", "_nursery", "_token")

    def __init__(self, loop: AsyncioLoop, nursery: trio.Nursery, token: TrioToken) -> None:
        self._loop = loop
        self._nursery = nursery
        self._token = token

    def start_soon(
        self, target: Callable[..., Awaitable[object]], *args: object, name: object = None
    ) -> None:
        """Start a task beside the handler; nothing else of a nursery is offered here."""
        act = partial(self._loop.run_beside, target, *args)
        self._token.run_sync_soon(self._start, act, name or target)

    def _start(self, act: Callable[[], Awaitable[object]], name: object) -> None:
        # The instance may have ended meanwhile, and trio would end with what this raises.
        if not self._nursery.cancel_scope.cancel_called:
            self._nursery.start_soon(act, name=name)
