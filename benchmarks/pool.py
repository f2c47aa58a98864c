"""Where the benchmarks start children that come and go: a DynamicSupervisor of okibi."""

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import trio

from actors import Ref, Server, start, stop
from supervisors import Child, Restart, supervise


class Echo(Server):
    """Answers with what it is given."""

    async def echo(self, value: int) -> int:
        return value

    async def note(self, value: int) -> None:
        """Take what is cast."""


ECHO = Child(Echo, restart=Restart.TEMPORARY)


class Pool(Protocol):
    """What starts and stops children one at a time; the end of its block stops the rest."""

    async def start_child(self) -> Ref[Echo]: ...

    async def terminate_child(self, child: Ref[Echo]) -> None: ...


class _Dynamic:
    """Children of a DynamicSupervisor."""

    def __init__(self, room: Any, top: Ref[Any]) -> None:
        self._supervisor = room.DynamicSupervisor
        self._top = top

    async def start_child(self) -> Ref[Echo]:
        child: Ref[Echo] = await self._top.call(self._supervisor.start_child, ECHO)
        return child

    async def terminate_child(self, child: Ref[Echo]) -> None:
        await self._top.call(self._supervisor.terminate_child, child)


class _Nursery:
    """Children that nobody supervises: what stands in until there is a DynamicSupervisor."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    async def start_child(self) -> Ref[Echo]:
        return await start(self._nursery, Echo)

    async def terminate_child(self, child: Ref[Echo]) -> None:
        await stop(child)


@asynccontextmanager
async def open_pool() -> AsyncIterator[Pool]:
    """Have a pool for the length of a block; at its end all children have been stopped."""
    room = _room()
    async with trio.open_nursery() as nursery:
        if room is None:
            yield _Nursery(nursery)
            nursery.cancel_scope.cancel()
            return
        top: Ref[Any] = await supervise(nursery, room.Dynamic(intensity=0), path="/pool")
        yield _Dynamic(room, top)
        top.stop()
        await top.wait()


def kind() -> str:
    """What a pool's children live under, for the heads of tables."""
    return "a plain nursery" if _room() is None else "one DynamicSupervisor"


def _room() -> Any:
    try:
        return importlib.import_module("supervisors.dynamic")
    except ModuleNotFoundError:
        return None
