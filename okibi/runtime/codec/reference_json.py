"""Encode a result as JSON by the official client's rules, value by value.

The slow path of `codec.json`, for results with values other than exact built-in types. Imported
when first needed. The rules are those of simplejson's encoder (Runtime API:
`lambda_runtime_marshaller`):

    namedtuple, or any value with `_asdict`  an object of its fields
    Decimal                                  the bare number, as written
    simplejson's RawJSON                     the JSON that the RawJSON holds
    bytes inside a value                     text, read as UTF-8
    str, int, float subclasses, IntEnum      the base class's form, whatever their `__repr__`
    keys: None, True, 1, 1.5, b"k"           "null", "true", "1", "1.5", "k"
    a lone surrogate                         escaped

okibi also encodes values that the official client refuses: attrs, dataclasses, msgspec.Struct,
pydantic models, Enum, sets, datetime, date, time, timedelta and UUID. NaN and the infinities (float
and Decimal) are sent as null, as in JavaScript, with one log line per process: the official
client's form of them is not JSON.
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

from ...actors import logs
from .import_msgspec import import_msgspec

import_msgspec()
import msgspec  # noqa: E402

logger = logs.logger("okibi")

ESCAPED: Callable[[str], str] = json.encoder.encode_basestring_ascii
UNESCAPED: Callable[[str], str] = json.encoder.encode_basestring
_ENCODED_BY_MSGSPEC = (
    datetime.datetime,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    UUID,
)


class NotSerializableError(TypeError):
    """No rule encodes a value.

    Args:
        value: the value.
    """

    def __init__(self, value: object) -> None:
        # The official client's text.
        super().__init__(f"Object of type {value.__class__.__name__} is not JSON serializable")
        self.value = value


def encode(value: object, *, escaped: bool, path: list[object] | None = None) -> bytes:
    """Encode a value as JSON.

    Args:
        escaped: whether characters beyond ASCII are written as `\\u` and four digits.
        path: after an error, holds the keys and indexes that lead to the refused value, the
            innermost first.

    Raises:
        TypeError, ValueError: JSON cannot represent the value.
    """
    writer = _Writer(ESCAPED if escaped else UNESCAPED, [] if path is None else path)
    writer.write(value)
    # Only a lone surrogate has no UTF-8. backslashreplace writes the escape that JSON uses.
    return "".join(writer.pieces).encode("utf-8", "backslashreplace")


class _Writer:
    """Collects the pieces of a JSON text."""

    def __init__(self, quote: Callable[[str], str], path: list[object]) -> None:
        self.pieces: list[str] = []
        self._quote = quote
        self._path = path
        self._open: set[int] = set()

    def write(self, value: Any) -> None:
        if value is None or value is True or value is False:
            self.pieces.append(_CONSTANTS[value])
        elif isinstance(value, str):
            self.pieces.append(self._quote(value))
        elif isinstance(value, bytes):
            self.pieces.append(self._quote(value.decode()))
        elif isinstance(value, (int, float)):
            self.pieces.append(_number(value))
        else:
            self._write_composed(value)

    def _write_composed(self, value: Any) -> None:
        if id(value) in self._open:
            raise ValueError("Circular reference detected")
        self._open.add(id(value))
        kind: type[object] = value.__class__
        if (fields := _namedtuple_fields(value)) is not None:
            self._write_object(fields)
        elif issubclass(kind, (list, tuple, set, frozenset)):
            self._write_array(value)
        elif issubclass(kind, dict):
            self._write_object(value)
        elif issubclass(kind, Decimal):
            self.pieces.append(str(value) if value.is_finite() else _null(value))
        elif kind.__name__ == "RawJSON" and kind.__module__ == "simplejson.raw_json":
            self.pieces.append(value.encoded_json)
        else:
            self.write(self._convert(value))
        self._open.remove(id(value))

    def _convert(self, value: Any) -> object:
        try:
            return _convert(value)
        except NotSerializableError as error:
            if error.value is not value:
                # Inside a Struct, which msgspec converts at once: the place is not known.
                self._path.append(None)
            raise

    # The `try` stands in both loops: a method around the `try` would cost a frame per level.

    def _write_array(self, values: Iterable[Any]) -> None:
        before = "["
        for index, value in enumerate(values):
            self.pieces.append(before)
            try:
                self.write(value)
            except Exception:
                self._path.append(index)
                raise
            before = ", "
        self.pieces.append("]" if before == ", " else "[]")

    def _write_object(self, fields: Mapping[Any, Any]) -> None:
        before = "{"
        for key, value in fields.items():
            self.pieces += (before, self._quote(_key(key)), ": ")
            try:
                self.write(value)
            except Exception:
                self._path.append(key)
                raise
            before = ", "
        self.pieces.append("}" if before == ", " else "{}")


_CONSTANTS = {None: "null", True: "true", False: "false"}
_logged_not_finite: list[object] = []


def _number(value: float) -> str:
    if isinstance(value, int):
        return int.__repr__(value)
    return float.__repr__(value) if math.isfinite(value) else _null(value)


def _null(value: object) -> str:
    if not _logged_not_finite:
        _logged_not_finite.append(value)
        logger.warning("a result holds %s, which JSON cannot represent: sent as null", value)
    return "null"


def _key(key: object) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bytes):
        return key.decode()
    if key is None or key is True or key is False:
        return _CONSTANTS[key]
    if isinstance(key, int):
        return int.__repr__(key)
    if isinstance(key, float):
        # A key is a string, and a string may hold NaN.
        return _NOT_FINITE.get(float.__repr__(key), float.__repr__(key))
    kind = type(key).__name__
    raise TypeError(f"keys must be str, int, float, bool or None, not {kind}")


_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _namedtuple_fields(value: Any) -> Any:
    """Return the fields of a namedtuple, or of any value with `_asdict`; else None."""
    if isinstance(value, type):
        return None
    as_dict = getattr(value, "_asdict", None)
    if not callable(as_dict):
        return None
    fields: Any = as_dict()
    if not issubclass(type(fields), dict):
        raise TypeError(f"_asdict() must return a dict, not {type(fields).__name__}")
    return fields


def _to_exact_type(value: Any) -> object:
    """Convert a date or time to Python's own class: msgspec refuses subclasses (pendulum's)."""
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
        # pandas' NaT is a datetime without year, month and day.
        raise NotSerializableError(value) from None
    return value


def _convert(value: Any) -> object:
    """Convert a value that the official client refuses into one that JSON can represent."""
    kind: type[Any] = value.__class__
    if issubclass(kind, Enum):
        return value.value
    if issubclass(kind, msgspec.Struct):
        return msgspec.to_builtins(value, builtin_types=(bytes, Decimal), enc_hook=_dump_model)
    if issubclass(kind, _ENCODED_BY_MSGSPEC):
        return msgspec.to_builtins(_to_exact_type(value))
    if attrs.has(kind):
        return {field.name: getattr(value, field.name) for field in attrs.fields(kind)}
    if hasattr(kind, "__dataclass_fields__"):
        # Already imported by the module that defines the class; a start does not import it.
        import dataclasses

        return {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
    return _dump_model(value)


def _dump_model(value: Any) -> object:
    """Convert a pydantic model by its own method."""
    if not hasattr(value.__class__, "model_dump"):
        raise NotSerializableError(value)
    return value.model_dump(mode="json")
