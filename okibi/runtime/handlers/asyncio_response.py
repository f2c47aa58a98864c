"""The response of a streaming handler on the asyncio loop."""

from functools import partial

from ...asyncio_loop.from_asyncio import run_on_trio
from .response import Item, Response


class AsyncioResponse(Response):
    """A Response whose `write` is awaited on the asyncio loop and runs on trio."""

    __slots__ = ()

    async def write(self, data: Item) -> None:
        await run_on_trio(partial(super().write, data))
