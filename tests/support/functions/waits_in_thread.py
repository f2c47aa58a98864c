"""A handler that blocks its thread for 20 ms, without importing trio, for the official client."""

import time


def handler(event, context):
    time.sleep(0.02)
    return event
