"""What functions written for AWS's own Python runtime do at their module's level and in a def."""

import asyncio
import os
import signal
import sqlite3

connection = sqlite3.connect(":memory:")
connection.execute("create table seen (n integer)")


def database(event, context):
    connection.execute("insert into seen values (1)")
    return connection.execute("select count(*) from seen").fetchone()[0]


def signals(event, context):
    taken = []
    old = signal.signal(signal.SIGALRM, lambda *_: taken.append("alarm"))
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    signal.pause()
    signal.signal(signal.SIGALRM, old)
    return taken


async def inner(event):
    await asyncio.sleep(0)
    return {"asyncio": event}


def loop(event, context):
    if event.get("do") == "sleep":
        asyncio.run(asyncio.sleep(60))
    return asyncio.run(inner(event))


async def needs_a_loop(event, context):
    await asyncio.sleep(1)


def pid(event, context):
    return os.getpid()
