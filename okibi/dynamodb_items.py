"""DynamoDB's typed items to and from Python values.

    string        str                     list     list, tuple (arrives as list)
    number        int, Decimal            map      dict with texts as keys
    binary        bytes                   sets     set, frozenset of str, of numbers, or of bytes
    boolean       bool                    null     None

A whole number arrives as int, any other as Decimal. A float is refused: DynamoDB stores decimal
digits, and most floats have no such digits. boto3's TypeDeserializer gives Decimal for all numbers,
and an object `Binary` for bytes. `okibi.aws` exports the functions; batches use them too.
"""

import sys
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeGuard, cast

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = ["from_item", "from_value", "to_item", "to_value"]

_DIGITS = 38


def to_item(item: Mapping[str, object]) -> dict[str, Any]:
    """Return an item with DynamoDB's types.

    >>> from decimal import Decimal
    >>> to_item({"id": "a1", "price": Decimal("9.90"), "tags": {"new"}, "note": None})
    {'id': {'S': 'a1'}, 'price': {'N': '9.90'}, 'tags': {'SS': ['new']}, 'note': {'NULL': True}}

    Args:
        item: the names and values of the attributes.

    Raises:
        TypeError: DynamoDB has no type for a value. The text names the attribute.
    """
    return {name: to_value(value, name) for name, value in item.items()}


def to_value(value: object, place: str = "value") -> dict[str, Any]:
    """Return one value with its DynamoDB type, for example for an expression.

    >>> to_value(7)
    {'N': '7'}

    Args:
        value: the value.
        place: its place, for the error.

    Raises:
        TypeError: DynamoDB has no type for the value.
    """
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case None:
            return {"NULL": True}
        case int():
            # The digits of an enum's member, too.
            return {"N": _digits(int.__repr__(value), place)}
        case bytes() | bytearray():
            return {"B": b64encode(value).decode()}
        case Mapping():
            members = cast("Mapping[object, object]", value)
            return {"M": {_text(k, place): to_value(v, f"{place}.{k}") for k, v in members.items()}}
        case list() | tuple():
            each = enumerate(cast("list[object]", value))
            return {"L": [to_value(one, f"{place}[{number}]") for number, one in each]}
        case set() | frozenset():
            return _set(cast("set[object]", value), place)
        case float():
            raise TypeError(
                f"{place} is a float; DynamoDB stores decimals: use Decimal({str(value)!r})"
            )
        case _ if _is_decimal(value):
            # NaN and infinity have no digits.
            return {"N": _digits(str(value) if value.is_finite() else "", place)}
        case _:
            raise TypeError(f"{place} is a {type(value).__name__}, and DynamoDB has no type for it")


def _text(key: object, place: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{place} has the key {key!r}; the keys of a map are texts")
    return key


def _is_decimal(value: object) -> "TypeGuard[Decimal]":
    # A program with a Decimal has imported it. The import is a fifth of that of `okibi.aws`.
    decimal = sys.modules.get("decimal")
    return decimal is not None and isinstance(value, decimal.Decimal)


def _digits(number: str, place: str) -> str:
    digits = number.partition("E")[0].lstrip("-").replace(".", "").strip("0")
    if not number or len(digits) > _DIGITS:
        raise TypeError(f"{place}: DynamoDB's numbers are finite and have at most {_DIGITS} digits")
    return number


def _set(members: set[object], place: str) -> dict[str, Any]:
    typed = [to_value(each, place) for each in members]
    kinds = {kind for each in typed for kind in each}
    if len(kinds) != 1 or not kinds <= {"S", "N", "B"}:
        raise TypeError(
            f"{place}: a set of DynamoDB's has at least one member, and only texts, only numbers "
            "or only bytes; use a list, or leave the attribute out"
        )
    (kind,) = kinds
    return {f"{kind}S": sorted(each[kind] for each in typed)}


def _number(text: str, place: str) -> "int | Decimal":
    try:
        if text.lstrip("-").isdecimal():
            return int(text)
        from decimal import Decimal

        return Decimal(text)
    except (ArithmeticError, AttributeError):
        raise ValueError(f"{place}: DynamoDB's number is a text with digits") from None


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item as Python values.

    >>> from_item({"id": {"S": "a1"}, "price": {"N": "9.90"}, "count": {"N": "3"}})
    {'id': 'a1', 'price': Decimal('9.90'), 'count': 3}

    Args:
        item: an item with DynamoDB's types, from an answer or from a record of a stream.

    Raises:
        ValueError: a value has no type of DynamoDB. The text names the attribute.
    """
    return {name: from_value(value, name) for name, value in item.items()}


def from_value(value: Mapping[str, Any], place: str = "value") -> Any:
    """Return one typed value as a Python value.

    Args:
        value: a value with its type, such as `{"S": "tea"}`.
        place: its place, for the error.

    Raises:
        ValueError: the value has no type of DynamoDB.
    """
    try:
        ((kind, inner),) = value.items()
    except (AttributeError, ValueError):
        raise ValueError(f"{place} is no value with its type, such as {{'S': 'tea'}}") from None
    match kind:
        case "S" | "BOOL":
            return inner
        case "N":
            return _number(inner, place)
        case "NULL":
            return None
        case "M":
            return {name: from_value(each, f"{place}.{name}") for name, each in inner.items()}
        case "L":
            return [from_value(each, f"{place}[{number}]") for number, each in enumerate(inner)]
        case "SS":
            return set(inner)
        case "NS":
            return {_number(each, place) for each in inner}
        case "B":
            # boto3 has decoded it already.
            return inner if isinstance(inner, bytes) else b64decode(inner)
        case "BS":
            return {b64decode(each) for each in inner}
        case _:
            raise ValueError(f"{place}: DynamoDB has no attribute type {kind}")
