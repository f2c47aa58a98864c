"""asyncio libraries, used as documented, with clients kept between invocations."""

import asyncio
import os

_kept = {}


async def with_aiohttp(event, context):
    import aiohttp

    if "session" not in _kept:
        _kept["session"] = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
    async with _kept["session"].get(event["url"]) as answer:
        return await answer.json()


async def with_httpx(event, context):
    import httpx

    if "client" not in _kept:
        _kept["client"] = httpx.AsyncClient(timeout=5)
    answers = await asyncio.gather(*(_kept["client"].get(event["url"]) for _ in range(3)))
    return max(answer.json()["requests"] for answer in answers)


async def with_asyncpg(event, context):
    import asyncpg

    if "pool" not in _kept:
        _kept["pool"] = await asyncpg.create_pool(
            host=os.environ["DATABASE"], user="okibi", database="postgres", min_size=1, max_size=2
        )
    async with _kept["pool"].acquire() as connection:
        if event.get("do") == "sleep":
            await connection.execute("SELECT pg_sleep(60)")
        async with connection.transaction():
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            return [pid, await connection.fetchval("SELECT $1::int + 1", event["number"])]
