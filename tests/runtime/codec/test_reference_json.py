"""A plain callable's result has the official client's bytes; okibi supports more types."""

import collections
import dataclasses
import datetime
import enum
import json
import logging
import math
import sys
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

import attrs
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from okibi.runtime.codec import reference_json
from okibi.runtime.codec.json import (
    MarshalError,
    encode_official_escaped,
    encode_official_unescaped,
)
from okibi.runtime.codec.typed_json import encode_handler_result
from okibi.runtime.protocol.outcome import Outcome

Say = Callable[[Any], Outcome]
Theirs = Callable[[object], bytes]

Pair = collections.namedtuple("Pair", "a b")


class Text(str):
    __slots__ = ()


class Whole(int):
    def __repr__(self) -> str:
        return "whole"


class Real(float):
    def __repr__(self) -> str:
        return "real"


class Colour(str, enum.Enum):  # noqa: UP042, the kind that old handlers have
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Row:
    """A row of an SQL library: not a tuple, but with `_asdict`."""

    def _asdict(self) -> dict[str, object]:
        return {"id": 1}


class Wrong:
    def _asdict(self) -> int:
        return 1


RESULTS: list[Any] = [
    None, True, 0, -1, 2**70, 1.0, -0.0, 1e16, 1e-5, 1e22, 0.1, 5e-324, "", "é", "😀", "\u2028/",
    'a"b\\c\n\r\t\b\f\0\x1f\x7f', [], (), {}, [[]], [{}, ()], {"a": [1, {"b": None}]}, (1, (2,)),
    Pair(1, Pair("x", None)), [Pair(1, 2)], Row(), [Row()], Text("é"), {Text("k"): Text("v")},
    Whole(4), Real(2.5), {Whole(4): Whole(4), Real(2.5): Real(2.5)}, Colour.RED, Level.HIGH,
    {Colour.RED: 1, Level.HIGH: 2}, Decimal("1.10"), Decimal("-0"), Decimal("1E+5"), [Decimal(10)],
    {None: 1, True: 2, False: 3, 7: 4, 1.5: 5, 1e16: 6, b"k": 7}, {math.nan: 1, math.inf: 2},
    {-math.inf: 3}, [b"x", "é".encode(), b""], {"a": b"\0"}, {1: "a", "1": "b"},
    collections.OrderedDict(b=1, a=2), collections.defaultdict(list, a=[1]),
    collections.Counter("ab"), "x" * 5000, [*range(500)], {"statusCode": 200, "body": "{}"},
]  # fmt: skip
REFUSED: list[Any] = [
    object(), [object()], range(3), 1 + 2j, bytearray(b"a"), memoryview(b"a"), [b"\xff"], Pair,
    {(1, 2): 3}, {Decimal(1): 2}, {b"\xff": 1}, Wrong(), iter([]), ..., len,
]  # fmt: skip


@pytest.fixture(params=["AWS_Lambda_python3.11", "AWS_Lambda_python3.13"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Say, Theirs]:
    """okibi's encoder and the official client's, as in two versions of AWS's runtime."""
    monkeypatch.setenv("AWS_EXECUTION_ENV", request.param)
    reason = "awslambdaric is not installed: `make bench` installs it"
    client = pytest.importorskip("awslambdaric.lambda_runtime_marshaller", reason=reason)
    marshaller = client.LambdaMarshaller()

    def theirs(result: object) -> bytes:
        body, content_type = marshaller.marshal_response(result)
        assert content_type == "application/json"
        return bytes(body, "utf-8")

    unescaped = request.param.endswith("13")
    return encode_official_unescaped if unescaped else encode_official_escaped, theirs


def words(say: Callable[[object], object], result: object) -> str:
    """The text of the error: okibi's own, or the official client's `msg`."""
    try:
        say(result)
    except Exception as error:
        # simplejson before 4 names a class with its module.
        return str(getattr(error, "msg", error)).replace("decimal.Decimal", "Decimal")
    return "no refusal"


def test_a_result_has_the_official_client_s_bytes(both: tuple[Say, Theirs]) -> None:
    ours, theirs = both
    for result in RESULTS:
        assert ours(result).body == theirs(result), repr(result)


def test_raw_json_is_sent_unchanged(both: tuple[Say, Theirs]) -> None:
    raw = pytest.importorskip("simplejson").RawJSON
    ours, theirs = both
    for result in (raw('{"a":1}'), {"a": [raw("1.50"), 1]}):
        assert ours(result).body == theirs(result)


def test_a_refusal_has_the_official_client_s_text(both: tuple[Say, Theirs]) -> None:
    ours, theirs = both
    endless: list[Any] = []
    endless.append(endless)
    for result in [*REFUSED, endless]:
        assert words(ours, result) == words(theirs, result), repr(result)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.text().map(Text),
    st.text().map(str.encode),
    st.sampled_from([*Colour, *Level]),
)
KEYS = st.one_of(
    st.text(), st.none(), st.booleans(), st.integers(), st.floats(), st.text().map(Text)
)


