"""Handlers whose C code keeps the interpreter for longer than an event has."""

import re

from holding import hold


def keep(event):
    """Keep the interpreter by the code that an event names; without a name, return at once."""
    match event.get("by"):
        case "a regular expression":
            re.match("(a+)+$", "a" * 40 + "b")
        case "a power":
            3**10**8
        case "a ctypes.PyDLL call":
            hold(30)


def plain(event, context):
    keep(event)


async def asynchronous(event, context):
    keep(event)


async def streamed(event, context):
    yield b"begins"
    keep(event)
