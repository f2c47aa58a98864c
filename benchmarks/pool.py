"""A DynamicSupervisor, in which benchmarks start and stop children."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from okibi.actors import Ref, Server, stop
from okibi.supervisors import Child, DynamicSupervisor, DynamicSupervisorSpec, Restart, supervise


class Echo(Server):
    """Returns its argument."""

    async def echo(self, value: int) -> int:
        return value

    async def note(self, value: int) -> None:
        """Accept a cast."""


ECHO = Child(Echo, restart=Restart.TEMPORARY)


class Pool:
    """Starts and stops children one at a time. Leaving the block stops the rest."""

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
    """Open a pool; stop all its children when the block ends."""
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, DynamicSupervisorSpec(intensity=0), path="/pool")
        yield Pool(top)
        await stop(top)
