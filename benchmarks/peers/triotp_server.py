"""triotp: a gen_server, asked by another child of the same node; children of a dynamic_supervisor.

A server is a module with callbacks there, so this file is one. Its limits, which are triotp's:

    * a child's start is not acknowledged: here its `init` says that it runs.
    * a dynamic supervisor cannot stop a child: here the child is cast a stop, and its `terminate`
      says that it ends. That is a step before its mailbox is destroyed.
    * a mailbox has room for no message, so a cast waits for the server to take it.

Releases for Python before 3.13 want trio 0.19, with which okibi does not run.
"""

import itertools
from typing import Any

import trio
from triotp import application, dynamic_supervisor, gen_server, node, supervisor
from triotp.helpers import current_module

from .measure import Counts, counts, each, tell

__module__ = current_module()

numbers = itertools.count()


class Life:
    """Where a child says that it runs, and that it ends."""

    def __init__(self) -> None:
        self.began = trio.Event()
        self.ended = trio.Event()


# -- the callbacks


async def init(life: Life) -> Life:
    life.began.set()
    return life


async def terminate(_reason: BaseException | None, life: Life) -> None:
    life.ended.set()


async def handle_call(message: object, _caller: object, life: Life) -> tuple[Any, Life]:
    return gen_server.Reply(payload=message), life


async def handle_cast(message: object, life: Life) -> tuple[Any, Life]:
    if message == "stop":
        return gen_server.Stop(), life
    return gen_server.NoReply(), life


# -- the work


async def started() -> tuple[str, Life]:
    """A child that runs, by its name."""
    name, life = f"echo-{next(numbers)}", Life()
    spec = supervisor.child_spec(
        id=name,
        task=gen_server.start,
        args=[__module__, life, name],
        restart=supervisor.restart_strategy.TEMPORARY,
    )
    await dynamic_supervisor.start_child("pool", spec)
    await life.began.wait()
    return name, life


async def ask(told: Counts) -> None:
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


async def start(told: Counts) -> None:
    """The application: a pool of children, and the one who asks."""
    async with trio.open_nursery() as nursery:
        await nursery.start(dynamic_supervisor.start, supervisor.options(), "pool")
        await ask(told)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    app = application.app_spec(module=__module__, start_arg=counts(), permanent=False)
    node.run(apps=[app])
