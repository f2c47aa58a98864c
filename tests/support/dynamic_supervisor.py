"""A DynamicSupervisor for a test's block, and requests to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from okibi.actors import Ref, Server, stop
from okibi.supervisors import Child, DynamicSupervisor, DynamicSupervisorSpec, supervise
from tests.support.child_stage import Stage, leave

Pool = Ref[DynamicSupervisor]


class Idle(Server):
    """An actor without messages."""


@asynccontextmanager
async def run_pool(**flags: Any) -> AsyncIterator[Pool]:
    async with trio.open_nursery() as nursery:
        pool = await supervise(nursery, DynamicSupervisorSpec(**flags), path="/pool")
        yield pool
        await stop(pool)


async def start_child(pool: Pool, child: Child[Any]) -> Ref[Any]:
    ref = await pool.call(DynamicSupervisor.start_child, child)
    assert ref is not None
    return ref


async def count_children(pool: Pool) -> tuple[int, ...]:
    return tuple(await pool.call(DynamicSupervisor.count_children))


async def start_then_crash(pool: Pool, stage: Stage, **fields: Any) -> Ref[Any]:
    """Start a child that crashes and then fails to start again."""
    ref = await start_child(pool, stage.child("a", **fields))
    stage.refused = {"a*"}
    await leave("a")
    return ref
