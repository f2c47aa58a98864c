"""A function whose actor, or handler, blocks the event loop."""

import importlib
import time
from functools import partial

import trio

from okibi import Child, Function, Handler, Name, Server
from okibi.supervisors import DynamicSupervisor, DynamicSupervisorSpec, Restart


class SlowToMake(Server):
    def __init__(self, seconds: float) -> None:
        time.sleep(seconds)


POOL = Name("pool", DynamicSupervisor)


class Blocker(Server):
    async def block(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251, the subject


BLOCKER = Name("blocker", Blocker)


class Calls(Handler[dict]):
    async def handle(self, event, context):
        match event["do"]:
            case "call":
                await BLOCKER.call(Blocker.block, event["seconds"])
            case "make":
                make = partial(SlowToMake, event["seconds"])
                child = Child(make, id="slow", restart=Restart.TEMPORARY)
                await POOL.call(DynamicSupervisor.start_child, child)
            case "wait":
                await trio.sleep(event["seconds"])
            case "thread":
                await trio.to_thread.run_sync(time.sleep, event["seconds"])
            case "import":
                importlib.import_module("slow_to_import")


async def handler(event, context):
    time.sleep(event["seconds"])  # noqa: ASYNC251, the subject
    return context.aws_request_id


async def short_calls(event, context):
    end = time.monotonic() + event["seconds"]
    while time.monotonic() < end:
        time.sleep(0.01)  # noqa: ASYNC251, the subject


def plain(event, context):
    time.sleep(event["seconds"])


children = [Child(Blocker, name=BLOCKER), Child(DynamicSupervisorSpec(), name=POOL)]
function = Function(handler=Calls, children=children)
