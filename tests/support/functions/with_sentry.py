"""A function with Sentry and its default integrations."""

import os
import time

import sentry_sdk
import trio
from fastapi import FastAPI

from okibi import Function, Handler
from okibi.batch import Batch
from okibi.telemetry import sentry
from okibi.web import ASGI

sentry_sdk.init(dsn=os.environ["DSN"], traces_sample_rate=1.0)
sentry.capture_events()


def act(event):
    if event.get("do") == "hold the loop":
        time.sleep(60)
    sentry_sdk.set_tag("name", event.get("name"))
    raise ValueError("asked for")


def plain(event, context):
    act(event)


async def on_trio(event, context):
    await trio.lowlevel.checkpoint()
    act(event)


async def captures(event, context):
    try:
        act(event)
    except ValueError as error:
        sentry_sdk.capture_exception(error)
        raise


class Class(Handler[dict[str, str]]):
    async def handle(self, event, context):
        await on_trio(event, context)


async def handle_record(record):
    act({"name": record.body})


app = FastAPI()


@app.get("/orders/{number}")
async def order(number: int):
    act({"name": str(number)})


batch = Batch(handle_record)
web = Function(ASGI(app))
