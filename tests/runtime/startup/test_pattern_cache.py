"""`re` finds the patterns of the image in its cache, and compiles every other pattern."""

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from okibi.packaging.image_compiler import compile_patterns
from okibi.runtime.startup.pattern_cache import COMPILER_MODULE, add_patterns

COMPILER: Any = sys.modules[COMPILER_MODULE]
VERSION = (COMPILER._sre.MAGIC, COMPILER._sre.CODESIZE)
PATTERNS: list[tuple[Any, int]] = [
    (r"(?P<year>\d{4})-(?P<month>\d\d)", 0),
    (r"^[\wäöü\u4e00-\u9fff]+|(?<!x)y*?(z)?$", int(re.IGNORECASE | re.MULTILINE)),
    (rb"(?x) a | b  # of bytes", 0),
    (r"((((((((((a))))))))))\10", 0),
]
PROGRAMS = compile_patterns(PATTERNS)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str | bytes]]:
    """The patterns that `re` compiles itself."""
    seen = list[str | bytes]()
    plain = COMPILER.compile

    def compile_and_note(pattern: Any, flags: int = 0) -> Any:
        seen.append(pattern)
        return plain(pattern, flags)

    re.purge()
    monkeypatch.setattr(COMPILER, "compile", compile_and_note)
    yield seen
    re.purge()


@pytest.mark.parametrize(("pattern", "flags"), PATTERNS)
def test_a_pattern_of_the_image_is_the_one_that_re_compiles(
    pattern: Any, flags: int, compiled: list[str | bytes]
) -> None:
    plain: re.Pattern[Any] = re.compile(pattern, flags)
    re.purge()
    compiled.clear()

    add_patterns(VERSION, PROGRAMS)
    made: re.Pattern[Any] = re.compile(pattern, re.RegexFlag(flags))

    assert compiled == []
    # Patterns compare by their programs.
    assert made == plain
    assert (made.flags, made.groups, made.groupindex) == (
        plain.flags, plain.groups, plain.groupindex,
    )  # fmt: skip


def test_a_pattern_with_other_flags_is_compiled(compiled: list[str | bytes]) -> None:
    add_patterns(VERSION, PROGRAMS)

    assert re.compile(PATTERNS[0][0], re.DOTALL).flags & re.DOTALL
    assert compiled == [PATTERNS[0][0]]


def test_programs_for_another_matcher_are_not_used(compiled: list[str | bytes]) -> None:
    add_patterns((VERSION[0] + 1, VERSION[1]), PROGRAMS)

    re.compile(PATTERNS[0][0])
    assert compiled == [PATTERNS[0][0]]


@pytest.mark.parametrize("name", ["_cache", "_compiler"])
def test_a_python_without_the_private_names_compiles(
    name: str, compiled: list[str | bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        if name == "_cache":
            patched.delattr(re, "_cache")
        else:
            patched.delitem(sys.modules, COMPILER_MODULE)
        add_patterns(VERSION, PROGRAMS)

    re.compile(PATTERNS[0][0])
    assert compiled == [PATTERNS[0][0]]


def test_a_program_that_the_matcher_refuses_is_left_to_re(compiled: list[str | bytes]) -> None:
    add_patterns(VERSION, {("made", 0): (32, 0, {}, (None,), bytes(8)), **PROGRAMS})

    assert re.compile("made").match("made")
    assert re.compile(PATTERNS[0][0]).groups == 2
    assert compiled == ["made"]


@pytest.mark.parametrize("pattern", ["[", "[[a]"], ids=["error", "warning"])
def test_a_pattern_that_re_refuses_or_warns_of_is_left_out(pattern: str) -> None:
    assert compile_patterns([(pattern, 0)]) == {}
