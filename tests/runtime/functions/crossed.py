"""Handlers that ask an actor as it is done on the other loop, and one that waits so."""

import trio
import trio.lowlevel

from actors import Name, Server
from runtime import Function, from_asyncio
from supervisors import Child


class Visits(Server):
    async def visit(self) -> int:
        return 1


VISITS = Name("visits", Visits)


async def calls(event, context):
    return await VISITS.call(Visits.visit)


async def sleeps(event, context):
    await trio.sleep(1)


async def steps(event, context):
    await trio.lowlevel.checkpoint()


async def calls_from_asyncio(event, context):
    return await from_asyncio.call(VISITS, Visits.visit)


CHILDREN = [Child(Visits, name=VISITS)]
calls_on_asyncio = Function(calls, children=CHILDREN, loop="asyncio")
sleeps_on_asyncio = Function(sleeps, loop="asyncio")
steps_on_asyncio = Function(steps, loop="asyncio")
from_asyncio_on_trio = Function(calls_from_asyncio, children=CHILDREN, loop="trio")
