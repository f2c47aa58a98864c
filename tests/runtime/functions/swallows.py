"""Handlers that do not let out what they are told at their deadline, and do not know what it is."""

import contextlib
import functools
import os
import time

import trio


class Others:
    """Another library's errors."""

    class DeadlineExceeded(Exception):
        pass


def works(seconds=30):
    time.sleep(seconds)


def a_batch(event, context):
    """One record is slow; each of the others is skipped."""
    done = 0
    for seconds in (0, 30, 0, 0):
        try:
            works(seconds)
            done += 1
        except BaseException:
            continue
    return done


def another_s(event, context):
    try:
        works()
    except Others.DeadlineExceeded:
        return "another's"
    except BaseException:
        return "half"


def deep(event, context, depth=900):
    if depth:
        return deep(event, context, depth - 1)
    try:
        works()
    except BaseException:
        return "half"


def a_finally(event, context):
    try:
        works()
    finally:
        return "half"  # noqa: B012


def suppressed(event, context):
    with contextlib.suppress(BaseException):
        works()
    return "half"


class Slow:
    def __del__(self):
        works(3)


def a_del(event, context):
    Slow()
    return "half"


def watched(function):
    """As what must not break whom it watches."""

    @functools.wraps(function)
    def wrapper(event, context):
        result = None
        try:
            result = function(event, context)
        except BaseException as error:
            print(error)
        return result

    return wrapper


@watched
def wrapped(event, context):
    works()


@watched
def generates(event, context):
    yield b"a"
    with contextlib.suppress(BaseException):
        works()


async def an_async(event, context):
    try:
        works()
    except BaseException:
        return "half"


async def an_async_that_writes(event, context):
    yield b"a"
    with contextlib.suppress(BaseException):
        works()


HANDLERS = {
    name: value
    for name, value in list(globals().items())
    if getattr(value, "__module__", "") == __name__ and callable(value)
}


def plain(event, context):
    if "do" not in event:
        return os.getpid()
    return HANDLERS[event["do"]](event, context)


async def asynchronous(event, context):
    if "do" not in event:
        await trio.lowlevel.checkpoint()
        return os.getpid()
    return await HANDLERS[event["do"]](event, context)
