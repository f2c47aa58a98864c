"""asyncio inside trio's thread, for any trio program: one lasting loop, run in slices.

    body = await on_asyncio(fetch, url)                                   # trio calls asyncio
    visit = await from_asyncio.call(VISITS, Visits.visit, "bob")          # asyncio calls trio

This package uses actors, and does not use the Lambda runtime. A program that does not use asyncio
does not import it.
"""

from .from_asyncio import from_asyncio
from .loop import AsyncioLoop, LoopEnded, on_asyncio

__all__ = ["AsyncioLoop", "LoopEnded", "from_asyncio", "on_asyncio"]
