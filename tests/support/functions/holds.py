"""Handlers whose C code holds the GIL longer than an event has time."""

import ctypes
import re
import signal
import threading

from holding import hold


def keep(event):
    """Hold the GIL in the way that the event names; without a name, return at once."""
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


def blocked(event, context):
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    keep(event)


def leaves(event, context):
    """Leave a thread behind that holds the GIL a moment later, between two events."""
    threading.Timer(0.2, keep, (event,)).start()


def polls(event, context):
    """Wait in C for milliseconds; return 0, or -1 if a signal cut the wait short."""
    return ctypes.CDLL(None).poll(None, 0, event["for"])
