"""A Runtime API with constant answers, for counting instructions and system calls.

The answers are prepared. A status is sent well before the next event, as by a server that has to
wait for an event. Therefore each invocation takes the same instructions and system calls.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence

from . import events
from .contenders import FUNCTIONS, ROOT
from .requests import ConnectionClosed, Requests

# Seconds between a status and the next event. Under valgrind, a runtime needs milliseconds for a
# status.
PAUSE = 0.006
PATIENCE = 60.0


def event(size: int) -> bytes:
    """Return a response to /next, as Go's net/http writes it.

    Args:
        size: bytes of the payload.
    """
    payload = b'{"body": "%s"}' % (b"x" * max(0, size - 12))
    return events.event(0, len(payload)).head + events.tail(payload)


def serve(command: Sequence[str], handler: str, count: int, size: int) -> str:
    """Let a runtime serve events, then stop it.

    Args:
        command: starts the runtime, possibly below a counting tool.
        handler: a handler in `functions/`.
        count: the number of events.
        size: bytes of an event.

    Returns:
        The runtime's standard error.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        environment = {
            **os.environ,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{listener.getsockname()[1]}",
            "_HANDLER": handler,
            "LAMBDA_TASK_ROOT": str(FUNCTIONS),
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": "0",
            # Without the connection of the extension.
            "OKIBI_GRACEFUL_SHUTDOWN": "0",
        }
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stderr=subprocess.PIPE,
            stdout=2,
            text=True,
            start_new_session=True,
        )
        try:
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.settimeout(PATIENCE)
                _feed(connection, event(size), count, Requests(2 * size))
                # A counting tool does not forward signals.
                os.killpg(process.pid, signal.SIGTERM)
                _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return said


def _feed(connection: socket.socket, made: bytes, count: int, requests: Requests) -> None:
    requests.attach(connection)
    try:
        requests.until_next()
        for _ in range(count):
            connection.sendall(made)
            requests.until_next()
            connection.sendall(events.STATUS)
            time.sleep(PAUSE)
    except ConnectionClosed:
        raise SystemExit("the runtime has closed its connection") from None
