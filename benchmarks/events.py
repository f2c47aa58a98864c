"""The responses of the benchmarks' Runtime API, as Go's net/http writes them, made before
timing.
"""

import time

import attrs

CHUNKED_ABOVE = 2048
# Milliseconds from the creation of an event to its deadline.
ALLOWED = 900_000
STATUS = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
    b"Date: Mon, 05 Jan 2026 12:00:00 GMT\r\nContent-Length: 16\r\n\r\n" + b'{"status":"OK"}\n'
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
REGISTERED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Lambda-Extension-Identifier: 8476a536-e9f4-11e8-9739-000000000000\r\n"
    b"Date: Mon, 05 Jan 2026 12:00:00 GMT\r\nContent-Length: 68\r\n\r\n"
    b'{"functionName":"echo","functionVersion":"$LATEST","handler":"echo"}'
)


@attrs.frozen
class EventBytes:
    """A response to `GET /next`.

    Args:
        head: the bytes before the payload.
        answer: the beginning of a correct response's request.
    """

    head: bytes
    answer: bytes


def event(number: int, size: int) -> EventBytes:
    """Build an event with its own id and trace. Events of the same millisecond share a deadline.

    Args:
        number: the event's number, from 0.
        size: bytes of the payload.
    """
    request_id = b"8476a536-e9f4-11e8-9739-%012x" % number
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"Lambda-Runtime-Aws-Request-Id: %s\r\nLambda-Runtime-Deadline-Ms: %d\r\n"
        b"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:xx-test-1:0:function:echo\r\n"
        b"Lambda-Runtime-Trace-Id: Root=1-5bef4de7-%024x;Sampled=0\r\n"
        b"Date: Mon, 05 Jan 2026 12:00:00 GMT\r\n"
    ) % (request_id, int(time.time() * 1000) + ALLOWED, number)
    if size <= CHUNKED_ABOVE:
        head += b"Content-Length: %d\r\n\r\n" % size
    else:
        head += b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size
    return EventBytes(head, b"POST /2018-06-01/runtime/invocation/%s/response " % request_id)


def tail(payload: bytes) -> bytes:
    """Return the bytes after a head: the same for all events with this payload."""
    return payload if len(payload) <= CHUNKED_ABOVE else payload + b"\r\n0\r\n\r\n"
