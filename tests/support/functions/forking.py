"""Handlers that fork on a loop."""

import asyncio
import multiprocessing
import os
import subprocess
import sys

import attrs
import trio

from okibi.actors import Name, Server
from okibi.runtime import Function, Handler
from okibi.supervisors import Child

READ, WRITE = os.pipe()


async def code_of(child, sleep=trio.sleep):
    """Return the exit code of a child; None if it hangs."""
    for _ in range(1000):
        pid, status = os.waitpid(child, os.WNOHANG)  # noqa: ASYNC222, WNOHANG
        if pid:
            return os.waitstatus_to_exitcode(status)
        await sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)  # noqa: ASYNC222, killed
    return None


def watched():
    """Return the descriptors in trio's epoll."""
    kinds = {name: os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fdinfo")
             if os.path.exists(f"/proc/self/fd/{name}")}  # fmt: skip
    (epoll,) = [name for name, kind in kinds.items() if kind == "anon_inode:[eventpoll]"]
    with open(f"/proc/self/fdinfo/{epoll}") as told:
        return {line.split()[1] for line in told if line.startswith("tfd:")}


def end(then):
    match then:
        case "_exit":
            os._exit(7)
        case "exit":
            sys.exit(8)
        case "raise":
            raise ValueError("no")
        case "exec":
            os.execl("/bin/sh", "sh", "-c", "exit 9")
    return "from the child"


@attrs.define(eq=False)
class Forker(Server):
    async def fork(self):
        child = os.fork()
        if child == 0:
            await trio.sleep(60)
        return await code_of(child)


FORKER = Name("forker", Forker)


@attrs.define(eq=False)
class Forks(Handler[dict]):
    async def handle(self, event, context):
        match event["do"]:
            case "wait":
                await trio.sleep(0.01 * event["n"])
                return os.getpid()
            case "end":
                child = os.fork()
                return await code_of(child) if child else end(event["then"])
            case "await":
                child = os.fork()
                if child == 0:
                    await trio.sleep(60)
                return await code_of(child)
            case "task":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep, 0)
                    child = os.fork()
                return await code_of(child) if child else "from the child"
            case "actor":
                return await FORKER.call(Forker.fork)
            case "descriptor":
                child = os.fork()
                if child == 0:
                    await trio.lowlevel.wait_readable(READ)
                return [await code_of(child), str(READ) in watched()]
            case "multiprocessing":
                child = multiprocessing.get_context("fork").Process(target=end, args=("exit",))
                child.start()
                child.join()
                return child.exitcode
            case "subprocess":
                return subprocess.run(["sh", "-c", "exit 9"]).returncode  # noqa: ASYNC221


function = Function(handler=Forks, children=[Child(Forker, name=FORKER)])


async def on_asyncio(event, context):
    if event["do"] == "wait":
        await asyncio.sleep(0.01 * event["n"])
        return os.getpid()
    child = os.fork()
    if child == 0:
        if event["do"] == "await":
            await asyncio.sleep(0)
        return end(event["then"])
    return await code_of(child, asyncio.sleep)
