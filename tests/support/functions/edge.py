"""A handler that ends about when its time does."""

import time


def sleeps(event, context):
    time.sleep(event["seconds"])
    return {"n": event["n"]}
