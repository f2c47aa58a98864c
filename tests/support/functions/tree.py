"""A function with a stateful server, and handlers that call it."""

import os
import threading
import time

import attrs
import trio

from okibi.actors import Name, Server, from_thread
from okibi.runtime import Function, Handler, Workers, from_asyncio
from okibi.supervisors import Child


@attrs.define(eq=False)
class Visits(Server):
    seen: int = 0

    async def visit(self) -> int:
        self.seen += 1
        return self.seen

    async def crash(self) -> None:
        raise RuntimeError("asked for")

    async def block(self) -> None:
        time.sleep(60)  # noqa: ASYNC251, under test

    async def hang(self) -> None:
        await trio.sleep_forever()

    async def terminate(self, reason) -> None:
        print(f"visits end: {reason}", flush=True)


VISITS = Name("visits", Visits)


@attrs.frozen
class Greeting:
    name: str
    do: str = ""


@attrs.define(eq=False)
class Greeter(Handler[Greeting]):
    served: int = 0

    async def init(self) -> None:
        self.nursery.start_soon(self.beside)

    async def beside(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            print("beside ends", flush=True)

    async def handle(self, event, context):
        self.served += 1
        match event.do:
            case "raise":
                raise ValueError("no")
            case "exit":
                raise SystemExit(3)
            case "sleep":
                await trio.sleep_forever()
            case "shield":
                with trio.CancelScope(shield=True):
                    await trio.sleep_forever()
            case "block the server":
                await VISITS.call(Visits.block)
            case "wait for the server":
                await VISITS.call(Visits.hang)
            case "crash the server":
                await VISITS.cast(Visits.crash)
            case "crash beside":
                self.nursery.start_soon(crash)
                await trio.sleep_forever()
        visit = await VISITS.call(Visits.visit)
        return {"name": event.name, "visit": visit, "served": self.served, "pid": os.getpid()}


async def crash():
    raise LookupError("beside")


def threaded(event, context):
    if event.get("do") == "sleep":
        time.sleep(3)
    if event.get("do") == "wait for the server":
        from_thread.call(VISITS, Visits.hang)
    return {"pid": os.getpid(), "main": threading.current_thread() is threading.main_thread()}


async def on_asyncio(event, context):
    await from_asyncio.call(VISITS, Visits.hang)


@attrs.define(eq=False)
class Failing(Server):
    async def init(self) -> None:
        raise ConnectionError("no database")


@attrs.define(eq=False)
@attrs.define(eq=False)
class Hanging(Server):
    async def init(self) -> None:
        print("init has begun", flush=True)
        await trio.sleep_forever()


@attrs.define(eq=False)
class Dying(Server):
    async def run(self) -> None:
        await trio.sleep(0.01)
        raise RuntimeError("again and again")


class Returning(Handler[Greeting]):
    """The second instance takes long to start."""

    made = 0

    async def init(self) -> None:
        Returning.made += 1
        if Returning.made > 1:
            await trio.sleep(60)

    async def handle(self, event, context):
        if event.do == "raise":
            raise ValueError("no")
        return {"name": event.name, "pid": os.getpid()}


class FailingHandler(Handler[object]):
    async def init(self) -> None:
        raise ConnectionError("no table")

    async def handle(self, event, context):
        return event


function = Function(Greeter, [Child(Visits, name=VISITS)])
plain = Function(threaded, [Child(Visits, name=VISITS)])
looped = Function(on_asyncio, [Child(Visits, name=VISITS)], loop="asyncio")
failing = Function(Greeter, [Child(Visits, name=VISITS), Child(Failing, id="database")])
hanging = Function(Greeter, [Child(Hanging, id="slow")])
returning = Function(Workers(Returning, 1))
dying = Function(Greeter, [Child(Dying, id="mayfly")], intensity=3)
