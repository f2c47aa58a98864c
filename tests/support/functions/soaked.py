"""What a soak asks for: an echo, an error, a wait beyond the deadline, a look at the process."""

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

# Longer than any time-out of a soak; short enough for an abandoned thread to end within the run.
BEYOND = 0.4


def look(collect):
    """What lives in the process: tasks, threads, objects; these after a collection or as it is."""
    # First what raises where this is not trio's thread: the collection counts once.
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
        # In a thread of its own the handler has no tasks to look at.
        return trio.from_thread.run_sync(look, collect, trio_token=Loop.token)


class Soaked(Handler):
    """It has an instance of its own, with a task, that is replaced after each error."""

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
    """Keeps what trio's loop is reached by; beside a child, a plain `def` runs in a thread."""

    token = None

    async def init(self):
        Loop.token = trio.lowlevel.current_trio_token()


threaded = Function(handler=plain, children=[Child(Loop)])
asynchronous = Function(handler=on_asyncio, children=[Child(Loop)], loop="asyncio")

kept = []


def leaky(event, context):
    """Leaves a descriptor, a thread and some memory behind each error."""
    if event["do"] == "raise":
        kept.append((os.open(os.devnull, os.O_RDONLY), b"x" * 200_000))
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    return plain(event, context)


def forgetful(event, context):
    """Answers now and then with another event's number."""
    return {**event, "n": 0} if event["n"] % 100 == 99 else plain(event, context)


def fatal(event, context):
    """Ends the process in the middle."""
    print("no more")
    os._exit(3)
