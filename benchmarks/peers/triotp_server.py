"""triotp: a gen_server called by another child of the same node; children of a dynamic_supervisor.

In triotp a server is a module with callbacks, so this file is one. triotp's limits:

    * A child's start is not acknowledged: here its `init` sets an event.
    * A dynamic supervisor cannot stop a child: here the child is cast a stop, and its `terminate`
      sets an event, one step before its mailbox is destroyed.
    * A mailbox has no buffer, so a cast waits until the server takes it.

Releases for Python before 3.13 need trio 0.19, with which okibi does not run.
"""

import itertools
from typing import Any

import trio
from triotp import application, dynamic_supervisor, gen_server, node, supervisor
from triotp.helpers import current_module

from .measure import OperationCounts, each, read_counts, tell

__module__ = current_module()

numbers = itertools.count()


class ChildEvents:
    """Events that a child sets when it starts and when it ends."""

    def __init__(self) -> None:
        self.began = trio.Event()
        self.ended = trio.Event()


# -- the callbacks


async def init(life: ChildEvents) -> ChildEvents:
    life.began.set()
    return life


async def terminate(_reason: BaseException | None, life: ChildEvents) -> None:
    life.ended.set()


async def handle_call(
    message: object, _caller: object, life: ChildEvents
) -> tuple[Any, ChildEvents]:
    return gen_server.Reply(payload=message), life


async def handle_cast(message: object, life: ChildEvents) -> tuple[Any, ChildEvents]:
    if message == "stop":
        return gen_server.Stop(), life
    return gen_server.NoReply(), life


# -- the work


async def started() -> tuple[str, ChildEvents]:
    """Start a child; return its name and its events."""
    name, life = f"echo-{next(numbers)}", ChildEvents()
    spec = supervisor.child_spec(
        id=name,
        task=gen_server.start,
        args=[__module__, life, name],
        restart=supervisor.restart_strategy.TEMPORARY,
    )
    await dynamic_supervisor.start_child("pool", spec)
    await life.began.wait()
    return name, life


async def ask(told: OperationCounts) -> None:
    echo, life = await started()

    async def calls(times: int) -> None:
        for number in range(times):
            await gen_server.call(echo, number)

    async def casts(times: int) -> None:
        for number in range(times):
            await gen_server.cast(echo, number)
        await gen_server.call(echo, 0)

    async def starts(times: int) -> None:
        for _ in range(times):
            name, child = await started()
            await gen_server.cast(name, "stop")
            await child.ended.wait()

    call = await each(calls, told.warmup, told.calls)
    cast = await each(casts, told.warmup, told.casts)
    await gen_server.cast(echo, "stop")
    await life.ended.wait()
    tell(call, cast, await each(starts, told.warmup, told.starts), "triotp", "trio")


async def start(told: OperationCounts) -> None:
    """The application: a pool of children, and the caller."""
    async with trio.open_nursery() as nursery:
        await nursery.start(dynamic_supervisor.start, supervisor.options(), "pool")
        await ask(told)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    app = application.app_spec(module=__module__, start_arg=read_counts(), permanent=False)
    node.run(apps=[app])
