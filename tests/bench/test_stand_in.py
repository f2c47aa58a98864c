"""Stand-in handlers: of the same kind as the original, with the same answer."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import attrs
import pytest

from okibi.bench.functions import FUNCTIONS
from okibi.bench.functions.okibi_stand_in import PLAIN, stand_in
from okibi.runtime import Function, Handler, streaming
from okibi.runtime.handlers.handler import event_type, is_async, streams, takes_response

ANSWER = {"the": "answer"}


def plain(event: Any, context: Any) -> Any:
    raise AssertionError("is not to be called")


async def coroutine(event: Any, context: Any) -> Any:
    raise AssertionError("is not to be called")


class Callable:
    def __call__(self, event: Any, context: Any) -> Any:
        raise AssertionError("is not to be called")


@attrs.frozen
class Greeting:
    name: str


class Greeter(Handler[Greeting]):
    async def init(self) -> None:
        self.ready = True

    async def handle(self, event: Greeting, context: Any) -> Any:
        raise AssertionError("is not to be called")


async def pieces(event: Any, context: Any) -> AsyncIterator[bytes]:
    yield b"never"


class Pieces:
    async def __call__(self, event: Any, context: Any) -> AsyncIterator[bytes]:
        yield b"never"


class Yields(Handler[Any]):
    async def handle(self, event: Any, context: Any) -> AsyncIterator[bytes]:
        yield b"never"


def generator(event: Any, context: Any) -> Iterator[bytes]:
    yield b"never"


@streaming
async def writes(event: Any, response: Any, context: Any) -> None:
    raise AssertionError("is not to be called")


PIECES = [b'{"the":', b' "answer"}']


@pytest.mark.parametrize("target", [plain, partial(plain), Callable()])
def test_the_stand_in_of_a_plain_callable_is_a_def(target: Any) -> None:
    made = stand_in(target, PIECES)

    assert not is_async(made)
    assert not streams(made)
    assert made({}, None) == ANSWER


@pytest.mark.parametrize("target", [coroutine, partial(coroutine), Function(coroutine)])
def test_the_stand_in_of_a_coroutine_function_is_one(target: Any) -> None:
    made: Any = stand_in(target, PIECES)
    if isinstance(target, Function):
        made = made.handler.handler

    assert is_async(made)
    assert asyncio.run(made({}, None)) == ANSWER


def test_an_answer_that_is_not_json_stays_bytes() -> None:
    assert stand_in(plain, [b"no", b" JSON"])({}, None) == b"no JSON"


async def test_the_stand_in_of_a_handler_class_is_a_subclass() -> None:
    made = stand_in(Greeter, PIECES)

    assert isinstance(made, Function)
    cls: Any = made.handler.handler
    assert issubclass(cls, Greeter)
    assert event_type(cls) is Greeting
    instance = cls()
    await instance.init()
    assert instance.ready
    assert await instance.handle(Greeting("x"), None) == ANSWER


@pytest.mark.parametrize("target", [generator, partial(generator)])
def test_the_stand_in_of_a_generator_yields_the_same_pieces(target: Any) -> None:
    assert list(stand_in(target, PIECES)({}, None)) == PIECES


@pytest.mark.parametrize("target", [pieces, partial(pieces), Pieces(), Yields])
async def test_the_stand_in_of_an_async_generator_yields_the_pieces(target: Any) -> None:
    made: Any = stand_in(target, PIECES)
    if target is Yields:
        made = made.handler.handler().handle

    assert streams(made)
    assert [piece async for piece in made({}, None)] == PIECES


@pytest.mark.parametrize("target", [writes, partial(writes)])
async def test_the_stand_in_of_a_response_writer_writes_the_pieces(target: Any) -> None:
    class FakeResponse:
        def __init__(self) -> None:
            self.written: list[bytes] = []

        async def write(self, piece: bytes) -> None:
            self.written.append(piece)

    made, response = stand_in(target, PIECES), FakeResponse()
    await made({}, response, None)

    assert takes_response(made)
    assert response.written == PIECES


@pytest.mark.slow
def test_under_the_official_client_okibi_is_not_imported() -> None:
    code = (
        "import sys, okibi_stand_in; async def f(event, context): pass"
        "\nprint(okibi_stand_in.stand_in(f, [b'1'])({}, None), 'okibi.runtime' in sys.modules)"
    ).replace("; async", "\nasync")

    # In the second case the user's module has imported okibi.
    for before, printed in (
        ("", "1 False\n"),
        ("import okibi.runtime.handlers.handler\n", "1 True\n"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", before + code], cwd=FUNCTIONS, capture_output=True, text=True,
            env={**os.environ, PLAIN: "1"},
        )  # fmt: skip
        assert done.stdout == printed, done.stderr
