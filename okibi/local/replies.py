"""Answers that are decided but not yet bytes."""

import attrs

from . import http_responses
from .states import Refusal

__all__ = ["ACCEPTED", "NOT_FOUND", "PLAIN_TEXT", "PONG", "Reply", "not_allowed", "refused"]

PLAIN_TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"


@attrs.frozen
class Reply:
    """An answer that is decided but not yet bytes."""

    status: int
    body: bytes = b""
    headers: bytes = http_responses.JSON


ACCEPTED = Reply(202, b'{"status":"OK"}\n')
PONG = Reply(200, b"pong", PLAIN_TEXT)
NOT_FOUND = Reply(404, b"404 page not found\n", PLAIN_TEXT + b"X-Content-Type-Options: nosniff\r\n")


def refused(refusal: Refusal) -> Reply:
    """What a refusal looks like."""
    return Reply(refusal.status, http_responses.error_body(refusal))


def not_allowed(allowed: bytes) -> Reply:
    """The path is right, the method is not."""
    return Reply(405, headers=b"Allow: %b\r\n" % allowed)
