"""Functions of okibi.batch for tests: one handler on trio, on asyncio, in a thread, in an actor."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import trio

from okibi import Child, Function, Name, Server
from okibi.actors.trio_internals import sniffio
from okibi.batch import Batch, Record

# How a handler runs.
KINDS = ["trio", "asyncio", "def", "actor"]
Act = Callable[[Record[Any]], object]


async def sleep(seconds: float) -> None:
    """Sleep on the loop that runs now."""
    if sniffio.name == "asyncio":
        await asyncio.sleep(seconds)
    else:
        await trio.sleep(seconds)


@attrs.define(eq=False)
class Clerk(Server):
    """An actor that handles records.

    Args:
        act: called for each record; its result is awaited if it is a coroutine.
    """

    act: Act

    async def handle(self, record: Record[Any]) -> None:
        await _act_on(self.act, record)


CLERK = Name("clerk", Clerk)


async def _act_on(act: Act, record: Record[Any]) -> None:
    result = act(record)
    if asyncio.iscoroutine(result):
        await result


def make_function(kind: str, act: Act, **options: Any) -> Function:
    """Return a Function that calls `act` for each record.

    Args:
        kind: one of KINDS.
        act: a `def`; but of "def", also an `async def`.
        options: of the Batch.
    """
    match kind:
        case "def":
            return Function(Batch(act, **options))
        case "actor":
            batch = Batch(Clerk.handle, actor=CLERK.waiting(5), **options)
            # Far more crashes than a batch has, so that no restart is delayed.
            clerk = Child(partial(Clerk, act), name=CLERK)
            return Function(batch, children=[clerk], intensity=10_000)
        case _:

            async def handle(record: Record[Any]) -> None:
                await _act_on(act, record)

            options["loop"] = kind
            return Function(Batch(handle, **options))
