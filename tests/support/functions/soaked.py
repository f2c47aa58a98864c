"""Handlers for a soak: an echo, an error, a wait beyond the deadline, figures of the process."""

import asyncio
import gc
import os
import threading
import time
from collections import Counter

import trio

from okibi.actors import Server
from okibi.runtime import Function, Handler
from okibi.supervisors import Child

# Longer than any time-out of a soak, and short enough for an abandoned thread to end within the
# run.
BEYOND = 0.4


def look(collect):
    """Return figures of the process: tasks and objects, after a collection or as it is."""
    # This raises outside of trio's thread, before the collection.
    tasks, waiting = [], [trio.lowlevel.current_root_task()]
    garbage = gc.collect() if collect else 0
    while waiting:
        task = waiting.pop()
        tasks.append(task.name)
        waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    objects = gc.get_objects()
    return {
        "tasks": len(tasks),
        "objects": len(objects),
        "garbage": garbage,
        "types": Counter(type(each).__name__ for each in objects).most_common(30),
    }


def answer(event):
    if event["do"] == "raise":
        raise ValueError(f"event {event['n']}")
    if event["do"] not in ("look", "collect"):
        return event
    collect = event["do"] == "collect"
    try:
        return look(collect)
    except RuntimeError:
        # The handler runs in a thread and has no tasks.
        return trio.from_thread.run_sync(look, collect, trio_token=Loop.token)


class Soaked(Handler):
    """Has an instance with a task, replaced after each error."""

    async def init(self):
        self.nursery.start_soon(trio.sleep_forever)

    async def handle(self, event, context):
        if event["do"] == "wait":
            await trio.sleep(BEYOND)
        return answer(event)


async def coroutine(event, context):
    if event["do"] == "wait":
        await trio.sleep(BEYOND)
    return answer(event)


def plain(event, context):
    if event["do"] == "wait":
        time.sleep(BEYOND)
    return answer(event)


async def on_asyncio(event, context):
    if event["do"] == "wait":
        await asyncio.sleep(BEYOND)
    return answer(event)


class Loop(Server):
    """Keeps trio's token. With this child, a plain `def` runs in a thread."""

    token = None

    async def init(self):
        Loop.token = trio.lowlevel.current_trio_token()


threaded = Function(handler=plain, children=[Child(Loop)])
asynchronous = Function(handler=on_asyncio, children=[Child(Loop)], loop="asyncio")

kept = []


def leaky(event, context):
    """Leaks a descriptor, a thread and memory at each error."""
    if event["do"] == "raise":
        kept.append((os.open(os.devnull, os.O_RDONLY), b"x" * 200_000))
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    return plain(event, context)


def forgetful(event, context):
    """Sometimes answers with another event's number."""
    return {**event, "n": 0} if event["n"] % 100 == 99 else plain(event, context)


def fatal(event, context):
    """Ends the process midway."""
    print("no more")
    os._exit(3)
