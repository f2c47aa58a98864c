"""Events are decoded into the handler's type; results are encoded."""

import dataclasses
import datetime
import enum
import json
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sized
from typing import Annotated, Any, Literal, Protocol, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from okibi.runtime.codec.json import (
    LARGE_EVENT,
    MarshalError,
    ResultIsStream,
    UnmarshalError,
    UntypedDecoder,
    decode_event,
    encode_official_escaped,
    encode_official_unescaped,
)
from okibi.runtime.codec.typed_json import decoder_for, encode_handler_result
from okibi.runtime.protocol.outcome import Outcome
from tests.support.doubles import delivery


@attrs.frozen
class Order:
    name: str
    count: int = 1


@dataclasses.dataclass
class Cart:
    orders: list[Order]


class Point(TypedDict):
    x: int


class Struct(msgspec.Struct):
    x: int


def event(body: bytes, kind: Any = Any, content_type: str = "application/json") -> Any:
    return decode_event(delivery(body, {"content-type": content_type}), decoder_for(kind))


# -- events


class Unmade:
    """A class that msgspec cannot decode into."""


@attrs.frozen
class Parcel:
    inside: Unmade


@pytest.mark.parametrize("kind", [Unmade, Parcel])
def test_an_unsupported_event_type_is_named(kind: type) -> None:
    with pytest.raises(UnmarshalError) as refused:
        event(b'{"inside": {}}', kind)

    place = " - at `$.inside`" if kind is Parcel else ""
    assert str(refused.value) == (
        "Unable to unmarshal input: Unmade is not supported as an event type: use an attrs class, "
        f"a dataclass, a msgspec.Struct, a TypedDict or a pydantic model{place}"
    )


class Named(Protocol):
    name: str


def test_a_protocol_that_isinstance_refuses_is_named() -> None:
    with pytest.raises(UnmarshalError, match="Named is not supported as an event type: use an"):
        event(b'{"name": "a"}', Named)


@pytest.mark.parametrize("kind", [object, Sized, dict[str, object]])
def test_a_base_class_of_the_decoded_event_is_supported(kind: type) -> None:
    assert event(b'{"a": [1]}', kind) == {"a": [1]}


@pytest.mark.parametrize("value", [None, True, 1, -1.5, "é", [1, [2]], {"a": {"b": None}}, 2**70])
def test_an_untyped_event_is_decoded_as_by_the_standard_library(value: object) -> None:
    body = json.dumps(value).encode()

    assert event(body) == value
    assert event(body + b" " * LARGE_EVENT) == value


def test_replacing_json_loads_does_not_change_decoding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(json, "loads", lambda text: text)

    assert event(b"1e400") == math.inf


def test_json_that_only_the_standard_library_accepts_is_decoded() -> None:
    for space in (b"", b" " * LARGE_EVENT):
        assert event(b"1e999" + space) == math.inf
        assert event(b'"\\ud800"' + space) == "\ud800"
        assert event(b"\xef\xbb\xbf1" + space) == 1


@pytest.mark.parametrize("body", [b"NaN", b'{"x": Infinity}', b"[-Infinity]"])
def test_nan_in_an_event_is_refused(body: bytes) -> None:
    with pytest.raises(UnmarshalError, match=r"(NaN|Infinity) is not JSON"):
        event(body)


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b'{"name": "a"}', Order, Order("a")),
        (b'{"orders": [{"name": "a", "count": 2}]}', Cart, Cart([Order("a", 2)])),
        (b'{"x": 1}', Point, {"x": 1}),
        (b'{"x": 1}', Struct, Struct(1)),
        (b"[1, 2]", tuple[int, int], (1, 2)),
        (b"null", Order | None, None),
    ],
)
def test_an_event_is_decoded_into_the_handler_s_type(
    body: bytes, kind: Any, expected: object
) -> None:
    assert event(body, kind) == expected


@pytest.mark.parametrize(
    ("body", "kind", "field"),
    [
        (b'{"name": 5}', Order, r"\$\.name"),
        (b'{"count": 5}', Order, "`name`"),
        (b'{"orders": [{"name": "a", "count": "x"}]}', Cart, r"\$\.orders\[0\]\.count"),
    ],
)
def test_an_event_that_does_not_fit_is_refused_naming_the_field(
    body: bytes, kind: Any, field: str
) -> None:
    with pytest.raises(UnmarshalError, match=rf"Unable to unmarshal input: .*{field}"):
        event(body, kind)


class Plan(enum.Enum):
    FREE = "free"


class Level(enum.IntEnum):
    LOW = 1


class Letter(msgspec.Struct, tag="letter"):
    plan: Plan = Plan.FREE
    plans: list[Plan] = []
    limits: dict[Plan, int] = {}
    level: Level = Level.LOW
    size: Literal["s", "m"] = "s"


