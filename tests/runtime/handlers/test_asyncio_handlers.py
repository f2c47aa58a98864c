"""Handlers on the asyncio loop: the hooks of Handler classes, and leftover tasks."""

import asyncio
import logging
from typing import Any

import attrs
import pytest
import trio

from okibi.actors import SHUTDOWN, ExitReason, Name, Server
from okibi.asyncio_loop import from_asyncio
from okibi.resource import Resource
from okibi.runtime import Context, Function, Handler
from okibi.runtime.handlers.asyncio_handlers import AsyncioHandler, HandlerLoop
from okibi.runtime.handlers.streaming_handlers import GeneratorHandler
from okibi.runtime.serving.instance_lifecycle import InstanceLifecycle
from okibi.supervisors import Child
from okibi.testing import running

HOOKS = ["init", "terminate", "before_snapshot", "after_restore"]
SNAPSHOT = HOOKS[2:]


class Forgotten(Handler[Any]):
    """A Handler whose hooks lack `async`."""

    def init(self) -> None:  # type: ignore[override]
        pass

    def terminate(self, reason: object) -> None:  # type: ignore[override]
        pass

    def before_snapshot(self) -> None:
        pass

    def after_restore(self) -> None:
        pass


@attrs.define(eq=False)
class Connection(Server, loop="asyncio"):
    """Owns something of asyncio's, made before the handler."""

    loop: asyncio.AbstractEventLoop = attrs.field(init=False)
    reader: "asyncio.Task[None]" = attrs.field(init=False)

    async def init(self) -> None:
        self.loop = await current_loop()

    async def is_on(self, loop: asyncio.AbstractEventLoop) -> bool:
        self.reader = asyncio.create_task(asyncio.sleep(60))
        return self.loop is loop and await current_loop() is loop

    async def terminate(self, reason: ExitReason) -> None:
        self.reader.cancel()
        closed.append(self.loop is await current_loop())


CONNECTION = Name("connection", Connection)
closed = list[bool]()


async def current_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


async def test_children_and_handlers_share_one_loop_to_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(event: object, context: Context) -> bool:
        return await from_asyncio.call(CONNECTION, Connection.is_on, await current_loop())

    child = Child(Connection, name=CONNECTION)
    async with running(Function(handler, children=[child], loop="asyncio")) as app:
        assert await app.invoke({}) is True
    assert closed == [True]
    # The task of the actor lasts beyond the event, and is no leftover of the handler.
    assert "left task" not in caplog.text


async def test_a_pool_that_an_event_opens_is_no_leftover(caplog: pytest.LogCaptureFixture) -> None:
    async def open_pool() -> "asyncio.Task[None]":
        return asyncio.create_task(asyncio.sleep(60))

    async def close(worker: "asyncio.Task[None]") -> None:
        worker.cancel()

    async def handler(event: object, context: Context) -> bool:
        async with pool.lend() as worker:
            return worker.done()

    pool = Resource(open_pool, close=close, loop="asyncio")
    async with running(Function(handler, children=[Child(pool)], loop="asyncio")) as app:
        assert await app.invoke({}) is False
    assert "left task" not in caplog.text


@pytest.mark.parametrize("name", HOOKS)
async def test_a_hook_without_async_on_the_loop_is_named(nursery: trio.Nursery, name: str) -> None:
    loop = HandlerLoop()
    loop.start()
    handler = AsyncioHandler(Forgotten(), loop)
    object.__setattr__(handler, "nursery", nursery)

    with pytest.raises(TypeError, match=f"Forgotten.{name} must be an `async def`"):
        await getattr(handler, name)(*[SHUTDOWN][: name == "terminate"])
    await loop.close()


async def test_a_log_handler_that_raises_does_not_change_the_result() -> None:
    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("no log today")

    async def leaves() -> str:
        held.append(asyncio.create_task(asyncio.sleep(60)))
        return "answer"

    held = list[asyncio.Task[None]]()
    loop, logger, raising = HandlerLoop(), logging.getLogger("okibi"), Raising()
    loop.start()
    logger.addHandler(raising)
    try:
        assert await loop.run_handler(leaves) == "answer"
    finally:
        logger.removeHandler(raising)
    await loop.close()


@pytest.mark.parametrize("name", SNAPSHOT)
@pytest.mark.parametrize(
    "wrap", [lambda inner: inner, lambda inner: GeneratorHandler(inner, inner.handle)]
)
async def test_a_snapshot_hook_without_async_on_trio_is_named(name: str, wrap: Any) -> None:
    slot = InstanceLifecycle(lambda: wrap(Forgotten()))
    slot.instance = slot.create()

    with pytest.raises(TypeError, match=f"Forgotten.{name} must be an `async def`"):
        await slot.call_hook(name)
