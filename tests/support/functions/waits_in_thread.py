"""A handler that waits 20 ms and holds its thread; the official client needs to import no trio."""

import time


def handler(event, context):
    time.sleep(0.02)
    return event
