"""A streamed answer that is written on the asyncio loop."""

from functools import partial

from ..response import Item, Response
from .from_asyncio import enter


class AsyncioResponse(Response):
    """A Response whose `write` is awaited on the asyncio loop, and done on trio's side."""

    __slots__ = ()

    async def write(self, data: Item) -> None:
        await enter(partial(super().write, data))
