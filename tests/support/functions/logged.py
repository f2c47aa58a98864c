"""A function whose logging, or whose standard output, raises."""

import contextvars
import logging
import math
import sys

import trio

tenant = contextvars.ContextVar("tenant")


class Tenant(logging.Filter):
    """Raises outside of an invocation, where there is no tenant."""

    def filter(self, record):
        record.tenant = tenant.get()
        return True


def _mark():
    for handler in logging.getLogger().handlers:
        handler.addFilter(Tenant())
    logging.getLogger().setLevel(logging.INFO)


class ReplacedOutput:
    """Replaces standard output."""

    def write(self, text):
        return len(text)

    def flush(self):
        raise NotImplementedError


async def marked(event, context):
    _mark()
    tenant.set("one")
    await trio.sleep(event.get("seconds", 0))
    return {"big": "x" * 6_291_557, "nan": math.nan}.get(event.get("do"), 1)


def replaced(event, context):
    sys.stdout = sys.stderr = ReplacedOutput()
    if event.get("do") == "raise":
        raise ValueError("no")
    return 1