class Box(msgspec.Struct, tag="box"):
    pass


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"plan": "SEKRIT"}, Letter, "Invalid enum value - at `$.plan`"),
        ({"plan": "SEKRIT`, '\n - at `$.SEKRIT` "}, Letter, "Invalid enum value - at `$.plan`"),
        ({"plans": ["SEKRIT - at `$.SEKRIT`"]}, Letter, "Invalid enum value - at `$.plans[0]`"),
        ({"limits": {"SEKRIT": 1}}, Letter, "Invalid enum value - at `key` in `$.limits`"),
        ({"level": 4111}, Letter, "Invalid enum value - at `$.level`"),
        ({"size": "SEKRIT"}, Letter, "Invalid enum value - at `$.size`"),
        ({"type": "SEKRIT"}, Letter | Box, "Invalid value - at `$.type`"),
        ("SEKRIT - at `$.SEKRIT`", Plan, "Invalid enum value"),
    ],
)
def test_the_error_of_a_refused_event_shows_no_value(given: object, kind: Any, words: str) -> None:
    with pytest.raises(UnmarshalError) as refused:
        event(json.dumps(given).encode(), kind)

    assert str(refused.value) == f"Unable to unmarshal input: {words}"


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": }', b"\xff\xfe\xfd", b"[" * 100_000])
@pytest.mark.parametrize("kind", [Any, dict[str, Any]])
def test_an_event_that_is_not_json_is_refused(body: bytes, kind: Any) -> None:
    with pytest.raises(UnmarshalError, match="Unable to unmarshal input: "):
        event(body, kind)


@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=utf-8"])
def test_an_event_of_another_content_type_is_raw_bytes(kind: str) -> None:
    assert event(b"{}", content_type=kind) == b"{}"


def test_a_typed_event_is_decoded_whatever_the_content_type() -> None:
    assert event(b'{"name": "a"}', Order, content_type="text/plain") == Order("a")


@pytest.mark.parametrize("kind", [Any, Order])
def test_more_than_one_byte_order_mark_is_refused(kind: Any) -> None:
    with pytest.raises(UnmarshalError, match="Unable to unmarshal input: "):
        event(b"\xef\xbb\xbf" * 100_000 + b'{"name": "a"}', kind)


def test_the_encoded_event_is_dropped_once_decoded() -> None:
    taken = delivery(b'{"a": 1}', {"content-type": "application/json"})

    assert decode_event(taken, decoder_for(Any)) == {"a": 1}
    assert taken.body == b""


def test_the_encoded_event_is_dropped_on_the_slow_path() -> None:
    taken = delivery(b'\xef\xbb\xbf{"a": 1}', {"content-type": "application/json"})

    assert decode_event(taken, decoder_for(Any)) == {"a": 1}
    assert taken.body == b""


def test_a_value_as_event_type_is_refused_at_the_start() -> None:
    with pytest.raises(TypeError):
        decoder_for(object())


# -- results


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, None),
        ({"a": [1, 2.5, "é"]}, {"a": [1, 2.5, "é"]}),
        ((1, 2), [1, 2]),
        (Order("a"), {"name": "a", "count": 1}),
        (Cart([]), {"orders": []}),
        (Struct(1), {"x": 1}),
    ],
)
def test_a_result_is_json(result: object, expected: object) -> None:
    outcome = encode_handler_result(result)

    assert json.loads(outcome.body) == expected
    assert outcome.content_type == b"application/json"
    assert outcome.error_type is None


def test_a_handler_class_s_text_is_not_escaped() -> None:
    assert encode_handler_result("é").body == '"é"'.encode()


def test_bytes_are_sent_unchanged() -> None:
    outcome = encode_handler_result(b"\0\xff")

    assert outcome.body == b"\0\xff"
    assert outcome.content_type == b"application/unknown"


class Short(bytes):
    """Reports a wrong length."""

    def __len__(self) -> int:
        return 1


class Posing:
    """Claims to be bytes, as a proxy of bytes does."""

    @property
    def __class__(self) -> type:
        return bytes

    @__class__.setter
    def __class__(self, value: type) -> None: ...


@pytest.mark.parametrize("say", [encode_handler_result, encode_official_escaped])
def test_a_subclass_of_bytes_is_sent_as_its_bytes(say: Callable[[object], Outcome]) -> None:
    body = say(Short(b"abc")).body

    assert (type(body), body) == (bytes, b"abc")


@pytest.mark.parametrize("say", [encode_handler_result, encode_official_escaped])
def test_a_value_that_only_claims_to_be_bytes_is_refused(
    say: Callable[[object], Outcome],
) -> None:
    with pytest.raises(MarshalError, match=r"Unable to marshal response: .*'Posing'"):
        say(Posing())


