"""Handlers that do what handlers should not."""

import asyncio
import json
import math
import os
import sys
import tempfile
import threading


def huge(event, context):
    return "x" * (event["size"] - 2 if event["size"] > 1000 else event["size"])


def results(event, context):
    """Return a result of an unusual kind."""
    endless = []
    endless.append(endless)
    return {
        "nan": math.nan,
        "bytes": b"\0raw",
        "object": object(),
        "surrogate": "\ud800",
        "endless": endless,
        "set": {1},
        "none": None,
    }[event["what"]]


def closes(event, context):
    """Close the process's output."""
    sys.stdout.close()
    sys.stderr.close()
    if event.get("do") == "raise":
        raise ValueError("no")
    return os.getpid()


def forks(event, context):
    child = os.fork()
    if child == 0:
        match event["do"]:
            case "exit":
                sys.exit(7)
            case "exit without":
                sys.exit()
            case "raise":
                raise ValueError(8)
        return "from the child"
    return [os.getpid(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]


def forks_in_a_stream(event, context):
    child = os.fork()
    if child == 0:
        yield b"from the child"
    yield json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode()


def unfinished(event, context):
    print("no newline", end="")
    return os.getpid()


def threads(event, context):
    """Leave a thread that never ends."""
    threading.Thread(target=threading.Event().wait).start()
    return os.getpid()


def moves(event, context):
    """Remove the working directory."""
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)
    raise ValueError("no")


def counts(event, context):
    """Return what this process holds."""
    with open("/proc/self/statm") as memory:
        pages = int(memory.read().split()[1])
    return {
        "fds": len(os.listdir("/proc/self/fd")),
        "pages": pages,
        "threads": threading.active_count(),
    }


def runs_asyncio(event, context):
    """Run what httpx and anyio look at, in the handler's own `asyncio.run`."""

    async def library():
        import sniffio

        return sniffio.current_async_library()

    return [asyncio.run(library()), os.getpid()]


async def pid(event, context):
    return os.getpid()
