"""A handler that ends close to its deadline."""

import time


def sleeps(event, context):
    time.sleep(event["seconds"])
    return {"n": event["n"]}
