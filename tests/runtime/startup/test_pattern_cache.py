"""`re` gets the programs of patterns from the cache, and compiles every other pattern."""

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from okibi.cli.package.image_compiler import compile_patterns
from okibi.runtime.startup.pattern_cache import COMPILER_MODULE, PatternCache

COMPILER: Any = sys.modules[COMPILER_MODULE]
VERSION = (COMPILER._sre.MAGIC, COMPILER._sre.CODESIZE)
PATTERNS = [
    (r"(?P<year>\d{4})-(?P<month>\d\d)", False, 0),
    (r"^[\wäöü\u4e00-\u9fff]+|(?<!x)y*?(z)?$", False, int(re.IGNORECASE | re.MULTILINE)),
    (r"(?x) a | b  # of bytes", True, 0),
    (r"((((((((((a))))))))))\10", False, 0),
]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    plain = COMPILER.compile
    re.purge()
    yield
    assert COMPILER.compile is plain


def cached() -> PatternCache:
    return PatternCache(VERSION, compile_patterns(PATTERNS))


@pytest.mark.parametrize(("text", "is_bytes", "flags"), PATTERNS)
def test_a_pattern_of_the_cache_is_the_one_that_re_compiles(
    text: str, is_bytes: bool, flags: int
) -> None:
    pattern: Any = text.encode() if is_bytes else text
    plain: re.Pattern[Any] = COMPILER.compile(pattern, flags)
    cache = cached()
    cache.attach()
    try:
        made: re.Pattern[Any] = re.compile(pattern, flags)
    finally:
        cache.detach()

    assert cache.hits == 1
    # Patterns compare by their programs.
    assert made == plain
    assert (made.flags, made.groups, made.groupindex) == (
        plain.flags, plain.groups, plain.groupindex,
    )  # fmt: skip


def test_another_pattern_is_compiled_and_a_wrong_one_refused() -> None:
    cache = cached()
    cache.attach()
    try:
        assert re.compile(PATTERNS[0][0], re.DOTALL).flags & re.DOTALL
        with pytest.raises(re.error, match="unterminated"):
            re.compile("[")
        with pytest.raises(TypeError, match="string or compiled"):
            re.compile(7)  # type: ignore[call-overload]
    finally:
        cache.detach()

    assert cache.hits == 0


def test_programs_for_another_matcher_are_not_used() -> None:
    plain = COMPILER.compile
    cache = PatternCache((VERSION[0] + 1, VERSION[1]), compile_patterns(PATTERNS))

    cache.attach()

    assert COMPILER.compile is plain
    cache.detach()


def test_a_python_that_compiles_elsewhere_keeps_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cached()
    with monkeypatch.context() as patched:
        patched.delitem(sys.modules, COMPILER_MODULE)
        cache.attach()

        assert re.compile(PATTERNS[0][0]).groups == 2
        cache.detach()

    assert cache.hits == 0


def test_a_compiler_that_another_library_put_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cached()
    with monkeypatch.context() as patched:
        patched.setattr(COMPILER, "compile", COMPILER.compile)
        cache.attach()
        other = COMPILER.compile = lambda *told: cache.compile(*told)

        cache.detach()

        assert COMPILER.compile is other
        assert re.compile("after the start").match("after the start")


def test_a_pattern_that_the_target_refuses_is_left_out() -> None:
    assert compile_patterns([("[", False, 0)]) == {}
