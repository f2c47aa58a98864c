"""xoscar, one pool in one process: an awaited method, and its `tell`.

An actor has no own mailbox that could be full or inspected, and no supervisor. `create_actor` and
`destroy_actor` go through the pool, as a call to an actor of another process would.
"""

import asyncio
from typing import Any

import xoscar

from .measure import each, read_counts, tell


class Echo(xoscar.Actor):
    """Returns its argument."""

    async def echo(self, value: int) -> int:
        return value


async def main() -> None:
    told = read_counts()
    pool = await xoscar.create_actor_pool("127.0.0.1", n_process=0)
    async with pool:
        address = pool.external_address
        echo: Any = await xoscar.create_actor(Echo, address=address, uid="echo")

        async def call(times: int) -> None:
            for number in range(times):
                await echo.echo(number)

        async def cast(times: int) -> None:
            for number in range(times):
                await echo.echo.tell(number)
            await echo.echo(0)

        async def start(times: int) -> None:
            for _ in range(times):
                child = await xoscar.create_actor(Echo, address=address)
                await xoscar.destroy_actor(child)

        tell(
            await each(call, told.warmup, told.calls),
            await each(cast, told.warmup, told.casts),
            await each(start, told.warmup, told.starts),
            "xoscar",
        )


if __name__ == "__main__":
    asyncio.run(main())
