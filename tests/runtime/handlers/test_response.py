"""Prelude, Response and @streaming: their values, and what they refuse."""

import json
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from okibi.runtime import Context, Prelude, Response, streaming
from okibi.runtime.handlers.handler import streams, takes_response
from okibi.runtime.handlers.response import PRELUDE_LIMIT, Item
from okibi.runtime.in_flight.delivery import DeliveryState
from okibi.runtime.in_flight.lane import Lane
from tests.support.doubles import brought_to
from tests.support.streaming_worker import serving, until

if TYPE_CHECKING:
    from decimal import Decimal


def test_a_prelude_is_200_without_cookies_by_default() -> None:
    assert json.loads(Prelude().encoded()) == {"statusCode": 200, "headers": {}}


def test_a_prelude_is_encoded_with_lambda_s_names() -> None:
    prelude = Prelude(status_code=404, headers={"x-a": "ü"}, cookies=("a=b", "c=d"))

    assert json.loads(prelude.encoded()) == {
        "statusCode": 404,
        "headers": {"x-a": "ü"},
        "cookies": ["a=b", "c=d"],
    }


@pytest.mark.parametrize("status", [0, 99, 600, "200", None, 200.5])
def test_a_status_code_out_of_range_is_refused(status: Any) -> None:
    with pytest.raises(ValueError, match="status_code must be from 100 to 599, got"):
        Prelude(status)


@pytest.mark.parametrize(
    "fields",
    [{"headers": {"a": 1}}, {"headers": {1: "a"}}, {"cookies": [b"a=b"]}, {"cookies": "a=b"}],
)
def test_headers_and_cookies_that_are_not_str_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="headers must map str to str, and cookies must be"):
        Prelude(**fields)


def test_a_prelude_longer_than_16_kb_is_refused() -> None:
    Prelude(headers={"a": "x" * (PRELUDE_LIMIT - 50)})
    with pytest.raises(ValueError, match="a prelude must not be longer than 16384 bytes"):
        Prelude(headers={"a": "x" * PRELUDE_LIMIT})


async def write(event: object, response: Response, context: object) -> None: ...


async def two(event: object, context: object) -> None: ...


def plain(event: object, response: Response, context: object) -> None: ...


def test_streaming_returns_the_same_function_marked() -> None:
    assert not streams(write)

    marked = streaming(write)

    assert marked is write
    assert streams(write)
    assert takes_response(write)
    assert not streams(two)


def test_a_proxy_with_every_attribute_is_not_marked() -> None:
    class Proxy:
        def __getattr__(self, name: str) -> str:
            return name

        def __call__(self, event: object, context: object) -> object:
            return event

    handler = Proxy()
    assert not takes_response(handler)
    assert not streams(handler)


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (plain, "@streaming needs an `async def`, got plain; a generator needs no mark"),
        (two, "two must take (event, response, context)"),
    ],
)
def test_streaming_refuses_other_functions(handler: Any, message: str) -> None:
    with pytest.raises(TypeError) as refused:
        streaming(handler)
    assert str(refused.value) == message


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are lazy from 3.14 on")
def test_streaming_evaluates_no_annotations() -> None:
    async def priced(event: Decimal, response: Response, context: object) -> None: ...

    assert takes_response(streaming(priced))


@pytest.mark.parametrize("kind", ["text/csv\r\nX: y", "a\nb"])
async def test_a_content_type_of_two_lines_is_refused(kind: str) -> None:
    response = Response(Lane(0, b"api"), brought_to(DeliveryState.RUNNING), print)

    with pytest.raises(ValueError, match="must be one line"):
        response.content_type = kind


async def test_a_write_to_an_answered_invocation_is_refused() -> None:
    response = Response(Lane(0, b"api"), brought_to(DeliveryState.SETTLED), print)

    with pytest.raises(RuntimeError, match="is already answered"):
        await response.write(b"late")


class OwnText(str):
    __slots__ = ()

    def encode(self, *_: object) -> Any:
        return [self]


class OwnBytes(bytes):
    def __len__(self) -> int:
        return 1

    def __bytes__(self) -> bytes:
        return self


@pytest.mark.parametrize("item", [OwnText("two"), OwnBytes(b"two")], ids=["str", "bytes"])
async def test_a_piece_of_a_subclass_is_sent_as_its_bytes(item: Any) -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        yield item

    async with serving(handler) as stage:
        made = await stage.give()
        await until(lambda: made.state is DeliveryState.STAGED)

        assert b"\r\n3\r\ntwo\r\n0\r\n" in stage.read()
