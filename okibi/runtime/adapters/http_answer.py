"""Make the answer to an HTTP request, as API Gateway, function URLs and load balancers read it.

`http_request` is the way there.
"""

from binascii import b2a_base64
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Any, TypeAlias

from ...actors import logs
from ..protocol.outcome import Outcome
from .http_request import LOAD_BALANCER, LOAD_BALANCER_LISTS, PAYLOAD_2, EventFormat, HttpRequest

RawHeaders: TypeAlias = Iterable[tuple[bytes, bytes]]

# Headers of the connection and the length of the body: the service writes these itself.
_UNSENT = frozenset((
    "connection", "content-length", "keep-alive", "transfer-encoding", "upgrade",
))  # fmt: skip
# Bytes of an answer at most (Lambda; Elastic Load Balancing).
LIMIT, LOAD_BALANCER_LIMIT = 6_291_556, 1024 * 1024
# JSON needs at most six characters for one of a text, four for three bytes in Base64.
_WORST = 6
# The answers that the adapters make themselves: headers and bodies.
PLAIN_TEXT = [(b"content-type", b"text/plain; charset=utf-8")]
SERVER_ERROR, LATE = b"Internal Server Error", b"Gateway Timeout"

logger = logs.logger("okibi")


class AnswerTooLarge(ValueError):
    """The answer is larger than the service takes."""


def make_answer(
    event_format: EventFormat, status: int, headers: RawHeaders, body: bytes
) -> dict[str, Any]:
    """Return the answer, for the JSON encoder.

    Args:
        event_format: the format of the event.
        status: the HTTP status.
        headers: names and values; several of one name stay several.
        body: the whole body.

    Raises:
        AnswerTooLarge: the service would refuse the answer; the message names both sizes.
    """
    lists = _lists(headers)
    text = _as_text(body)
    answer: dict[str, Any] = {
        "statusCode": status,
        "body": b2a_base64(body, newline=False).decode() if text is None else text,
        "isBase64Encoded": text is None,
    }
    if event_format is PAYLOAD_2:
        if "set-cookie" in lists:
            answer["cookies"] = lists.pop("set-cookie")
        answer["headers"] = _joined(lists)
    elif event_format is LOAD_BALANCER:
        answer["headers"] = _with_cookies(lists)
    else:
        answer["multiValueHeaders"] = lists
    limit = LIMIT
    if event_format is LOAD_BALANCER or event_format is LOAD_BALANCER_LISTS:
        answer["statusDescription"] = _describe_status(status)
        limit = LOAD_BALANCER_LIMIT
    if _WORST * len(body) > limit // 2:
        _check_size(answer, limit)
    return answer


def join_headers(headers: RawHeaders) -> tuple[dict[str, str], list[str]]:
    """Return the headers with one value each, and the cookies, for the Prelude of a stream."""
    lists = _lists(headers)
    cookies = lists.pop("set-cookie", [])
    return _joined(lists), cookies


def _lists(headers: RawHeaders) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in lists:
            lists[name].append(value)
        elif name not in _UNSENT:
            lists[name] = [value]
    return lists


def _as_text(body: bytes) -> str | None:
    """Return the body as text; None if it is sent in Base64.

    A REST API sends Base64 of a media type that is not one of its binary ones to the client as it
    is. Text reaches the client by all services, whatever its media type: only other bytes, and text
    with NULs, of which each has six characters in JSON, are sent in Base64.
    """
    try:
        return None if b"\0" in body else body.decode()
    except UnicodeDecodeError:
        return None


def _joined(lists: dict[str, list[str]]) -> dict[str, str]:
    return {
        name: values[0] if len(values) == 1 else ", ".join(values) for name, values in lists.items()
    }


def _with_cookies(lists: dict[str, list[str]]) -> dict[str, str]:
    """Return one value for each name. Each cookie gets a name of its own: case does not count."""
    cookies = lists.pop("set-cookie", [])
    headers = _joined(lists)
    for number, cookie in enumerate(cookies):
        letters = "".join(
            letter.upper() if number >> place & 1 else letter
            for place, letter in enumerate("setcookie")
        )
        headers[f"{letters[:3]}-{letters[3:]}"] = cookie
    return headers


@cache
def _describe_status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _check_size(answer: dict[str, Any], limit: int) -> None:
    # Imported here: an answer of a few bytes is not measured.
    from ..codec.json import encode_async_def_result

    size = len(encode_async_def_result(answer).body)
    if size > limit:
        advice = (
            "send less" if limit == LOAD_BALANCER_LIMIT else
            "send less, or stream it from an ASGI application, ASGI(app, streams=True)"
        )  # fmt: skip
        raise AnswerTooLarge(
            f"the answer has {size:,} bytes as JSON, and the service takes {limit:,}: {advice}"
        )


def answer_late(event_format: EventFormat) -> Outcome:
    """Return the encoded answer to a request whose handler is late."""
    # Imported here, as in `_check_size`.
    from ..codec.json import encode_async_def_result

    return encode_async_def_result(make_answer(event_format, 504, PLAIN_TEXT, LATE))


def refuse_large_answer(request: HttpRequest, error: AnswerTooLarge) -> dict[str, Any]:
    """Log an answer that the service would refuse, and return the answer in its place: a 500."""
    logger.error("%s %s: %s", request.method, request.path, error)
    return make_answer(request.format, 500, PLAIN_TEXT, str(error).encode())
