"""What stands in for a handler: of the same kind, and it gives back the same answer."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import attrs
import pytest

from okibi.cli.bench.functions import FUNCTIONS
from okibi.cli.bench.functions.okibi_stand_in import PLAIN, stand_in
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


TOLD = [b'{"the":', b' "answer"}']


@pytest.mark.parametrize("target", [plain, partial(plain), Callable()])
def test_a_plain_callable_s_is_a_def(target: Any) -> None:
    made = stand_in(target, TOLD)

    assert not is_async(made)
    assert not streams(made)
    assert made({}, None) == ANSWER


@pytest.mark.parametrize("target", [coroutine, partial(coroutine), Function(coroutine)])
def test_a_coroutine_function_s_is_one(target: Any) -> None:
    made: Any = stand_in(target, TOLD)
    if isinstance(target, Function):
        made = made.handler.handler

    assert is_async(made)
    assert asyncio.run(made({}, None)) == ANSWER


def test_what_is_no_json_is_bytes() -> None:
    assert stand_in(plain, [b"no", b" JSON"])({}, None) == b"no JSON"


async def test_a_handler_class_s_is_one_below_it() -> None:
    made = stand_in(Greeter, TOLD)

    assert isinstance(made, Function)
    cls: Any = made.handler.handler
    assert issubclass(cls, Greeter)
    assert event_type(cls) is Greeting
    instance = cls()
    await instance.init()
    assert instance.ready
    assert await instance.handle(Greeting("x"), None) == ANSWER


@pytest.mark.parametrize("target", [generator, partial(generator)])
def test_a_generator_s_yields_the_same_pieces(target: Any) -> None:
    assert list(stand_in(target, TOLD)({}, None)) == TOLD


@pytest.mark.parametrize("target", [pieces, partial(pieces), Pieces(), Yields])
async def test_an_async_generator_s_yields_the_same_pieces_in_a_class_too(target: Any) -> None:
    made: Any = stand_in(target, TOLD)
    if target is Yields:
        made = made.handler.handler().handle

    assert streams(made)
    assert [piece async for piece in made({}, None)] == TOLD


@pytest.mark.parametrize("target", [writes, partial(writes)])
async def test_one_that_is_given_its_response_writes_the_same_pieces(target: Any) -> None:
    class Taken:
        def __init__(self) -> None:
            self.said: list[bytes] = []

        async def write(self, piece: bytes) -> None:
            self.said.append(piece)

    made, taken = stand_in(target, TOLD), Taken()
    await made({}, taken, None)

    assert takes_response(made)
    assert taken.said == TOLD


def test_on_the_official_client_it_is_a_def_and_brings_nothing_of_okibi_s() -> None:
    code = (
        "import sys, okibi_stand_in; async def f(event, context): pass"
        "\nprint(okibi_stand_in.stand_in(f, [b'1'])({}, None), 'okibi.runtime' in sys.modules)"
    ).replace("; async", "\nasync")

    # The second is one whose module has imported it.
    for before, printed in (
        ("", "1 False\n"),
        ("import okibi.runtime.handlers.handler\n", "1 True\n"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", before + code], cwd=FUNCTIONS, capture_output=True, text=True,
            env={**os.environ, PLAIN: "1"},
        )  # fmt: skip
        assert done.stdout == printed, done.stderr
