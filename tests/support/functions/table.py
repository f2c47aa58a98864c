"""The actions of the handlers of docs/compatibility.md. Nothing here imports okibi."""

import asyncio
import atexit
import collections
import dataclasses
import datetime
import logging
import math
import os
import resource
import sys
import threading
import time
import uuid

import snapshot_restore_py
from holding import hold

STATE = collections.Counter()
SECOND = threading.Event()
CLIENT = {}
logger = logging.getLogger("app")


@dataclasses.dataclass
class Order:
    number: int


class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("no text")


RESULTS = {
    "nan": {"mean": math.nan},
    "dataclass": Order(1),
    "datetime": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    "uuid": uuid.UUID(int=1),
    "set": {1},
    "surrogate": "\ud800",
    "nested": {"orders": [object()]},
}


@atexit.register
def last():
    os.write(1, b"cleaned up\n")


@snapshot_restore_py.register_after_restore
def restored():
    os.write(1, b"restored\n")


def handler(event, context):
    began = time.monotonic()
    match event.get("do"):
        case "raise":
            raise ValueError("asked for")
        case "sleep":
            time.sleep(event.get("seconds", 60))
        case "spin":
            while True:
                pass
        case "swallow":
            while True:
                try:
                    time.sleep(1)
                except Exception:
                    continue
        case "hold":
            os.write(1, b"holding\n")
            hold(event.get("seconds", 60))
        case "exit":
            sys.exit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "abort":
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.abort()
        case "huge":
            return "x" * 6_291_555
        case "huge error":
            raise ValueError("x" * 7_000_000)
        case "unspeakable":
            raise Unspeakable
        case "group":
            raise ExceptionGroup("two", [KeyError("first"), OSError("second")])
        case "cause":
            try:
                STATE.copy().pop("missing")
            except KeyError as error:
                raise ValueError("no such state") from error
        case "exception":
            try:
                raise KeyError("no such order")
            except KeyError:
                logger.exception("caught")
            logger.warning("after it")
        case "bad log":
            logger.warning("%d", "no number")
        case "result":
            return RESULTS[event["what"]]
        case "name":
            return event["name"]
        case "log":
            logger.warning("said")
        case "log in a thread":
            thread = threading.Thread(target=logger.warning, args=("said",))
            thread.start()
            thread.join()
    STATE["served"] += 1
    return {
        "pid": os.getpid(),
        "id": context.aws_request_id,
        "served": STATE["served"],
        "began": began,
        "main": threading.current_thread() is threading.main_thread(),
    }


def beyond_ascii(event, context):
    raise ValueError("café")


def kind_of_event(event, context):
    return type(event).__name__


async def asynchronous(event, context):
    match event.get("do"):
        case "sleep":
            await asyncio.sleep(60)
        case "block":
            time.sleep(60)  # noqa: ASYNC251, under test
        case "ask":
            import aiohttp

            if "session" not in CLIENT:
                CLIENT["session"] = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
            async with CLIENT["session"].get(event["url"]) as answer:
                return await answer.json()
    return {"pid": os.getpid()}


def wrapped(event, context):
    """The usual wrapper of an `async def` for the official client."""
    return asyncio.run(asynchronous(event, context))


def leaves(event, context):
    """Leave a thread that logs during the next event."""
    if event.get("first"):

        def later():
            SECOND.wait()
            logger.warning("said later")

        CLIENT["left"] = threading.Thread(target=later)
        CLIENT["left"].start()
    else:
        SECOND.set()
        CLIENT["left"].join()
    return context.aws_request_id


async def leaves_task(event, context):
    """Leave a task that logs during the next event."""
    if event.get("first"):

        async def later():
            while not SECOND.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            logger.warning("said later")

        CLIENT["left"] = asyncio.create_task(later())
    else:
        SECOND.set()
        await CLIENT["left"]
    return context.aws_request_id


# -- a background worker without actors

REFRESHED = collections.Counter()


def refresh():
    while not REFRESHED["broken"]:
        REFRESHED["rates"] += 1
        time.sleep(0.01)
    raise LookupError("no such rate")


def refreshing(event, context):
    if "thread" not in CLIENT:
        CLIENT["thread"] = threading.Thread(target=refresh, daemon=True)
        CLIENT["thread"].start()
    if event.get("do") == "crash":
        REFRESHED["broken"] = 1
        CLIENT["thread"].join()
        REFRESHED["broken"] = 0
    before = REFRESHED["rates"]
    time.sleep(0.1)
    return {"pid": os.getpid(), "refreshing": REFRESHED["rates"] > before}


async def streamed(event, context):
    yield b"a"
    yield b"b"
