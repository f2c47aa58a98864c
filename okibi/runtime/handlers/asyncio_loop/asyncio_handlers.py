"""Run callables and Handler classes on the asyncio loop."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import attrs
import trio
from trio.lowlevel import TrioToken, current_trio_token

from ....actors import ExitReason
from ....actors.hook_errors import require_awaitable
from ...deadlines.interrupt import DeadlineInterrupt
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
    interrupt: DeadlineInterrupt | None,
    abandon: Abandon,
    loop: AsyncioLoop,
) -> Callable[[], Instance]:
    """Return a factory of instances of a handler that runs on the asyncio loop.

    Args:
        target: a Handler class, or any callable.
        interrupt, abandon: the arguments of PlainHandler.
        loop: the asyncio loop.
    """
    if is_handler(target):
        return lambda: AsyncioHandler(target(), loop)
    if is_async(target):
        return lambda: AsyncHandler(partial(loop.run, target))
    return lambda: AsyncioPlainHandler(target, interrupt, abandon, loop)


class AsyncioPlainHandler(PlainHandler):
    """Runs a plain `def`; an awaitable result is awaited on the asyncio loop.

    The `def` itself runs where a PlainHandler runs it, because the `def` must not block the loop.

    Args:
        loop: the asyncio loop.
    """

    __slots__ = ("loop",)

    def __init__(
        self,
        target: Callable[[Any, Context], Any],
        interrupt: DeadlineInterrupt | None,
        abandon: Abandon,
        loop: AsyncioLoop,
    ) -> None:
        super().__init__(target, interrupt, abandon)
        self.loop = loop

    def convert_result(self, result: object) -> object:
        async def on_loop() -> object:
            return await cast("Awaitable[object]", result)

        return self.loop.run(on_loop) if is_awaitable(result) else result


@attrs.define(eq=False)
class AsyncioHandler(Handler[Any]):
    """Runs the `init`, `handle` and `terminate` of a Handler on the asyncio loop.

    Args:
        inner: the user's Handler.
        loop: the asyncio loop.
    """

    inner: Handler[Any]
    loop: AsyncioLoop

    async def init(self) -> None:
        nursery: Any = TaskStarter(self.loop, self.nursery, current_trio_token())
        # The user's class may be frozen, so bypass its __setattr__.
        object.__setattr__(self.inner, "nursery", nursery)
        await self._hook("init")

    async def handle(self, event: Any, context: Context) -> object:
        # Not a generator: GeneratorHandler wraps a Handler that yields.
        handle: Callable[[Any, Context], Awaitable[object]] = self.inner.handle  # type: ignore[assignment]
        return await self.loop.run(handle, event, context)

    async def terminate(self, reason: ExitReason) -> None:
        await self._hook("terminate", reason)

    async def before_snapshot(self) -> None:
        """Call the Handler's hook of this name, if there is one (SnapStart)."""
        await self._hook("before_snapshot")

    async def after_restore(self) -> None:
        """Call the Handler's hook of this name, if there is one (SnapStart)."""
        await self._hook("after_restore")

    async def _hook(self, name: str, *args: object) -> None:
        hook = getattr(self.inner, name, None)
        if hook is not None:
            await self.loop.run(lambda: require_awaitable(hook(*args), self.inner, name))


class TaskStarter:
    """The `nursery` of a Handler on asyncio: runs tasks on the loop until the instance ends.

    A trio task in the instance's nursery waits for each asyncio task. So a crash of a task ends the
    instance, and the end of the instance cancels its tasks, as on trio.
    """

    __slots__ = ("_loop", "_nursery", "_token")

    def __init__(self, loop: AsyncioLoop, nursery: trio.Nursery, token: TrioToken) -> None:
        self._loop = loop
        self._nursery = nursery
        self._token = token

    def start_soon(
        self, target: Callable[..., Awaitable[object]], *args: object, name: object = None
    ) -> None:
        """Start a background task; the only method of a nursery that exists here."""
        act = partial(self._loop.run_in_background, target, *args)
        self._token.run_sync_soon(self._start, act, name or target)

    def _start(self, act: Callable[[], Awaitable[object]], name: object) -> None:
        # The instance may have ended, and an error here would end trio's run.
        if not self._nursery.cancel_scope.cancel_called:
            self._nursery.start_soon(act, name=name)
