"""User code that streams: by yielding, by writing, on loops and in threads."""

import asyncio
import os
import time

import trio

from okibi.actors import Server
from okibi.runtime import Function, Handler, Prelude, streaming
from okibi.supervisors import Child

SIZE = 64 * 1024


async def yields(event, context):
    match event.get("do"):
        case "early":
            raise ValueError("early")
        case "http":
            yield Prelude(status_code=201, headers={"content-type": "text/plain"}, cookies=["a=b"])
        case "bytes":
            piece = bytes(SIZE)
            for _ in range(event["size"] // SIZE):
                yield piece
            return
    for n in range(event.get("count", 3)):
        yield f"{n} {os.getpid()}\n"
        await trio.sleep(event.get("pause", 0))
    if event.get("do") == "late":
        raise ValueError(event.get("text", "late"))


def plain(event, context):
    for n in range(event.get("count", 3)):
        yield f"{n} {os.getpid()}\n"
        time.sleep(event.get("pause", 0))
        if event.get("do") == "late":
            raise ValueError("late")


@streaming
async def writes(event, response, context):
    response.content_type = "text/csv"
    for n in range(event.get("count", 3)):
        await response.write(f"{n} {os.getpid()}\n")
        await trio.sleep(event.get("pause", 0))
    if event.get("do") == "late":
        raise ValueError("late")


class Beside(Server):
    """A child, so that a plain `def` runs in a thread."""


threaded = Function(plain, children=[Child(Beside)])


class Yields(Handler[dict]):
    made = 0

    async def init(self):
        Yields.made += 1
        self.number = Yields.made

    async def handle(self, event, context):
        async for item in yields(event, context):
            yield item
        yield f"instance {self.number}"


# -- for asyncio


async def on_asyncio(event, context):
    task = asyncio.current_task()
    for n in range(event.get("count", 3)):
        async with asyncio.timeout(5):
            yield f"{n} {os.getpid()}\n"
            await asyncio.sleep(event.get("pause", 0))
        assert asyncio.current_task() is task
    if event.get("do") == "late":
        raise ValueError("late")


@streaming
async def writes_on_asyncio(event, response, context):
    response.content_type = "text/csv"
    async for item in on_asyncio(event, context):
        await response.write(item)


class OnAsyncio(Handler[dict]):
    async def init(self):
        self.nursery.start_soon(asyncio.sleep, 0)

    async def handle(self, event, context):
        async for item in on_asyncio(event, context):
            yield item


writing = Function(writes_on_asyncio, loop="asyncio")
handling = Function(OnAsyncio, loop="asyncio")
