"""One loop of asyncio's for all events, as Mangum has it and Powertools' asynchronous batches."""

import asyncio
import time

loop = asyncio.new_event_loop()
go = asyncio.Event()
done = []


async def one(record):
    if record == "blocks":
        time.sleep(60)  # noqa: ASYNC251, it is what the test is about
    await go.wait()
    done.append(record)


async def batch(records):
    if not records:
        go.set()
        await asyncio.sleep(0)
    await asyncio.gather(*map(one, records))
    return done


def handler(event, context):
    return loop.run_until_complete(batch(event["records"]))
