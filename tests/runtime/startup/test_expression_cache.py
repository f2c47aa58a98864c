"""`namedtuple` and `typing` get the code of texts from the cache."""

import collections
import sys
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from okibi.runtime.startup.expression_cache import ExpressionCache

TEXT = "lambda _cls, x, y: _tuple_new(_cls, (x, y))"
ANNOTATION = "list[Point]"


@pytest.fixture
def cache() -> Iterator[ExpressionCache]:
    cache = ExpressionCache(
        {text: compile(text, "<string>", "eval") for text in (TEXT, ANNOTATION)}
    )
    cache.attach()
    yield cache
    cache.detach()
    assert "eval" not in vars(collections)
    assert "compile" not in vars(typing)


def test_a_known_constructor_comes_from_the_cache(cache: ExpressionCache) -> None:
    point: Any = collections.namedtuple("point", "x y", defaults=(5,))

    assert cache.hits == 1
    assert point(1) == (1, 5)
    assert point(y=3, x=2)._asdict() == {"x": 2, "y": 3}
    with pytest.raises(TypeError, match="x"):
        point()  # type: ignore[call-arg]


def test_another_constructor_is_evaluated(cache: ExpressionCache) -> None:
    class Other(NamedTuple):
        first: int
        second: str = ""

    assert Other(1) == (1, "")
    assert cache.hits == 0


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="typing compiles no annotation")
def test_a_known_annotation_comes_from_the_cache(cache: ExpressionCache) -> None:
    class Point:
        twice: "list[Point]"

    known = typing.ForwardRef(ANNOTATION)

    assert cache.hits == 1
    assert known == typing.ForwardRef(ANNOTATION)
    assert typing.get_type_hints(Point, None, {"Point": Point}) == {"twice": list[Point]}
    with pytest.raises(SyntaxError, match="must be an expression"):
        typing.ForwardRef("list[")


def test_after_the_start_namedtuple_evaluates_as_usual(cache: ExpressionCache) -> None:
    cache.detach()

    point: Any = collections.namedtuple("point", "x y")

    assert point(1, 2) == (1, 2)
    assert cache.hits == 0
