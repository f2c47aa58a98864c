"""A Runtime API that says the same each time: what drives the runtime while something is counted.

What it says was made before, and the status of an answer is out a while before the next event, as
from a server that has to wait for an event. So an invocation takes the same instructions and the
same calls into the kernel each time.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from . import events
from .requests import Closed, Requests

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = Path(__file__).parent / "functions"
# Seconds between a status and the next event. Under valgrind a runtime takes some ms for the one.
PAUSE = 0.006
PATIENCE = 60.0


def event(size: int) -> bytes:
    """An answer to /next as Go's net/http writes it.

    Args:
        size: of the payload, in bytes.
    """
    payload = b'{"body": "%s"}' % (b"x" * max(0, size - 12))
    return events.event(0, len(payload)).head + events.tail(payload)


def serve(command: Sequence[str], handler: str, count: int, size: int) -> str:
    """Have a runtime serve so many events, then stop it.

    Args:
        command: what starts it, and whatever counts around it.
        handler: of `functions/`.
        count: how many events.
        size: of an event, in bytes.

    Returns:
        What it has said on standard error.
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
            # The extension's connection is none of an invocation's.
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
                # Whatever counts around it does not pass a signal on.
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
    except Closed:
        raise SystemExit("the runtime has closed its connection") from None
