"""The error of a result that cannot be encoded names the place, and `await` for a coroutine."""

import gc
import logging
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import attrs
import msgspec
import pytest

from okibi.actors import Name, Server
from okibi.runtime.codec.json import (
    MarshalError,
    encode_async_def_result,
    encode_official_escaped,
    encode_official_unescaped,
)
from okibi.runtime.codec.result_errors import PATH_LIMIT
from okibi.runtime.codec.typed_json import encode_handler_result
from okibi.runtime.protocol.outcome import Outcome
from tests.garbage import no_collector

Encode = Callable[[Any], Outcome]
# Whose messages okibi chooses, and whose are the official client's.
OWN: list[Encode] = [encode_handler_result, encode_async_def_result]
OFFICIAL: list[Encode] = [encode_official_escaped, encode_official_unescaped]


class Money: ...


@attrs.frozen
class Order:
    items: list[object]


class Struct(msgspec.Struct):
    price: object


def refusal(encode: Encode, result: object) -> str:
    with pytest.raises(MarshalError) as refused:
        encode(result)
    return str(refused.value)


def endless() -> dict[str, object]:
    made: dict[str, object] = {}
    made["a"] = [made]
    return made


NOT_MONEY = "Object of type Money is not JSON serializable"
PLACES: list[tuple[Any, str]] = [
    ({"items": [1, 2, 3, {"price": Money()}]}, f'result["items"][3]["price"]: {NOT_MONEY}'),
    ({"ghp_16C7e42F292c6912": Money()}, f"result[...]: {NOT_MONEY}"),
    ({"AKIAIOSFODNNEXAMPLEX": Money()}, f"result[...]: {NOT_MONEY}"),
    (Money(), f"result: {NOT_MONEY}"),
    ((1, Money()), f"result[1]: {NOT_MONEY}"),
    ({"order": Order([Money()])}, f'result["order"]["items"][0]: {NOT_MONEY}'),
    ({"order": Struct(Money())}, f'result["order"][...]: {NOT_MONEY}'),
    ({"a": {(1, 2): 3}},
     'result["a"]: keys must be str, int, float, bool or None, not tuple'),
    (endless(), 'result["a"][0]: Circular reference detected'),
]  # fmt: skip


@pytest.mark.parametrize("encode", OWN)
@pytest.mark.parametrize(("result", "message"), PLACES)
def test_the_error_names_the_place_of_the_value(
    encode: Encode, result: object, message: str
) -> None:
    assert refusal(encode, result) == f"Unable to marshal response: {message}"


@pytest.mark.parametrize("encode", OFFICIAL)
@pytest.mark.parametrize(("result", "message"), PLACES)
def test_a_plain_def_s_error_is_official_and_the_log_names_the_place(
    encode: Encode, result: object, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    place, _, official = message.partition(": ")

    assert refusal(encode, result) == f"Unable to marshal response: {official}"
    assert [(record.levelno, record.message) for record in caplog.records] == (
        [(logging.ERROR, message)] if place != "result" else []
    )


@pytest.mark.parametrize("key", ["a b", "bob@example.com", "k" * 41, 1.5, None, b"k"])
def test_a_key_that_may_be_data_is_not_shown(key: object) -> None:
    assert refusal(encode_async_def_result, {key: Money()}) == (
        f"Unable to marshal response: result[...]: {NOT_MONEY}"
    )


def test_a_long_path_is_cut() -> None:
    deep: object = Money()
    for _ in range(PATH_LIMIT + 1):
        deep = [deep]

    assert refusal(encode_handler_result, deep) == (
        f"Unable to marshal response: result{'[0]' * PATH_LIMIT}...: {NOT_MONEY}"
    )


# -- coroutines


async def fetch(url: str) -> str:
    return url


LINE = fetch.__code__.co_firstlineno


class Visits(Server):
    async def visit(self, name: str) -> int:
        return len(name)


VISITS = Name("visits of a forgotten await", Visits)


@pytest.fixture
def no_warning() -> Any:
    """Fails for a coroutine that is destroyed without having been awaited or closed."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(each.message) for each in caught] == []


CURE = f'is a coroutine: write `await` before fetch(...), defined in File "{__file__}", line {LINE}'


@pytest.mark.usefixtures(no_collector.__name__, "no_warning")
@pytest.mark.parametrize("encode", OWN)
@pytest.mark.parametrize(
    ("wrap", "place"),
    [
        (lambda made: made, "result"),
        (lambda made: {"page": made}, 'result["page"]'),
        (lambda made: {"pages": [1, (made,)]}, 'result["pages"][1][0]'),
        (lambda made: Order([made]), 'result["items"][0]'),
        (lambda made: {"order": Struct(made)}, 'result["order"][...]'),
        (lambda made: [made, fetch("b"), {"c": [fetch("c")]}], "result[0]"),
    ],
    ids=["bare", "dict", "tuple", "attrs", "struct", "many"],
)
def test_a_coroutine_in_a_result_is_answered_with_await_and_the_function(
    encode: Encode, wrap: Callable[[Coroutine[Any, Any, str]], object], place: str
) -> None:
    assert refusal(encode, wrap(fetch("a"))) == f"Unable to marshal response: {place} {CURE}"


@pytest.mark.usefixtures(no_collector.__name__, "no_warning")
@pytest.mark.parametrize("encode", OFFICIAL)
def test_a_plain_def_s_log_names_await_and_its_error_is_official(
    encode: Encode, caplog: pytest.LogCaptureFixture
) -> None:
    assert refusal(encode, {"page": fetch("a")}) == (
        "Unable to marshal response: Object of type coroutine is not JSON serializable"
    )
    assert [record.message for record in caplog.records] == [f'result["page"] {CURE}']


def test_a_coroutine_that_has_begun_is_not_closed() -> None:
    class Pause:
        def __await__(self) -> Any:
            yield

    async def begun() -> str:
        await Pause()
        return "done"

    made = begun()
    made.send(None)

    assert "result is a coroutine: write `await` before begun(...)" in refusal(
        encode_handler_result, made
    )
    with pytest.raises(StopIteration, match="done"):
        made.send(None)
