"""A handler that sleeps 20 ms on the loop."""

import trio


async def handler(event, context):
    await trio.sleep(0.02)
    return event
