"""Handlers that call an actor, or wait, with the other loop's functions."""

import trio
import trio.lowlevel

from okibi.actors import Name, Server
from okibi.runtime import Function, from_asyncio
from okibi.supervisors import Child


class Visits(Server):
    async def visit(self) -> int:
        return 1


VISITS = Name("visits", Visits)


async def asks(event, context):
    match event["do"]:
        case "calls":
            return await VISITS.call(Visits.visit)
        case "sleeps":
            await trio.sleep(1)
        case "steps":
            await trio.lowlevel.checkpoint()
    return None


async def calls_from_asyncio(event, context):
    return await from_asyncio.call(VISITS, Visits.visit)


CHILDREN = [Child(Visits, name=VISITS)]
on_asyncio = Function(asks, children=CHILDREN, loop="asyncio")
from_asyncio_on_trio = Function(calls_from_asyncio, children=CHILDREN, loop="trio")
