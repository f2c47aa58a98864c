"""Errors that must reach the platform when no lane can carry them: on a socket of their own.

Blocking and plain, for it is used before the loop runs, after it has ended, and by the watchdog
while it hangs.
"""

import socket

from .delivery import Outcome
from .failure import InitError, error_json
from .wire import AnswerParser, WireError, error_head

TIMEOUT = 2.0


def report_init_error(address: tuple[str, int], error: InitError) -> int | None:
    """`POST /runtime/init/error`; the status, None when nobody answered."""
    body = error_json(error.kind, error.message, error.stack)
    # The class of a user's exception may bear any name; the platform's own word for that.
    kind = error.kind if error.kind.isprintable() else "Runtime.Unknown"
    head = error_head(_host(address), b"init/error", len(body), kind)
    return _post(address, head + body)


def report_invocation_error(
    address: tuple[str, int], request_id: str, outcome: Outcome
) -> int | None:
    """`POST /runtime/invocation/{id}/error`; the status, None when nobody answered."""
    path = b"invocation/%s/error" % request_id.encode("latin-1", "replace")
    kind = outcome.error_type or "Runtime.Unknown"
    head = error_head(_host(address), path, len(outcome.body), kind)
    return _post(address, head + outcome.body)


def _post(address: tuple[str, int], request: bytes) -> int | None:
    parser = AnswerParser()
    try:
        with socket.create_connection(address, TIMEOUT) as connection:
            connection.sendall(request)
            while data := connection.recv(4096):
                for answer in parser.feed(data):
                    return answer.status
    except (OSError, WireError):
        # There is nobody left to tell: the log has the error already.
        return None
    return None


def _host(address: tuple[str, int]) -> bytes:
    return f"{address[0]}:{address[1]}".encode()
