"""Errors that must reach the platform when no lane can carry them: on a socket of their own.

Blocking and plain, for it is used before the loop runs, after it has ended, and by the watchdog
while it hangs.
"""

from collections.abc import Sequence
from socket import AF_INET, SOCK_STREAM, socket
from time import monotonic

from ..errors.error_response import TYPE_LIMIT, error_json
from ..errors.exceptions import InitError
from ..protocol.outcome import Outcome
from ..protocol.runtime_api import (
    ApiResponse,
    ApiResponseParser,
    WireError,
    echo_header,
    error_head,
    path_segment,
)
from .delivery import Delivery

TIMEOUT = 2.0


def report_init_error(address: tuple[str, int], error: InitError) -> int | None:
    """`POST /runtime/init/error`, or where it belongs; the status, None when nobody answered."""
    body = error_json(error.kind, error.message, error.stack)
    # The class of a user's exception may bear any name; the platform's own word for that.
    sayable = error.kind.isprintable() and len(error.kind) <= TYPE_LIMIT
    kind = error.header or (error.kind if sayable else "Runtime.Unknown")
    head = error_head(_host(address), error.path, len(body), kind)
    return _post(address, head + body)


def report_invocation_error(
    address: tuple[str, int], delivery: Delivery, outcome: Outcome
) -> int | None:
    """`POST /runtime/invocation/{id}/error`; the status, None when nobody answered."""
    path = b"invocation/%s/error" % path_segment(delivery.request_id)
    kind = outcome.error_type or "Runtime.Unknown"
    echo = echo_header(delivery.headers)
    head = error_head(_host(address), path, len(outcome.body), kind, outcome.cause, echo)
    return _post(address, head + outcome.body)


def _post(address: tuple[str, int], request: bytes) -> int | None:
    parser, until = ApiResponseParser(), monotonic() + TIMEOUT

    def keep_to_it(connection: socket) -> None:
        # Of all of it, not of each step: the process waits for this to end.
        connection.settimeout(max(until - monotonic(), 0.001))

    try:
        # Of the class that was there before the user's module: it may put a proxy's in its place.
        with socket(AF_INET, SOCK_STREAM) as connection:
            keep_to_it(connection)
            connection.connect(address)
            keep_to_it(connection)
            connection.sendall(request)
            keep_to_it(connection)
            while data := connection.recv(4096):
                for answer in parser.feed(data):
                    return answer.status
                keep_to_it(connection)
            return _status(parser.end())
    except WireError as error:
        return _status(error.answers)
    except OSError:
        # There is nobody left to tell: the log has the error already.
        return None


def _status(answers: Sequence[ApiResponse]) -> int | None:
    return answers[0].status if answers else None


def _host(address: tuple[str, int]) -> bytes:
    return f"{address[0]}:{address[1]}".encode()
