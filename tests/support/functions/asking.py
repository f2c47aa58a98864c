"""Handlers of each kind that ask an actor for its caller."""

from okibi.actors import Name, Server, from_sync
from okibi.runtime import Function, Handler, from_asyncio
from okibi.supervisors import Child


class Desk(Server):
    async def who(self) -> str:
        return self.caller.path


DESK = Name("desk", Desk)
CHILDREN = [Child(Desk, name=DESK)]


async def awaits(event, context):
    return await DESK.call(Desk.who)


async def enters(event, context):
    return await from_asyncio.call(DESK, Desk.who)


def blocks(event, context):
    return from_sync.call(DESK, Desk.who)


class Asking(Handler[dict]):
    async def handle(self, event, context):
        return await DESK.call(Desk.who)


on_trio = Function(awaits, children=CHILDREN)
on_asyncio = Function(enters, children=CHILDREN, loop="asyncio")
in_a_thread = Function(blocks, children=CHILDREN)
by_a_class = Function(Asking, children=CHILDREN)
