"""Handler classes on the asyncio loop: what is said of their hooks."""

from typing import Any

import pytest
import trio

from okibi.actors import SHUTDOWN
from okibi.runtime import Handler
from okibi.runtime.handlers.asyncio_loop.asyncio_handlers import AsyncioHandler
from okibi.runtime.handlers.asyncio_loop.loop import AsyncioLoop
from okibi.runtime.handlers.streaming_handlers import GeneratorHandler
from okibi.runtime.serving.instance_slot import InstanceSlot

HOOKS = ["init", "terminate", "before_snapshot", "after_restore"]
SNAPSHOT = HOOKS[2:]


class Forgotten(Handler[Any]):
    """Without the `async` of each of its hooks."""

    def init(self) -> None:  # type: ignore[override]
        pass

    def terminate(self, reason: object) -> None:  # type: ignore[override]
        pass

    def before_snapshot(self) -> None:
        pass

    def after_restore(self) -> None:
        pass


@pytest.mark.parametrize("name", HOOKS)
async def test_a_hook_on_the_loop_that_gives_nothing_to_await_is_named(
    nursery: trio.Nursery, name: str
) -> None:
    loop = AsyncioLoop()
    await loop.start()
    handler = AsyncioHandler(Forgotten(), loop)
    object.__setattr__(handler, "nursery", nursery)

    with pytest.raises(TypeError, match=f"Forgotten.{name} is no `async def`"):
        await getattr(handler, name)(*[SHUTDOWN][: name == "terminate"])
    await loop.close()


@pytest.mark.parametrize("name", SNAPSHOT)
@pytest.mark.parametrize(
    "wrap", [lambda inner: inner, lambda inner: GeneratorHandler(inner, inner.handle)]
)
async def test_so_is_a_hook_around_a_snapshot_without_the_loop(name: str, wrap: Any) -> None:
    slot = InstanceSlot(lambda: wrap(Forgotten()))
    slot.instance = slot.make()

    with pytest.raises(TypeError, match=f"Forgotten.{name} is no `async def`"):
        await slot.call_hook(name)
