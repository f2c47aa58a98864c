"""Answer the platform when trio's loop cannot: over a new, blocking connection.

Used before trio's loop runs, after it has ended, and by the watchdog while the loop hangs.
"""

from collections.abc import Sequence
from contextlib import closing
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
    response_head,
)
from .delivery import Delivery

# Seconds for the whole report, because the end of the process waits for it.
TIMEOUT = 2.0


def report_init_error(address: tuple[str, int], error: InitError) -> int | None:
    """POST to `/runtime/init/error`, or to `error.path`.

    Returns:
        The HTTP status; None without a response.
    """
    body = error_json(error.kind, error.message, error.stack)
    # A user's exception class may have a name that no header can carry.
    fits_header = error.kind.isprintable() and len(error.kind) <= TYPE_LIMIT
    kind = error.header or (error.kind if fits_header else "Runtime.Unknown")
    head = error_head(_host(address), error.path, len(body), kind)
    return _post(address, head + body)


def report_outcome(address: tuple[str, int], delivery: Delivery, outcome: Outcome) -> int | None:
    """POST to `/runtime/invocation/{id}/error`, or `/response`.

    Returns:
        The HTTP status; None without a response.
    """
    host, request_id = _host(address), path_segment(delivery.request_id)
    body, content_type, kind, cause = outcome
    echo = echo_header(delivery.headers)
    if kind is None:
        head = response_head(host, request_id, len(body), content_type, echo)
    else:
        path = b"invocation/%s/error" % request_id
        head = error_head(host, path, len(body), kind, cause, echo)
    return _post(address, head + body)


def _post(address: tuple[str, int], request: bytes) -> int | None:
    parser, until = ApiResponseParser(), monotonic() + TIMEOUT

    def limit_next_call(connection: socket) -> None:
        connection.settimeout(max(until - monotonic(), 0.001))

    try:
        # `socket` was imported before the user's module, which may replace `socket.socket`.
        with closing(socket(AF_INET, SOCK_STREAM)) as connection:
            limit_next_call(connection)
            connection.connect(address)
            limit_next_call(connection)
            connection.sendall(request)
            limit_next_call(connection)
            while data := connection.recv(4096):
                for response in parser.feed(data):
                    return response.status
                limit_next_call(connection)
            return _status(parser.end())
    except WireError as error:
        return _status(error.responses)
    except OSError:
        # The error is in the log already.
        return None


def _status(responses: Sequence[ApiResponse]) -> int | None:
    return responses[0].status if responses else None


def _host(address: tuple[str, int]) -> bytes:
    return f"{address[0]}:{address[1]}".encode()
