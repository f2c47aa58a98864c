"""Rows of docs/compatibility.md about okibi's own means: children and typed events."""

import os
from contextlib import suppress

import attrs
import trio

from okibi.actors import FREEZES, ActorExited, Freeze, Name, Server
from okibi.runtime import Function, Handler
from okibi.supervisors import Child


@attrs.define(eq=False)
class Rates(Server):
    """Refreshes in the background; crashes on demand."""

    refreshed: int = 0

    async def init(self) -> None:
        self.monitor(FREEZES)
        self.send_every(0.01, "refresh")

    async def handle_info(self, message) -> None:
        if isinstance(message, Freeze):
            os.write(1, b"thawed\n")
        self.refreshed += 1

    async def look(self) -> int:
        return self.refreshed

    async def crash(self) -> None:
        raise LookupError("no such rate")

    async def terminate(self, reason) -> None:
        os.write(1, b"rates ended\n")


RATES = Name("rates", Rates)


async def handler(event, context):
    if event.get("do") == "crash":
        with suppress(ActorExited):
            await RATES.call(Rates.crash)
    before = await RATES.waiting(5).call(Rates.look)
    await trio.sleep(0.1)
    return {"pid": os.getpid(), "refreshing": await RATES.call(Rates.look) > before}


function = Function(handler, [Child(Rates, name=RATES)])


@attrs.frozen
class Greeting:
    name: str


class Greeter(Handler[Greeting]):
    async def handle(self, event, context):
        return event.name