def _composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.builds(Pair, inner, inner),
        st.dictionaries(KEYS, inner),
        st.dictionaries(st.text(), inner),
    )


@given(st.recursive(SCALARS, _composed, max_leaves=20))
def test_any_json_like_result_has_the_official_client_s_bytes(result: object) -> None:
    encode = pytest.importorskip(
        "awslambdaric.lambda_runtime_marshaller",
        reason="awslambdaric is not installed: `make bench` installs it",
    ).Encoder()
    if isinstance(result, bytes):
        return
    for escaped, say in ((True, encode_official_escaped), (False, encode_official_unescaped)):
        encode.ensure_ascii = escaped
        assert say(result).body == encode.encode(result).encode()


# Characters of a long text.
LONG = 1000


OWN_WAY = [
    1.5, 1e22, 1e-7, 2**70, Real(1e22), Real(1.5), Whole(5), Level.HIGH, Decimal("1.50"),
    b"b", "\ud800", Text("t"), Colour.RED, uuid.UUID(int=1), datetime.date(2026, 1, 5),
    {1}, frozenset(), Pair(1, 2), collections.OrderedDict(a=1e22), collections.Counter("a"),
    {None: 1}, {True: 1}, {1e22: 1}, {Text("k"): 1}, {Whole(5): 1}, {b"k": 1}, {"k": 1e22},
]  # fmt: skip


@pytest.mark.parametrize("own", OWN_WAY, ids=repr)
def test_a_value_with_a_rule_is_encoded_by_the_rule_at_any_depth(own: object) -> None:
    for escaped, say in ((True, encode_official_escaped), (False, encode_official_unescaped)):
        for nested in ([own], {"a": [], "b": {"c": (1, [own])}}, [[{"a": None, 5: own}]]):
            assert say(nested).body == reference_json.encode(nested, escaped=escaped)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e-4).via("the least without an exponent")
@example(math.nextafter(1e16, 0)).via("the largest")
@example(-0.0).via("a sign")
def test_a_nested_float_is_encoded_as_at_the_top(number: float) -> None:
    written = json.dumps(number).encode()
    for say in (encode_official_escaped, encode_official_unescaped):
        assert say([number]).body == b"[%s]" % written
        assert say({"a": {"b": number}}).body == b'{"a": {"b": %s}}' % written
        assert say([{number: [number]}]).body == b'[{"%s": [%s]}]' % (written, written)


class Config:
    def __init__(self) -> None:
        self.rate, self.key, self.far = Decimal("1.50"), b"k", 1e22


CONFIG = Config()
"""Alive throughout: Python keeps the values of its `__dict__` in the object."""


def test_the_dict_of_a_living_object_is_encoded_as_any_dict() -> None:
    for say in (encode_official_escaped, encode_official_unescaped):
        body = say({"config": vars(CONFIG), "a": [vars(CONFIG)]}).body
        config = b'{"rate": 1.50, "key": "k", "far": 1e+22}'
        assert body == b'{"config": %s, "a": [%s]}' % (config, config)


def test_built_in_values_may_be_400_levels_deep(both: tuple[Say, Theirs]) -> None:
    ours, theirs = both
    values: list[Any] = [{None: 1}, {True: 1}, {1e22: 1}, 1e22, 1]
    for value in values:
        deep = value
        for _ in range(400):
            deep = [deep]
        assert ours(deep).body == theirs(deep)


