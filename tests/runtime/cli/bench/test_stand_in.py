"""What stands in for a handler: of the same kind, and it gives back the same answer."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import attrs
import pytest

from actors import Actor
from runtime import Function, Handler, Workers, streaming
from runtime.cli.bench.functions.okibi_stand_in import stand_in
from runtime.handler import event_type
from supervisors import Child

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


@pytest.mark.parametrize("target", [plain, partial(plain), Callable()])
def test_a_plain_callable_s_is_a_def(target: Any) -> None:
    made = stand_in(target, ANSWER)

    assert not inspect.iscoroutinefunction(made)
    assert made({}, None) is ANSWER


def test_a_coroutine_function_s_is_one() -> None:
    assert asyncio.run(stand_in(coroutine, ANSWER)({}, None)) is ANSWER


async def test_a_handler_class_s_is_one_below_it() -> None:
    made = stand_in(Greeter, ANSWER)

    assert isinstance(made, Function)
    cls: Any = made.handler.handler
    assert issubclass(cls, Greeter)
    assert event_type(cls) is Greeting
    instance = cls()
    await instance.init()
    assert instance.ready
    assert await instance.handle(Greeting("x"), None) is ANSWER


def test_a_function_keeps_its_children_its_workers_and_its_loop() -> None:
    child = Child(Actor, id="child")
    function = Function(Workers(coroutine, 3), children=[child], intensity=7, loop="asyncio")

    made = stand_in(function, ANSWER)

    assert made == attrs.evolve(function, handler=made.handler)
    assert made.supervision == function.supervision
    assert made.handler.count == 3
    assert asyncio.run(made.handler.handler({}, None)) is ANSWER


def test_a_generator_s_yields_it() -> None:
    def pieces(event: Any, context: Any) -> Iterator[bytes]:
        yield b"never"

    assert list(stand_in(pieces, b"answer")({}, None)) == [b"answer"]
    assert list(stand_in(pieces, 1)({}, None)) == ["1"]


async def test_an_async_generator_s_yields_it_in_a_class_too() -> None:
    async def pieces(event: Any, context: Any) -> AsyncIterator[bytes]:
        yield b"never"

    class Yields(Handler[Any]):
        async def handle(self, event: Any, context: Any) -> AsyncIterator[bytes]:
            yield b"never"

    own = stand_in(pieces, b"answer")({}, None)
    assert [piece async for piece in own] == [b"answer"]
    method = stand_in(Yields, b"answer").handler.handler().handle({}, None)
    assert [piece async for piece in method] == [b"answer"]


async def test_one_that_is_given_its_response_writes_it() -> None:
    @streaming
    async def writes(event: Any, response: Any, context: Any) -> None:
        await response.write(b"never")

    class Taken:
        said = b""

        async def write(self, piece: bytes) -> None:
            self.said += piece

    taken = Taken()
    await stand_in(writes, {"x": 1})({}, taken, None)

    assert taken.said == b'{"x": 1}'
