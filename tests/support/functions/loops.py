"""Handlers written for asyncio, and what they keep between invocations."""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
import time
from contextvars import ContextVar

from okibi.actors import Name, Server
from okibi.actors.life import Phase
from okibi.actors.process import Process
from okibi.runtime import Function, Handler, Workers, from_asyncio, keep_running
from okibi.supervisors import Child

COUNTED = ContextVar("counted", default=0)
STATE = {"loop": None, "ticks": 0}


def exit_code(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def handler(event, context):
    STATE["ticks"] += 1
    if "begun" in event:
        open(event["begun"], "w").close()  # noqa: ASYNC230
    match event.get("do"):
        case "raise":
            raise ValueError("no")
        case "exit":
            sys.exit(3)
        case "fork":
            child = os.fork()
            if child == 0:
                return None
            return exit_code(child)
        case "fork and exit":
            child = os.fork()
            if child == 0:
                sys.exit(3)
            return exit_code(child)
        case "interrupt":
            raise KeyboardInterrupt
        case "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                await asyncio.sleep(60)
        case "sleep":
            try:
                await asyncio.sleep(60)
            finally:
                print("cancelled")
        case "clean up":
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(event["for"])
                print("has cleaned up")
        case "late":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return "answered all the same"
        case "block":
            time.sleep(60)  # noqa: ASYNC251, under test
        case "swallow":
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    continue
        case "leave":
            asyncio.create_task(ticks(), name="ticker")  # noqa: RUF006, it is left behind
        case "leave stubborn":
            keep_running(asyncio.create_task(stubborn()))
        case "log":
            await asyncio.gather(logs())
            return context.aws_request_id
        case "kill":
            kill(event["path"])
            await asyncio.sleep(0.05)
        case "keep_running":
            keep_running(asyncio.create_task(ticks(), name="kept"))
        case "exit beside":
            asyncio.create_task(exits())  # noqa: RUF006
            await asyncio.sleep(0.05)
        case "stop":
            asyncio.get_running_loop().stop()
        case "break":
            asyncio.get_running_loop()._run_once = break_loop
            await asyncio.sleep(60)
        case "generator":
            STATE["generator"] = numbers()
            await anext(STATE["generator"])
        case "process":
            process = await asyncio.create_subprocess_exec("echo", "hi", stdout=-1)
            return (await process.communicate())[0].decode()
        case "thread":
            return await asyncio.to_thread(threading.current_thread) is not None
        case "signal":
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    same, STATE["loop"] = STATE["loop"] is loop, loop
    before = COUNTED.get()
    COUNTED.set(before + 1)
    return {"pid": os.getpid(), "same": same, "ticks": STATE["ticks"], "counted": before}


def kill(path):
    """Kill an actor of the runtime."""
    gc.unfreeze()
    processes = [each for each in gc.get_objects() if isinstance(each, Process)]
    (found,) = (p for p in processes if p.path == path and p.life.phase is Phase.RUNNING)
    found.kill()


def break_loop():
    raise OSError("broken")


async def logs():
    logging.warning("from a task")


async def fails():
    raise LookupError("in the group")


async def exits():
    sys.exit(4)


async def ticks():
    try:
        while True:
            STATE["ticks"] += 100
            await asyncio.sleep(0.01)
    finally:
        print("ticks end")


async def stubborn():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


async def numbers():
    try:
        yield 1
        yield 2
    finally:
        print("generator ends")


def wrapped(event, context):
    """A plain `def` that returns an awaitable, as a decorator may."""
    return handler(event, context)


class Keeps(Handler[dict[str, str]]):
    """Lives on the loop, with its tasks."""

    async def init(self):
        self.loop = asyncio.get_running_loop()
        self.ticks = 0
        self.nursery.start_soon(self.tick)
        print("init")

    async def tick(self):
        try:
            while True:
                self.ticks += 1
                await asyncio.sleep(0.001)
        finally:
            print("tick ends")

    async def crash(self):
        raise LookupError("beside")

    async def handle(self, event, context):
        match event.get("do"):
            case "raise":
                raise ValueError("no")
            case "crash beside":
                self.nursery.start_soon(self.crash)
                await asyncio.sleep(60)
            case "sleep":
                await asyncio.sleep(60)
        await asyncio.sleep(0.01)
        return {"same": asyncio.get_running_loop() is self.loop, "ticked": self.ticks > 0}

    async def terminate(self, reason):
        await asyncio.sleep(0)
        print("terminate", reason.kind)


class Visits(Server):
    seen = 0

    async def visit(self, by):
        if by == "nobody":
            raise ValueError("nobody")
        self.seen += by
        return self.seen


VISITS = Name("visits", Visits)


async def visits(event, context):
    return await asyncio.gather(*(from_asyncio.call(VISITS, Visits.visit, n) for n in event["by"]))


async def elsewhere(event, context):
    return await asyncio.to_thread(asyncio.run, visits({"by": [1]}, context))


both = Function(
    handler=Workers(visits), children=[Child(Visits, name=VISITS, id="visits")], loop="asyncio"
)
here = Function(handler, loop="asyncio")
keeps = Function(Keeps, loop="asyncio")
on_trio = Function(handler, loop="trio")