def test_nested_and_wide_circles_are_refused_with_the_official_text(
    both: tuple[Say, Theirs],
) -> None:
    ours, theirs = both
    endless: list[Any] = []
    endless.extend([endless] * 50)
    for result in (endless, {"a": endless}, [[bytearray(b"b")]], {"a": {"b": memoryview(b"b")}}):
        assert words(ours, result) == words(theirs, result)


# -- where the official client raises, or writes text that is not JSON


@attrs.frozen
class Order:
    name: str
    lines: tuple[Any, ...] = ()


@dataclasses.dataclass
class Cart:
    kind: ClassVar[str] = "cart"
    order: Order


class Struct(msgspec.Struct, rename="camel"):
    so_much: Any


class Side(enum.Enum):
    LEFT = "left"


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Cart(Order("a", (Pair(1, 2), Decimal("1.5")))),
         '{"order": {"name": "a", "lines": [{"a": 1, "b": 2}, 1.5]}}'),
        (Struct(Decimal("1.5")), '{"soMuch": 1.5}'),
        ([datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)], '["2026-01-02T03:04:05Z"]'),
        ([datetime.date(2026, 1, 2), datetime.time(3, 4)], '["2026-01-02", "03:04:00"]'),
        (datetime.timedelta(hours=1), '"PT3600S"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        ({"side": Side.LEFT}, '{"side": "left"}'),
        ({1}, "[1]"),
    ],
    ids=["dataclass and attrs", "Struct", "datetime", "date, time", "timedelta", "UUID", "Enum",
         "set"],
)  # fmt: skip
def test_types_that_only_okibi_supports_are_encoded(result: object, expected: str) -> None:
    assert encode_official_escaped(result).body.decode() == expected


class Moment(datetime.datetime): ...


class Day(datetime.date): ...


class Hour(datetime.time): ...


class Span(datetime.timedelta): ...


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Moment(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), '"2026-01-02T03:04:05Z"'),
        (Day(2026, 1, 2), '"2026-01-02"'),
        (Hour(3, 4), '"03:04:00"'),
        (Span(hours=1), '"PT3600S"'),
    ],
    ids=["datetime", "date", "time", "timedelta"],
)
def test_a_subclass_of_a_date_or_time_is_encoded_as_its_base(result: object, expected: str) -> None:
    assert encode_official_escaped(result).body.decode() == expected


@pytest.fixture
def not_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_json, "_logged_not_finite", [])


NOTHING = [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")]


@pytest.mark.usefixtures("not_logged_yet")
def test_nan_is_sent_as_null_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    assert encode_official_escaped(NOTHING).body == b"[null, null, null, null, null, null]"
    assert encode_official_unescaped({"a": Real("nan")}).body == b'{"a": null}'
    assert [record.message for record in caplog.records] == [
        "a result holds nan, which JSON cannot represent: sent as null"
    ]


@pytest.mark.parametrize(
    "say", [encode_official_escaped, encode_official_unescaped, encode_handler_result]
)
def test_a_lone_surrogate_is_escaped(say: Say) -> None:
    for text in ("é\udfff", "\udfff" * 2 * LONG):
        body = say({"\ud800": text}).body

        assert b'"\\ud800"' in body
        assert json.loads(body) == {"\ud800": text}


def test_bytes_are_sent_unchanged() -> None:
    for say in (encode_official_escaped, encode_official_unescaped):
        assert say(b"\0\xff").body == b"\0\xff"
        assert say(b"").content_type == b"application/unknown"


def test_a_handler_class_falls_back_to_the_official_client_s_rules() -> None:
    assert encode_handler_result({"a": [Pair(1, 2)]}).body == b'{"a":[[1,2]]}'
    assert encode_handler_result({None: Text("a")}).body == b'{"null": "a"}'


def test_a_result_nested_too_deeply_is_refused() -> None:
    deep: list[Any] = []
    # Python 3.14 limits the C stack instead of counting levels.
    for _ in range(1_000_000 if sys.version_info >= (3, 14) else 10_000):
        deep = [deep]
    for say in (encode_official_escaped, encode_handler_result):
        with pytest.raises(MarshalError, match="Unable to marshal response: "):
            say(deep)
    while deep:
        deep = deep.pop()
