"""The fields of a function's result: read and checked, for every HTTP service."""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, cast

import msgspec

# The bytes between the prelude of a streamed response and its body (Lambda).
PRELUDE_END = b"\0" * 8

# Bytes of a prelude at most.
PRELUDE_LIMIT = 16 * 1024

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")

# The server writes these itself.
_UNSENT = frozenset(
    (
        *("connection", "content-length", "date", "keep-alive"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
    )
)
_REMAPPED = frozenset(
    ("connection", "content-length", "content-md5", "date", "server", "www-authenticate")
)


class MalformedResult(Exception):
    """The function's result is no HTTP response. The text says what is wrong with it."""


def read_status(value: Any) -> int:
    """Return a status code; digits in a string are allowed, as on AWS.

    Raises:
        MalformedResult: the value is no status code of a final response.
    """
    if isinstance(value, str) and re.fullmatch("[0-9]{3}", value):
        value = int(value)
    # True is an integer for Python.
    if not isinstance(value, int) or isinstance(value, bool) or not 200 <= value <= 599:
        raise MalformedResult(f"statusCode must be an integer from 200 to 599, got {value!r:.80}")
    return value


def check_header(name: str, value: Any) -> tuple[str, str]:
    """Return a header as text.

    Raises:
        MalformedResult: HTTP cannot carry the header.
    """
    if not _NAME.fullmatch(name):
        raise MalformedResult(f"headers: {name!r:.80} is no name of a header")
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, (int, float)):
        value = str(value)
    if not isinstance(value, str):
        raise MalformedResult(f"headers: {name!r} must be a string, got {describe_json(value)}")
    if _CONTROL.search(value):
        raise MalformedResult(f"headers: {name!r} contains a control character")
    return name, value


def read_body(body: Any, *, decode: bool) -> bytes:
    """Return the body as bytes.

    Args:
        body: the field `body`; None is an empty body.
        decode: whether the text is Base64.

    Raises:
        MalformedResult: the body is no string, or is not the Base64 that it should be.
    """
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedResult(
            f"body must be a string, got {describe_json(body)}; write json.dumps(body)"
        )
    if not decode:
        return body.encode("utf-8", "replace")
    try:
        return base64.b64decode(body, validate=True)
    except (ValueError, binascii.Error):
        raise MalformedResult("isBase64Encoded is true, but body is not Base64") from None


def drop_headers(headers: Sequence[tuple[str, str]], *, remap: bool) -> list[tuple[str, str]]:
    """Return the headers without those that the front writes itself.

    Args:
        headers: the headers of the function.
        remap: keep some of them as `x-amzn-remapped-…` (API Gateway REST APIs, function URLs).
    """
    kept: list[tuple[str, str]] = []
    for name, value in headers:
        lower = name.lower()
        if remap and lower in _REMAPPED:
            kept.append((f"x-amzn-remapped-{lower}", value))
        elif lower not in _UNSENT:
            kept.append((name, value))
    return kept


def add_content_type(headers: list[tuple[str, str]], media_type: str) -> list[tuple[str, str]]:
    """Return the headers, with a media type in front if they name none."""
    if any(name.lower() == "content-type" for name, _ in headers):
        return headers
    return [("content-type", media_type), *headers]


def parse_result(payload: bytes) -> Any:
    """Return the JSON value of a payload.

    Raises:
        MalformedResult: the payload is not JSON.
    """
    try:
        return msgspec.json.decode(payload)
    except msgspec.DecodeError:
        raise MalformedResult(
            "the response was streamed, and only function URLs with streaming read that"
            if has_prelude(payload)
            else "the response is not JSON"
        ) from None


def has_prelude(payload: bytes) -> bool:
    """Return whether the payload is a streamed response that begins with a prelude."""
    return PRELUDE_END in payload[:PRELUDE_LIMIT]


def read_object(value: Any, what: str) -> dict[str, Any]:
    """Return an object of JSON.

    Args:
        value: any value.
        what: the name of the value in the error.

    Raises:
        MalformedResult: the value is no object.
    """
    if not isinstance(value, dict):
        raise MalformedResult(f"{what} must be an object, got {describe_json(value)}")
    return cast("dict[str, Any]", value)


def read_list(value: Any, what: str) -> Sequence[Any]:
    """Return a list of JSON.

    Args:
        value: any value.
        what: the name of the value in the error.

    Raises:
        MalformedResult: the value is no list.
    """
    if not isinstance(value, list):
        raise MalformedResult(f"{what} must be a list, got {describe_json(value)}")
    return cast("Sequence[Any]", value)


def describe_json(value: Any) -> str:
    """Return the kind of a JSON value, as in JSON."""
    kinds = ((bool, "a boolean"), (dict, "an object"), (list, "a list"), (str, "a string"))
    for kind, text in kinds:
        if isinstance(value, kind):
            return text
    return "null" if value is None else "a number"
