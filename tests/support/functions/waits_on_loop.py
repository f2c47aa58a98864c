"""A handler that waits 20 ms and lets others run meanwhile."""

import trio


async def handler(event, context):
    await trio.sleep(0.02)
    return event
