"""Where the benchmarks start children that come and go: a DynamicSupervisor."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from okibi.actors import Ref, Server, stop
from okibi.supervisors import Child, DynamicSupervisor, DynamicSupervisorSpec, Restart, supervise


class Echo(Server):
    """Answers with what it is given."""

    async def echo(self, value: int) -> int:
        return value

    async def note(self, value: int) -> None:
        """Take what is cast."""


ECHO = Child(Echo, restart=Restart.TEMPORARY)


class Pool:
    """Starts and stops children one at a time; the end of its block stops the rest."""

    def __init__(self, top: Ref[DynamicSupervisor]) -> None:
        self._top = top

    async def start_child(self) -> Ref[Echo]:
        child = await self._top.call(DynamicSupervisor.start_child, ECHO)
        if child is None:
            raise RuntimeError("a child ignored its start")
        return child

    async def terminate_child(self, child: Ref[Echo]) -> None:
        await self._top.call(DynamicSupervisor.terminate_child, child)


@asynccontextmanager
async def open_pool() -> AsyncGenerator[Pool, None]:
    """Have a pool for the length of a block; at its end all children have been stopped."""
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, DynamicSupervisorSpec(intensity=0), path="/pool")
        yield Pool(top)
        await stop(top)
