"""A function with telemetry; each export writes what its events have left to the file OUT."""

import os
import time
from contextlib import contextmanager

import trio

from okibi import telemetry

ended = []


@telemetry.around_events
@contextmanager
def observe(observed):
    yield
    ended.append(f"{observed.event['name']} {observed.error_type}")


@telemetry.after_events
def export(seconds):
    begun, ended[:] = [*ended], []
    time.sleep(float(os.environ["EXPORT_SECONDS"]))
    with open(os.environ["OUT"], "a") as out:
        out.writelines(f"{line}\n" for line in begun)


async def handler(event, context):
    match event.get("do"):
        case "sleep":
            print(event["name"], "begins", flush=True)
            await trio.sleep_forever()
        case "hold the loop":
            time.sleep(60)  # noqa: ASYNC251, the subject
    return event["name"]
