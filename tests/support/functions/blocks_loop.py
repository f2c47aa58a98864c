"""A function whose actor, or handler, blocks the event loop."""

import importlib
import time

import trio

from okibi import Child, Function, Handler, Name, Server


class Blocker(Server):
    async def block(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251, the subject


BLOCKER = Name("blocker", Blocker)


class Calls(Handler[dict]):
    async def handle(self, event, context):
        match event["do"]:
            case "call":
                await BLOCKER.call(Blocker.block, event["seconds"])
            case "wait":
                await trio.sleep(event["seconds"])
            case "thread":
                await trio.to_thread.run_sync(time.sleep, event["seconds"])
            case "import":
                importlib.import_module("slow_to_import")


async def handler(event, context):
    time.sleep(event["seconds"])  # noqa: ASYNC251, the subject


def plain(event, context):
    time.sleep(event["seconds"])


function = Function(handler=Calls, children=[Child(Blocker, name=BLOCKER)])
