"""Handlers as written for AWS's Python runtime, with work at module level and in a def."""

import asyncio
import os
import signal
import sqlite3
import threading

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
    await asyncio.sleep(60 if event.get("do") == "sleep" else 0)
    return {"asyncio": event}


def loop(event, context):
    return asyncio.run(inner(event))


lasting = asyncio.new_event_loop()


def kept_loop(event, context):
    """A common way to keep a session between invocations."""
    return lasting.run_until_complete(inner(event))


def threads(event, context):
    """On the main thread, without a running loop, with Python's own signal handlers."""
    try:
        asyncio.get_running_loop()
    except RuntimeError as error:
        loop = str(error)
    main = threading.current_thread() is threading.main_thread()
    return [main, loop, signal.getsignal(signal.SIGALRM) is signal.SIG_DFL]


def boto(event, context):
    """A client kept by the module, as is common."""
    import boto3

    if "client" not in _kept:
        _kept["client"] = boto3.client(
            "dynamodb",
            endpoint_url=event["url"],
            region_name="eu-central-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
        )
    item = _kept["client"].get_item(TableName="people", Key={"name": {"S": "bob"}})["Item"]
    return [item["seen"]["N"], context.aws_request_id != ""]


_kept = {}


async def needs_a_loop(event, context):
    await asyncio.sleep(1)


def pid(event, context):
    return os.getpid()


def every(event, context):
    """Call the function that the event names."""
    return globals()[event["do"]](event.get("event", {}), context)
