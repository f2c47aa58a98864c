"""Closes okibi's own connection, as code that closes a descriptor twice may do."""

import contextlib
import os
import socket
import stat

import trio
import trio.lowlevel


def is_runtime_api_connection(found):
    """Whether a descriptor is a connection to the Runtime API or the Extensions API."""
    port = int(os.environ["AWS_LAMBDA_RUNTIME_API"].rpartition(":")[2])
    if not stat.S_ISSOCK(os.fstat(found).st_mode):
        return False
    with socket.socket(fileno=os.dup(found)) as copy:
        return copy.family == socket.AF_INET and copy.getpeername()[1] == port


def descriptors():
    for found in range(3, 100):
        with contextlib.suppress(OSError):
            os.fstat(found)
            yield found


async def handler(event, context):
    # Let the poller wait for the connection.
    await trio.sleep(0.01)
    # The newest is the poller's; the one before is the extension's.
    for found in [each for each in descriptors() if event and is_runtime_api_connection(each)][-1:]:
        os.close(found)
        if event["taken"]:
            os.dup2(null, found)
    return os.getpid()


null = os.open(os.devnull, os.O_RDWR)
