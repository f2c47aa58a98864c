"""Run callables and Handler classes on okibi's asyncio loop (`okibi.asyncio_loop`).

Imported only for `Function(loop="asyncio")` or `OKIBI_LOOP=asyncio`, so that other functions do not
pay for asyncio in their cold start.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

import attrs
import trio

from ...actors import ExitReason
from ...actors.hook_errors import require_awaitable
from ...asyncio_loop.loop import AsyncioLoop
from ..deadlines.interrupt import DeadlineInterrupt
from ..errors.error_response import calls_handler
from ..process_end.forked_child import exit_child, exit_on_loop, fork_location
from ..settings import thread_limit
from .context import Context
from .handler import (
    Abandon,
    AsyncHandler,
    Handler,
    Instance,
    PlainHandler,
    is_async,
    is_awaitable,
    is_handler,
)
from .leftover_tasks import LeftoverTaskLog, keep_running

P = ParamSpec("P")
R = TypeVar("R")


class HandlerLoop(AsyncioLoop):
    """The asyncio loop of a function: runs handlers, and logs the tasks that they leave behind.

    Args:
        lanes: the number of events that may be in flight. The loop's default executor has a full
            set of threads for each (`asyncio.to_thread`, name resolution).
    """

    def __init__(self, lanes: int = 1) -> None:
        super().__init__()
        # The size of asyncio's own executor, for each lane. A thread starts when needed.
        self._thread_count = thread_limit(lanes, min(32, (os.cpu_count() or 1) + 4))
        self._leftover_tasks = LeftoverTaskLog()
        # The tasks of handlers, and of the nurseries of Handler instances.
        self._handlers = set["asyncio.Task[Any]"]()
        self._background = set["asyncio.Task[Any]"]()

    def start(self) -> None:
        super().start()
        assert self.loop is not None
        self.loop.set_default_executor(ThreadPoolExecutor(self._thread_count, "asyncio"))
        keep_running(self.root)

    def keep_tasks(self) -> None:
        """Mark all tasks that run as intended: those of an application's start."""
        for task in asyncio.all_tasks(self.loop):
            keep_running(task)

    async def run_handler(
        self, target: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run an async function of a handler, as `run`, but perhaps without a checkpoint.

        The worker waits for the next event anyway.
        """
        act = partial(self._run_in, self._handlers, partial(target, *args, **kwargs))
        return await self.run_job(act)  # type: ignore[no-any-return]

    async def run_in_background(
        self, target: Callable[..., Awaitable[object]], *args: object
    ) -> None:
        """Run an async function of a Handler's nursery, which is not a leftover task."""
        await self.run(self._run_in, self._background, partial(target, *args))

    @calls_handler
    async def _run_in(
        self, tasks: "set[asyncio.Task[Any]]", act: Callable[[], Awaitable[object]]
    ) -> object:
        process, task = os.getpid(), asyncio.current_task()
        assert task is not None  # the loop runs each job in a task
        tasks.add(task)
        try:
            return await act()
        finally:
            if os.getpid() != process:
                # The handler forked, and this is the child, which has no loop of its own.
                exit_child(sys.exception())
            tasks.discard(task)
            loop = self.loop
            if tasks is self._handlers and not tasks and loop is not None and loop.has_new_tasks:
                # While another handler runs, a task may belong to that handler.
                loop.has_new_tasks = False
                mine = {task, *self._background, *loop.tasks_of_actors}
                self._leftover_tasks.log_new(mine)

    def after_fork_in_child(self) -> None:
        """In a child that was forked on the loop: end the process after the current step."""
        self.call_first(partial(exit_on_loop, fork_location()))


def instance_factory(
    target: Any,
    interrupt: DeadlineInterrupt | None,
    abandon: Abandon,
    loop: HandlerLoop,
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
        return lambda: AsyncHandler(partial(loop.run_handler, target))
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
        loop: HandlerLoop,
    ) -> None:
        super().__init__(target, interrupt, abandon)
        self.loop = loop

    def convert_result(self, result: object) -> object:
        async def on_loop() -> object:
            return await cast("Awaitable[object]", result)

        return self.loop.run_handler(on_loop) if is_awaitable(result) else result


@attrs.define(eq=False)
class AsyncioHandler(Handler[Any]):
    """Runs the `init`, `handle` and `terminate` of a Handler on the asyncio loop.

    Args:
        inner: the user's Handler.
        loop: the asyncio loop.
    """

    inner: Handler[Any]
    loop: HandlerLoop

    async def init(self) -> None:
        nursery: Any = TaskStarter(self.loop, self.nursery)
        # The user's class may be frozen, so bypass its __setattr__.
        object.__setattr__(self.inner, "nursery", nursery)
        await self._hook("init")

    async def handle(self, event: Any, context: Context) -> object:
        # Not a generator: GeneratorHandler wraps a Handler that yields.
        handle: Callable[[Any, Context], Awaitable[object]] = self.inner.handle  # type: ignore[assignment]
        return await self.loop.run_handler(handle, event, context)

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
            await self.loop.run_handler(lambda: require_awaitable(hook(*args), self.inner, name))


class TaskStarter:
    """The `nursery` of a Handler on asyncio: runs tasks on the loop until the instance ends.

    A trio task in the instance's nursery waits for each asyncio task. So a crash of a task ends the
    instance, and the end of the instance cancels its tasks, as on trio.
    """

    __slots__ = ("_loop", "_nursery")

    def __init__(self, loop: HandlerLoop, nursery: trio.Nursery) -> None:
        self._loop = loop
        self._nursery = nursery

    def start_soon(
        self, target: Callable[..., Awaitable[object]], *args: object, name: object = None
    ) -> None:
        """Start a background task; the only method of a nursery that exists here."""
        # The instance may have ended.
        if not self._nursery.cancel_scope.cancel_called:
            self._nursery.start_soon(
                partial(self._loop.run_in_background, target, *args), name=name or target
            )
