"""A result into JSON by the official client's rules, value by value.

`codec.json` comes here for what its fast way does not vouch for; imported when first needed.
The rules (Runtime API: `lambda_runtime_marshaller`, which is simplejson's encoder):

    namedtuple, or anything with `_asdict`   an object of its fields
    Decimal                                  the bare number, as it is written
    simplejson's RawJSON                     the JSON that it holds
    bytes inside a value                     text, read as UTF-8
    str, int, float subclasses, IntEnum      what they inherit from, whatever their `__repr__`
    keys: None, True, 1, 1.5, b"k"           "null", "true", "1", "1.5", "k"
    a lone surrogate                         escaped

Where the official client has no rule but an error, okibi has one for attrs, dataclasses,
msgspec.Struct, Enum, sets, datetime, date, time, timedelta and UUID. Where its rule makes no JSON,
NaN and the infinities (float and Decimal), the result is null, as in JavaScript, and the log says
so.
"""

import datetime
import json.encoder
import math
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import attrs
import msgspec

from ...actors import logs

logger = logs.logger("okibi")

ESCAPED: Callable[[str], str] = json.encoder.encode_basestring_ascii
UNESCAPED: Callable[[str], str] = json.encoder.encode_basestring
_SPOKEN = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, UUID)


def encode(value: object, *, escaped: bool) -> bytes:
    """A value as JSON.

    Args:
        escaped: whether what is beyond ASCII is written as `\\u` and four digits.

    Raises:
        TypeError, ValueError: it cannot be said in JSON.
    """
    text = _Text(ESCAPED if escaped else UNESCAPED)
    text.value(value)
    # Only a lone surrogate has no UTF-8, and what replaces it here is its escape in JSON.
    return "".join(text.pieces).encode("utf-8", "backslashreplace")


class _Text:
    """JSON as it grows."""

    def __init__(self, quote: Callable[[str], str]) -> None:
        self.pieces: list[str] = []
        self._quote = quote
        self._open: set[int] = set()

    def value(self, value: Any) -> None:
        """Write one value, whatever it is."""
        if value is None or value is True or value is False:
            self.pieces.append(_WORDS[value])
        elif isinstance(value, str):
            self.pieces.append(self._quote(value))
        elif isinstance(value, bytes):
            self.pieces.append(self._quote(value.decode()))
        elif isinstance(value, (int, float)):
            self.pieces.append(_number(value))
        else:
            self._composed(value)

    def _composed(self, value: Any) -> None:
        if id(value) in self._open:
            raise ValueError("Circular reference detected")
        self._open.add(id(value))
        kind: type[object] = value.__class__
        if (fields := _named_fields(value)) is not None:
            self._object(fields)
        elif issubclass(kind, (list, tuple, set, frozenset)):
            self._array(value)
        elif issubclass(kind, dict):
            self._object(value)
        elif issubclass(kind, Decimal):
            self.pieces.append(str(value) if value.is_finite() else _null(value))
        elif kind.__name__ == "RawJSON" and kind.__module__ == "simplejson.raw_json":
            self.pieces.append(value.encoded_json)
        else:
            self.value(_beyond(value))
        self._open.remove(id(value))

    def _array(self, values: Iterable[Any]) -> None:
        before = "["
        for value in values:
            self.pieces.append(before)
            self.value(value)
            before = ", "
        self.pieces.append("]" if before == ", " else "[]")

    def _object(self, fields: Mapping[Any, Any]) -> None:
        before = "{"
        for key, value in fields.items():
            self.pieces += (before, self._quote(_key(key)), ": ")
            self.value(value)
            before = ", "
        self.pieces.append("}" if before == ", " else "{}")


_WORDS = {None: "null", True: "true", False: "false"}
_said: list[object] = []


def _number(value: float) -> str:
    if isinstance(value, int):
        return int.__repr__(value)
    return float.__repr__(value) if math.isfinite(value) else _null(value)


def _null(value: object) -> str:
    if not _said:
        _said.append(value)
        logger.warning("a result holds %s, which JSON cannot say: it is sent as null", value)
    return "null"


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bytes):
        return key.decode()
    if key is None or key is True or key is False:
        return _WORDS[key]
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, float):
        # A key is text, and text may say what a number in JSON may not.
        return _NOT_FINITE.get(float.__repr__(key), float.__repr__(key))
    kind = type(key).__name__
    raise TypeError(f"keys must be str, int, float, bool or None, not {kind}")


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _named_fields(value: Any) -> Any:
    """The fields of a namedtuple, or of what poses as one, as a dict; None for anything else."""
    if isinstance(value, type):
        return None
    as_dict = getattr(value, "_asdict", None)
    if not callable(as_dict):
        return None
    fields: Any = as_dict()
    if not issubclass(type(fields), dict):
        raise TypeError(f"_asdict() must return a dict, not {type(fields).__name__}")
    return fields


def _of_no_subclass(value: Any) -> object:
    """A date or a time as one of Python's own: msgspec takes none of a subclass, as pendulum's."""
    try:
        if isinstance(value, datetime.datetime):
            return datetime.datetime.combine(value.date(), value.timetz())
        if isinstance(value, datetime.date):
            return datetime.date(value.year, value.month, value.day)
        if isinstance(value, datetime.time):
            return datetime.time(
                value.hour, value.minute, value.second, value.microsecond, value.tzinfo
            )
        if isinstance(value, datetime.timedelta):
            return datetime.timedelta(value.days, value.seconds, value.microseconds)
    except ValueError:
        # pandas' NaT is one, and has none of these.
        kind = type(value).__name__
        raise TypeError(f"Object of type {kind} is not JSON serializable") from None
    return value


def _beyond(value: Any) -> object:
    """What stands for a value that the official client refuses."""
    kind: type[Any] = value.__class__
    if issubclass(kind, Enum):
        return value.value
    if issubclass(kind, msgspec.Struct):
        return msgspec.to_builtins(value, builtin_types=(bytes, Decimal))
    if issubclass(kind, _SPOKEN):
        return msgspec.to_builtins(_of_no_subclass(value))
    if attrs.has(kind):
        return {field.name: getattr(value, field.name) for field in attrs.fields(kind)}
    if hasattr(kind, "__dataclass_fields__"):
        # Loaded by whoever made the class; a start does without.
        import dataclasses

        return {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
    raise TypeError(f"Object of type {kind.__name__} is not JSON serializable")
