"""A short repr of values without secrets, for crash reports and traces.

Used if OKIBI_CRASH_REPORTS=full asks for values.

Shown by value: Python's own types, named tuples, and the fields of attrs classes, dataclasses and
msgspec Structs. Any other object is shown by its type, because its `__repr__` is user code and may
write secrets.
"""

from collections.abc import Mapping
from enum import Enum
from itertools import islice
from types import MappingProxyType
from typing import Any, cast

from .exits import is_a
from .safe_repr import INLINE_LIMIT, ShortRepr, class_name, cut, shape
from .secret import HIDDEN, is_secret_name, secret_fields

# Modules whose values have a short `repr` without user code in it.
_PLAIN = frozenset({"datetime", "decimal", "fractions", "ipaddress", "pathlib", "uuid"})


class _RedactedRepr(ShortRepr):
    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        return f"{{{self._pairs(x, level)}}}"

    def repr_tuple(self, x: tuple[Any, ...], level: int) -> str:
        # A header of ASGI: a pair of name and value.
        if len(x) == 2 and _hides(x[0]):
            return f"({self._pair(x[0], x[1], level)})"
        return super().repr_tuple(x, level)

    def repr_list(self, x: list[Any], level: int) -> str:
        # The same header decoded from JSON.
        if len(x) == 2 and _hides(x[0]):
            return f"[{self._pair(x[0], x[1], level)}]"
        return super().repr_list(x, level)

    def repr_instance(self, x: Any, level: int) -> str:
        kind = cast("Any", type(x))
        name, fields = class_name(kind), _shown_fields(kind)
        if Enum in kind.__mro__:
            return f"{name}.{x._name_}"
        if any(kind is each for each in (bytes, bytearray)):
            return super().repr_instance(x[: self.maxother], level)
        if x is None or any(kind is each for each in (bool, float, complex)):
            return super().repr_instance(x, level)
        if kind.__module__.partition(".")[0] in _PLAIN:
            return super().repr_instance(x, level)
        if kind is MappingProxyType or dict in kind.__mro__:
            return f"{name}({{{self._pairs(x, level)}}})"
        return shape(x) if fields is None else f"{name}({self._fields(x, fields, level)})"

    def _pair(self, name: object, value: object, level: int) -> str:
        return f"{self.repr1(name, level - 1)}, {self._value(True, value, level)}"

    def _pairs(self, x: Mapping[Any, Any], level: int) -> str:
        if level <= 0:
            return self.fillvalue if x else ""
        named = _is_named_secret(x)
        pairs = [
            f"{self.repr1(key, level - 1)}: "
            + self._value(_hides(key) or (named and "value" in _text(key)), value, level)
            for key, value in islice(x.items(), self.maxdict)
        ]
        return ", ".join([*pairs, self.fillvalue] if len(x) > self.maxdict else pairs)

    def _fields(self, x: object, names: list[str], level: int) -> str:
        if level <= 0:
            return self.fillvalue
        kind = cast("Any", type(x))
        marked = secret_fields(kind)
        hidden = {name for name in names if name in marked or is_secret_name(name)}
        return ", ".join(
            f"{name}={self._value(name in hidden, getattr(x, name), level)}"
            for name in names
            if hasattr(x, name)
        )

    def _value(self, hidden: bool, value: object, level: int) -> str:
        return HIDDEN if hidden and value is not None else self.repr1(value, level - 1)


def _hides(key: Any) -> bool:
    if Enum in type(key).__mro__ and is_secret_name(key._name_):
        return True
    return is_secret_name(_text(key))


def _text(key: object) -> str:
    """Return the text of a key in lower case; empty for a key that is no text."""
    if type(key) is bytes:
        return key.decode("latin-1").lower()
    # A subclass may override the methods of `str`.
    return str.lower(key) if is_a(key, str) else ""


def _is_named_secret(x: Mapping[Any, Any]) -> bool:
    """Return whether a mapping is the name and the value of a secret, as a header or a tag is."""
    return any(_hides(x.get(label)) for label in ("name", "Name", "key", "Key"))


def _shown_fields(kind: Any) -> list[str] | None:
    """Return the public fields in the class's own `repr`; None for a class without fields."""
    names: list[str]
    if hasattr(kind, "__attrs_attrs__"):
        names = [each.name for each in kind.__attrs_attrs__ if each.repr is not False]
    elif hasattr(kind, "__dataclass_fields__"):
        names = [each.name for each in kind.__dataclass_fields__.values() if each.repr]
    elif hasattr(kind, "__struct_fields__"):
        names = list(kind.__struct_fields__)
    elif tuple in kind.__mro__ and hasattr(kind, "_fields"):
        names = list(kind._fields)
    else:
        return None
    return [name for name in names if not name.startswith("_")]


_redacted = _RedactedRepr(100)


def redacted_repr(value: object) -> str:
    """Return a short repr of a value, with `***` in place of secrets."""
    return cut(_redacted.repr(value), INLINE_LIMIT)
