"""DynamoDB's typed items."""

from base64 import b64decode
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from okibi.aws import from_item, to_item, to_value
from tests.profiles import examples

NUMBERS = st.integers(-(10**30), 10**30) | st.decimals(-1000, 1000, places=5)
SETS = (
    st.sets(st.text(), min_size=1, max_size=4)
    | st.sets(NUMBERS, min_size=1, max_size=4)
    | st.sets(st.binary(), min_size=1, max_size=4)
)
NAMES = st.text(max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.text() | st.binary() | NUMBERS | SETS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=6,
)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
@settings(max_examples=examples(200))
def test_an_item_returns_as_it_was(item: dict[str, object]) -> None:
    assert from_item(to_item(item)) == item


@given(VALUES)
@settings(max_examples=examples(200))
def test_a_value_has_the_type_that_boto3_gives_it(value: object) -> None:
    assert to_compare(to_value(value)) == to_compare(TypeSerializer().serialize(value))


def to_compare(typed: dict[str, Any]) -> Any:
    """Return a typed value with numbers as Decimal, binaries as bytes, and sets as sets."""
    ((kind, inner),) = typed.items()
    match kind:
        case "B":
            return kind, inner if isinstance(inner, bytes) else b64decode(inner)
        case "BS":
            return kind, {each if isinstance(each, bytes) else b64decode(each) for each in inner}
        case "N":
            return kind, Decimal(inner)
        case "NS":
            return kind, {Decimal(each) for each in inner}
        case "SS":
            return kind, {*inner}
        case "L":
            return kind, [to_compare(each) for each in inner]
        case "M":
            return kind, {name: to_compare(each) for name, each in inner.items()}
        case _:
            return kind, inner


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1.5]}, r"item\.a\[0\] is a float; .* use Decimal\('1.5'\)"),
        (object(), "item is a object, and DynamoDB has no type for it"),
        (set[str](), "item: a set of DynamoDB's has at least one member"),
        ({1, "a"}, "only texts, only numbers or only bytes"),
        ({True}, "only texts, only numbers or only bytes"),
        ({1: "a"}, "item has the key 1; the keys of a map are texts"),
        (Decimal("NaN"), "item: DynamoDB's numbers are finite"),
        (10**38 + 1, "at most 38 digits"),
    ],
)
def test_a_value_without_a_type_is_refused_with_its_place(value: object, text: str) -> None:
    with pytest.raises(TypeError, match=text):
        to_item({"item": value})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"X": "1"}, "item: DynamoDB has no attribute type X"),
        ({"N": "abc"}, "item: DynamoDB's number is a text with digits"),
        ({"N": 5}, "item: DynamoDB's number is a text with digits"),
        ({"NS": ["1", "x"]}, "item: DynamoDB's number is a text with digits"),
        ({"M": {"a": {"L": [{"N": "1"}, {"N": "x"}]}}}, r"item\.a\[1\]: DynamoDB's number"),
        ("tea", "item is no value with its type, such as {'S': 'tea'}"),
        ({"S": "tea", "N": "1"}, "item is no value with its type"),
    ],
)
def test_an_untyped_value_is_refused_with_its_place(value: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        from_item({"item": value})
