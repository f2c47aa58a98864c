"""Handlers that run concurrently; each returns its identity, whatever thread or task it runs in."""

import _thread
import logging
import mmap
import os
import sys
import threading
import time

import trio
import trio.lowlevel

from okibi.runtime import Function, Handler, Workers, xray_trace_id

logger = logging.getLogger("many")
logger.setLevel("INFO")
VARIABLE = "_X_AMZN_TRACE_ID"
# Handlers wait here until all have arrived.
met = set()
# How a child ended, and a byte that parent and child share.
gone = []
shared = mmap.mmap(-1, 1)
OWN = os.getpid()


def told(event, context):
    return {
        "pid": os.getpid(),
        "threads": threading.active_count(),
        "id": context.aws_request_id,
        "trace": context.xray_trace_id,
        "told trace": xray_trace_id(),
        "variable": os.environ.get(VARIABLE),
        "n": event["n"],
    }


async def meet(event):
    met.add(event["n"])
    with trio.fail_after(60):
        while len(met) < event.get("of", 1):  # noqa: ASYNC110, all handlers are alike
            await trio.sleep(0.001)


async def on_loop(event, context):
    await meet(event)
    logger.info("task %s", event["n"])
    print("printed")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(beside, event["n"])
    await trio.to_thread.run_sync(logger.info, "thread %s", event["n"])
    return told(event, context)


async def beside(n):
    await trio.sleep(0.01)
    logger.info("nursery %s", n)


def in_thread(event, context):
    met.add(event["n"])
    until = time.monotonic() + 60
    while len(met) < event.get("of", 1) and time.monotonic() < until:
        time.sleep(0.001)
    logger.info("plain %s", event["n"])
    return told(event, context)


async def in_trio_s_thread(event, context):
    return await trio.to_thread.run_sync(in_thread, event, context)


async def in_asyncio_s_thread(event, context):
    import asyncio

    return await asyncio.to_thread(in_thread, event, context)


def computes(event, context):
    """Take turns at the GIL with the others, 5 ms each."""
    until = time.thread_time() + event.get("seconds", 0)
    while time.thread_time() < until:
        pass
    return {"pid": os.getpid()}


def ends_its_thread(event, context):
    if event["do"] == "stop iteration":
        raise StopIteration(3)
    if event["do"] == "generator exit":
        raise GeneratorExit
    if event["do"] == "thread exit":
        _thread.exit()
    return os.getpid()


async def on_asyncio(event, context):
    import asyncio

    met.add(event["n"])
    while len(met) < event.get("of", 1):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    logger.info("asyncio %s", event["n"])
    await asyncio.gather(gathered(event["n"]))
    await asyncio.to_thread(logger.info, "executor %s", event["n"])
    return told(event, context)


async def gathered(n):
    logger.info("gathered %s", n)


class Counting(Handler):
    """Counts its instances."""

    made = 0

    async def init(self):
        Counting.made += 1

    async def handle(self, event, context):
        await meet(event)
        return {**told(event, context), "made": Counting.made}


few = Function(Workers(Counting, count=2))


async def forks(event, context):
    """The first handler forks when all have arrived; the others run a step in each pass of the
    loop.
    """
    await meet(event)
    while event["n"] and not gone:
        await trio.lowlevel.checkpoint()
        shared[0] = shared[0] or os.getpid() != OWN
    if event["n"] == 0:
        await trio.sleep(0.01)
        child = os.fork()
        if child == 0:
            sys.exit(7)
        _, status = os.waitpid(child, 0)  # noqa: ASYNC222, no other task may run
        gone.append(os.waitstatus_to_exitcode(status))
    return [OWN, gone[0], shared[0]]
