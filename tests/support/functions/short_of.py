"""Handlers that leave their process without a log reader, or without memory."""

import os
import resource
import signal
import time

import trio

kept = []


def fill_pipe():
    """Write to standard output until its pipe is full."""
    os.set_blocking(1, False)
    for size in (65536, 1):
        try:
            while True:
                os.write(1, b"x" * size)
        except BlockingIOError:
            pass
    os.set_blocking(1, True)


def use_memory():
    """Take all the memory that this process may have."""
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    # A new thread gets memory for its stack, and none for its work.
    limit = pages * 4096 + (9 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    stack = bytearray(8 << 20)
    size = 1 << 20
    while size >= 64:
        try:
            while True:
                kept.append(bytearray(size))
        except MemoryError:
            size //= 2
    del stack


async def reader(event, context):
    if event.get("do") is None:
        return "ok"
    fill_pipe()
    while True:
        try:
            time.sleep(1)  # noqa: ASYNC251, holds the loop
        except BaseException:
            continue


async def memory(event, context):
    if event.get("do") is None:
        return "ok"
    use_memory()
    os.kill(os.getpid(), signal.SIGTERM)
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()
    return None
