"""Function and Workers are values; a wrong field is refused."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import attrs
import pytest

from okibi.actors import Server
from okibi.runtime import (
    Context,
    Function,
    Handler,
    Response,
    Workers,
    streaming,
)
from okibi.supervisors import INFINITY, Child, SpecError, Strategy


class Greeter(Handler[dict[str, str]]):
    async def handle(self, event: dict[str, str], context: Context) -> object:
        return event


class Visits(Server): ...


class Called:
    def __call__(self, event: object, context: object) -> object:
        return event


def plain(event: object, context: object) -> object:
    return event


@pytest.mark.parametrize("handler", [Greeter, plain, partial(plain), Called(), print])
def test_a_handler_class_or_any_callable_is_a_handler(handler: Any) -> None:
    assert Function(handler).handler == Workers(handler)


@pytest.mark.parametrize("handler", [None, 5, "app.handler", {}])
def test_a_value_that_cannot_be_called_is_refused(handler: Any) -> None:
    with pytest.raises(SpecError, match="handler must be a Handler class or a callable, got"):
        Function(handler)


def test_a_function_is_not_the_handler_of_another() -> None:
    inner: Any = Function(Greeter)

    with pytest.raises(SpecError, match="handler must be a Handler class or a callable, got Funct"):
        Function(inner)


def test_a_function_that_a_wrapper_calls_says_what_to_do() -> None:
    wrapped: Any = Function(plain, [Child(Visits)])

    with pytest.raises(TypeError, match=r"its children cannot start: .*Function\(wrapper\(handler"):
        wrapped({}, None, more=1)


def test_an_instance_of_a_handler_is_refused_naming_its_class() -> None:
    instance: Any = Greeter()

    with pytest.raises(SpecError, match="give the class Greeter instead of an instance"):
        Workers(instance)


class Streams(Handler[Any]):
    async def handle(self, event: Any, context: Context) -> AsyncIterator[bytes]:
        yield b""


class Writes(Handler[Any]):
    @streaming
    async def handle(self, event: Any, response: Response) -> None: ...  # type: ignore[override]


class YieldsPlainly(Handler[Any]):
    def handle(self, event: Any, context: Context) -> Any:
        yield b""


def test_a_handle_that_yields_must_be_an_async_def() -> None:
    assert Function(Streams).handler.handler is Streams
    with pytest.raises(SpecError, match=r"YieldsPlainly\.handle must be an `async def`"):
        Function(YieldsPlainly)
    with pytest.raises(SpecError, match="marked @streaming, which is for functions"):
        Function(Writes)


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
def test_a_count_is_a_whole_number_from_1(count: Any) -> None:
    with pytest.raises(SpecError, match=r"^count must be an integer >= 1 or None, got "):
        Workers(Greeter, count)


def test_workers_set_the_count() -> None:
    assert Function(Workers(Greeter, 4)).handler.count == 4
    assert Function(Greeter).handler.count is None


@pytest.mark.parametrize(
    "field",
    [
        {"children": 5},
        {"children": ["visits"]},
        {"children": [Child(Visits), Child(Visits)]},
        {"strategy": "one_for_one"},
        {"intensity": -1},
        {"period": 0},
        {"period": float("nan")},
    ],
    ids=repr,
)
def test_each_wrong_field_of_the_tree_is_a_spec_error(field: dict[str, Any]) -> None:
    with pytest.raises(SpecError):
        Function(Greeter, **field)


def test_a_function_is_a_value() -> None:
    child = Child(Visits)
    one = Function(Greeter, [child], Strategy.REST_FOR_ONE, 5, 9.0)

    assert one == Function(Workers(Greeter), (child,), Strategy.REST_FOR_ONE, 5, 9.0)
    assert one != Function(Greeter)
    assert "Greeter" in repr(one)
    assert one.supervision.strategy is Strategy.REST_FOR_ONE
    assert one.supervision.intensity == 5
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.intensity = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "intensity", "period", "gives_up"),
    [
        ({}, INFINITY, 5.0, False),
        ({"intensity": 3}, 3, 5.0, True),
        ({"period": 5.0}, 3, 5.0, True),
        ({"intensity": 0, "period": 60.0}, 0, 60.0, True),
    ],
)
def test_only_a_stated_limit_lets_the_children_s_supervisor_give_up(
    fields: dict[str, Any], intensity: float, period: float, gives_up: bool
) -> None:
    spec = Function(Greeter, [Child(Visits)], **fields).supervision

    assert (spec.intensity, spec.period, spec.backoff is None) == (intensity, period, gives_up)


def test_a_loop_is_trio_or_asyncio() -> None:
    assert Function(plain).loop is None
    assert Function(plain, loop="asyncio").loop == "asyncio"
    loop: Any = "uvloop"
    with pytest.raises(SpecError, match=r'^loop must be "trio", "asyncio" or None, got str'):
        Function(plain, loop=loop)
