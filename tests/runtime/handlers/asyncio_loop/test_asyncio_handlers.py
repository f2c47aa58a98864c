"""The hooks of Handler classes on the asyncio loop."""

from typing import Any

import pytest
import trio

from okibi.actors import SHUTDOWN
from okibi.runtime import Handler
from okibi.runtime.handlers.asyncio_loop.asyncio_handlers import AsyncioHandler
from okibi.runtime.handlers.asyncio_loop.loop import AsyncioLoop
from okibi.runtime.handlers.streaming_handlers import GeneratorHandler
from okibi.runtime.serving.instance_lifecycle import InstanceLifecycle

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


@pytest.mark.parametrize("name", HOOKS)
async def test_a_hook_without_async_on_the_loop_is_named(nursery: trio.Nursery, name: str) -> None:
    loop = AsyncioLoop()
    await loop.start()
    handler = AsyncioHandler(Forgotten(), loop)
    object.__setattr__(handler, "nursery", nursery)

    with pytest.raises(TypeError, match=f"Forgotten.{name} must be an `async def`"):
        await getattr(handler, name)(*[SHUTDOWN][: name == "terminate"])
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
