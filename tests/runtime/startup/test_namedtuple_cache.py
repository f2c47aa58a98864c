"""`namedtuple` gets the code of constructors from the cache."""

import collections
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from okibi.runtime.startup.namedtuple_cache import NamedtupleCache

TEXT = "lambda _cls, x, y: _tuple_new(_cls, (x, y))"


@pytest.fixture
def cache() -> Iterator[NamedtupleCache]:
    cache = NamedtupleCache({TEXT: compile(TEXT, "<string>", "eval")})
    cache.attach()
    yield cache
    cache.detach()
    assert "eval" not in vars(collections)


def test_a_known_constructor_comes_from_the_cache(cache: NamedtupleCache) -> None:
    point: Any = collections.namedtuple("point", "x y", defaults=(5,))

    assert cache.hits == 1
    assert point(1) == (1, 5)
    assert point(y=3, x=2)._asdict() == {"x": 2, "y": 3}
    with pytest.raises(TypeError, match="x"):
        point()  # type: ignore[call-arg]


def test_another_constructor_is_evaluated(cache: NamedtupleCache) -> None:
    class Other(NamedTuple):
        first: int
        second: str = ""

    assert Other(1) == (1, "")
    assert cache.hits == 0


def test_after_the_start_namedtuple_evaluates_as_usual(cache: NamedtupleCache) -> None:
    cache.detach()

    point: Any = collections.namedtuple("point", "x y")

    assert point(1, 2) == (1, 2)
    assert cache.hits == 0
