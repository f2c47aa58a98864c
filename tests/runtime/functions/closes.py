"""Closes okibi's own connection, as a descriptor that is closed twice may be."""

import contextlib
import os
import socket

import trio
import trio.lowlevel


def connections():
    """Descriptors of those to the Runtime API, an extension's too."""
    port = int(os.environ["AWS_LAMBDA_RUNTIME_API"].rpartition(":")[2])
    for found in range(3, 100):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(found)) as copy:
            if copy.family == socket.AF_INET and copy.getpeername()[1] == port:
                yield found


async def handler(event, context):
    await trio.lowlevel.checkpoint()
    if event:
        for found in connections():
            os.close(found)
    return os.getpid()
