"""The user's content as the services send it.

Each function takes what the user gives and the value in the sample's file, and returns the value
for the event.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from typing import Any, TypeAlias, cast
from urllib.parse import quote_plus

Body: TypeAlias = str | bytes
Pairs: TypeAlias = Sequence[tuple[str, str]]


class SampleError(ValueError):
    """A sample event cannot be made. The message says what to write instead."""


# -- bodies


def as_text(body: Body, _: Any = None) -> str:
    """Return the body as text.

    Raises:
        SampleError: the body is not UTF-8.
    """
    try:
        return body.decode() if isinstance(body, bytes) else body
    except UnicodeDecodeError as error:
        raise SampleError(f"body: must be text in UTF-8 ({error})") from error


def as_md5(body: Body, _: Any = None) -> str:
    """Return the checksum that SQS sends with a message."""
    return hashlib.md5(as_text(body).encode(), usedforsecurity=False).hexdigest()


def as_base64(body: Body, _: Any = None) -> str:
    """Return the body in Base64."""
    return base64.b64encode(body if isinstance(body, bytes) else body.encode()).decode()


def as_size(body: Body, _: Any = None) -> int:
    """Return the size of the body in bytes."""
    return len(body if isinstance(body, bytes) else body.encode())


def as_object(body: Body, _: Any = None) -> dict[str, Any]:
    """Return the body as a JSON object.

    Raises:
        SampleError: the body is no JSON object.
    """
    try:
        value = json.loads(as_text(body))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise SampleError("""body: must be a JSON object, as in '{"order": 1}'""")
    return cast("dict[str, Any]", value)


def as_properties(body: Body, sample: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a custom resource. CloudFormation adds the service token."""
    return {"ServiceToken": sample["ServiceToken"], **as_object(body)}


def as_item(body: Body, _: Any = None) -> dict[str, Any]:
    """Return a JSON object as an item of DynamoDB."""
    return {name: attribute_value(value) for name, value in as_object(body).items()}


def as_item_key(body: Body, _: Any = None) -> dict[str, Any]:
    """Return the key of an item: its first attribute."""
    return dict(list(as_item(body).items())[:1])


def as_old_item(body: Body, sample: dict[str, Any]) -> dict[str, Any]:
    """Return the sample's item under the key of the given item."""
    return {**as_item_key(body), **dict(list(sample.items())[1:])}


def as_item_size(body: Body, _: Any = None) -> int:
    """Return the size of an item in bytes."""
    return len(json.dumps(as_object(body)))


def attribute_value(value: Any) -> dict[str, Any]:
    """Return a JSON value with its DynamoDB type (DynamoDB: AttributeValue)."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | float():
            return {"N": json.dumps(value)}
        case str():
            return {"S": value}
        case [*items]:
            return {"L": [attribute_value(item) for item in items]}
        case _:
            return {"M": {name: attribute_value(item) for name, item in value.items()}}


def pack(value: Any) -> str:
    """Return JSON, compressed by gzip, in Base64."""
    return as_base64(gzip.compress(json.dumps(value).encode(), mtime=0))


# -- keys


def as_given(text: str, _: Any = None) -> str:
    """Return the text."""
    return text


# -- paths, headers and query parameters


def as_key(path: str, sample: str) -> str:
    """Return the key of an S3 object. S3 sends it URL-encoded, with "+" for a space."""
    return quote_plus(path.lstrip("/"), safe="/") or sample


def add_headers(headers: Pairs, sample: dict[str, str]) -> dict[str, str]:
    """Return the sample's headers with those of the user."""
    return {**sample, **dict(headers)}


def add_header_lists(headers: Pairs, sample: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the sample's headers with those of the user, as lists."""
    return {**sample, **{name: [value] for name, value in headers}}


def as_last_values(query: Pairs, _: Any = None) -> dict[str, str]:
    """Return the last value of each query parameter."""
    return dict(query)


def as_value_lists(query: Pairs, _: Any = None) -> dict[str, list[str]]:
    """Return all values of each query parameter."""
    lists: dict[str, list[str]] = {}
    for name, value in query:
        lists.setdefault(name, []).append(value)
    return lists