def test_nan_in_a_result_is_sent_as_null() -> None:
    assert encode_handler_result([math.nan, math.inf]).body == b"[null,null]"


def endless() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize(
    "result",
    [object(), {1, object()}, endless(), {(1, 2): 3}, 1 + 2j],
    ids=["object", "set", "endless", "tuple key", "complex"],
)
def test_a_result_that_json_cannot_represent_is_a_marshal_error(result: object) -> None:
    with pytest.raises(MarshalError, match="Unable to marshal response: "):
        encode_handler_result(result)


async def pieces() -> AsyncIterator[bytes]:
    yield b"1"


@pytest.mark.parametrize(
    "say", [encode_handler_result, encode_official_escaped, encode_official_unescaped]
)
@pytest.mark.parametrize("make", [pieces, lambda: (n for n in range(3))])
def test_a_generator_is_a_stream_for_every_kind_of_handler(
    say: Callable[[object], object], make: Callable[[], object]
) -> None:
    with pytest.raises(ResultIsStream):
        say(make())


# -- which library decodes an untyped event


def test_only_a_large_untyped_event_imports_msgspec() -> None:
    script = """
import sys
from okibi.runtime.codec.json import LARGE_EVENT, UNTYPED
assert UNTYPED.decode(b'"' + b"x" * (LARGE_EVENT - 3) + b'"') == "x" * (LARGE_EVENT - 3)
print("msgspec" in sys.modules)
assert UNTYPED.decode(b'"' + b"x" * LARGE_EVENT + b'"') == "x" * LARGE_EVENT
print("msgspec" in sys.modules, UNTYPED.decode(b"\\xef\\xbb\\xbf[1]"))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == ["False", "True [1]"]


@pytest.mark.parametrize("error", [ImportError("of another Python"), OSError("no descriptor")])
def test_a_large_event_is_decoded_where_msgspec_cannot_be_imported(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("okibi.runtime.codec.json.import_msgspec", fail)
    body = b"[" + b" " * LARGE_EVENT + b"1]"

    assert UntypedDecoder().decode(body) == [1]
    with pytest.raises(UnmarshalError):
        UntypedDecoder().decode(body[:-1])


# -- pydantic models


class Item(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    name: str
    added: datetime.datetime | None = None


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]


class Owner(pydantic.BaseModel):
    pet: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]


@attrs.frozen
class Shelf:
    items: list[Item]


ITEM = Item(name="a", added=datetime.datetime(2026, 12, 1, tzinfo=datetime.UTC))
SENT = b'{"name":"a","added":"2026-12-01T00:00:00Z"}'


def test_a_pydantic_model_validates_the_event() -> None:
    assert event(SENT, Item) == ITEM
    assert event(b"[%b]" % SENT, list[Item]) == [ITEM]
    assert event(b'{"items": [%b]}' % SENT, Shelf) == Shelf([ITEM])


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({}, Item, "name: Field required"),
        ({"name": 4111}, Item, "name: Input should be a valid string"),
        ([{"name": 4111}], list[Item], "name: Input should be a valid string - at `$[0]`"),
        ({"pet": {"kind": "SEKRIT"}}, Owner, "pet: Invalid tag"),
        ([4111], Item, "Input should be an object"),
    ],
)
def test_an_event_that_a_model_refuses_is_named_without_its_value(
    given: object, kind: Any, words: str
) -> None:
    with pytest.raises(UnmarshalError) as refused:
        event(json.dumps(given).encode(), kind)

    assert str(refused.value) == f"Unable to unmarshal input: {words}"


@pytest.mark.parametrize("result", [ITEM, [ITEM], {"a": ITEM}, Shelf([ITEM])])
def test_a_pydantic_model_is_a_result(result: object) -> None:
    assert SENT in encode_handler_result(result).body
    assert SENT in encode_official_unescaped(result).body.replace(b": ", b":").replace(b", ", b",")


def test_pydantic_is_imported_by_the_user_alone() -> None:
    modules = "okibi.runtime.codec.typed_json, okibi.runtime.codec.reference_json"
    code = f"import sys, {modules}; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


# -- an HTTP event in place of the handler's own


@pytest.mark.parametrize("context", [{"http": {}}, {"httpMethod": "GET"}, {"elb": {}}])
def test_an_http_event_that_does_not_fit_is_called_one(context: dict[str, object]) -> None:
    body = json.dumps({"requestContext": context}).encode()

    with pytest.raises(UnmarshalError) as refused:
        event(body, Order)
    assert str(refused.value) == (
        "Unable to unmarshal input: Object missing required field `name`; this is an HTTP event:"
        " write Handler[okibi.HttpEvent], and event.json(Order) for its body"
    )
