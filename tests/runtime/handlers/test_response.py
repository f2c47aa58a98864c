"""What a handler says of a streamed answer: preludes, marks, and what is refused of them."""

import json
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from okibi.runtime import Context, Prelude, Response, streaming
from okibi.runtime.handlers.handler import streams, takes_response
from okibi.runtime.handlers.response import PRELUDE_LIMIT, Item
from okibi.runtime.in_flight.delivery import State
from okibi.runtime.in_flight.lane import Lane
from tests.support.doubles import brought_to
from tests.support.streaming_worker import serving, until

if TYPE_CHECKING:
    from decimal import Decimal


def test_a_prelude_says_200_unless_told_otherwise_and_no_cookies_where_there_are_none() -> None:
    assert json.loads(Prelude().encoded()) == {"statusCode": 200, "headers": {}}


def test_a_prelude_has_the_names_that_lambda_gives_them() -> None:
    prelude = Prelude(status_code=404, headers={"x-a": "ü"}, cookies=("a=b", "c=d"))

    assert json.loads(prelude.encoded()) == {
        "statusCode": 404,
        "headers": {"x-a": "ü"},
        "cookies": ["a=b", "c=d"],
    }


@pytest.mark.parametrize("status", [0, 99, 600, "200", None, 200.5])
def test_a_status_is_one_of_http_s(status: Any) -> None:
    with pytest.raises(ValueError, match="status_code is from 100 to 599, not"):
        Prelude(status)


@pytest.mark.parametrize(
    "fields",
    [{"headers": {"a": 1}}, {"headers": {1: "a"}}, {"cookies": [b"a=b"]}, {"cookies": "a=b"}],
)
def test_headers_and_cookies_are_text(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="headers are str by str, cookies a list of str"):
        Prelude(**fields)


def test_a_prelude_that_lambda_would_not_find_the_end_of_is_refused() -> None:
    Prelude(headers={"a": "x" * (PRELUDE_LIMIT - 50)})
    with pytest.raises(ValueError, match="at most 16384 bytes"):
        Prelude(headers={"a": "x" * PRELUDE_LIMIT})


async def write(event: object, response: Response, context: object) -> None: ...


async def two(event: object, context: object) -> None: ...


def plain(event: object, response: Response, context: object) -> None: ...


def test_a_mark_changes_nothing_but_what_the_handler_is_given() -> None:
    assert not streams(write)

    marked = streaming(write)

    assert marked is write
    assert streams(write)
    assert takes_response(write)
    assert not streams(two)


def test_what_has_an_attribute_of_every_name_is_not_marked() -> None:
    class Proxy:
        def __getattr__(self, name: str) -> str:
            return name

        def __call__(self, event: object, context: object) -> object:
            return event

    handler = Proxy()
    assert not takes_response(handler)
    assert not streams(handler)


@pytest.mark.parametrize(
    ("handler", "words"),
    [(plain, "is for an `async def`"), (two, r"two does not take \(event, response, context\)")],
)
def test_what_cannot_be_given_a_response_is_not_marked(handler: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        streaming(handler)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="evaluates annotations where they stand")
def test_a_marked_one_s_annotations_may_name_what_only_a_type_checker_imports() -> None:
    async def priced(event: Decimal, response: Response, context: object) -> None: ...

    assert takes_response(streaming(priced))


@pytest.mark.parametrize("kind", ["text/csv\r\nX: y", "a\nb"])
async def test_a_content_type_is_one_line(kind: str) -> None:
    response = Response(Lane(0, b"api"), brought_to(State.RUNNING), print)

    with pytest.raises(ValueError, match="must be one line"):
        response.content_type = kind


async def test_an_invocation_that_was_answered_meanwhile_takes_no_stream() -> None:
    response = Response(Lane(0, b"api"), brought_to(State.SETTLED), print)

    with pytest.raises(RuntimeError, match="has been answered already"):
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
async def test_of_a_piece_of_a_subclass_the_bytes_go_out(item: Any) -> None:
    async def handler(event: object, context: Context) -> AsyncIterator[Item]:
        yield item

    async with serving(handler) as stage:
        made = await stage.give()
        await until(lambda: made.state is State.STAGED)

        assert b"\r\n3\r\ntwo\r\n0\r\n" in stage.read()
