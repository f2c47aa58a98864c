"""attrs gets the code of its texts from the cache, and everything else from `compile`."""

import sys
from importlib.util import source_hash
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from okibi.runtime.startup.attrs_cache import ATTRS_MODULE, CompileCache, mark_salt

TEXT = "def __hash__(self):\n    return hash((\n        {salt},\n        self.x,\n    ))\n"
NAME = "<attrs generated methods made.Made>"


def cached() -> CompileCache:
    text, _ = mark_salt(TEXT.format(salt=7))
    code = compile(text, NAME, "exec", dont_inherit=True)
    return CompileCache({(source_hash(text.encode()), NAME): code})


@pytest.mark.parametrize("text", ["no hash", "hash((", "hash((\n self.x,"])
def test_a_text_without_a_salt_stays(text: str) -> None:
    assert mark_salt(text) == (text, None)


def test_marked_texts_of_two_processes_are_the_same() -> None:
    one, other = mark_salt(TEXT.format(salt=-17)), mark_salt(TEXT.format(salt=4))

    assert one[0] == other[0]
    assert (one[1], other[1]) == (-17, 4)


@pytest.mark.parametrize("salt", [99, -(1 << 63), 0])
def test_a_hash_from_the_cache_has_the_salt_of_its_process(salt: int) -> None:
    cache = cached()
    names: dict[str, Any] = {}

    exec(cache.compile(TEXT.format(salt=salt), NAME, "exec"), names)

    assert names["__hash__"](SimpleNamespace(x=5)) == hash((salt, 5))
    assert (cache.hits, cache.misses) == (1, 0)


@pytest.mark.parametrize(
    ("text", "name"),
    [("x = 1\n", NAME), (TEXT.format(salt=7), "<attrs generated methods made.Other>")],
)
def test_another_text_or_file_name_is_compiled(text: str, name: str) -> None:
    cache = cached()

    assert cache.compile(text, name, "exec") == compile(text, name, "exec", dont_inherit=True)
    assert (cache.hits, cache.misses) == (0, 1)


def test_a_text_is_compiled_with_the_flags_of_its_module() -> None:
    module = "from __future__ import annotations\nmade = compile('x: y = 1', 'made', 'exec')\n"
    plain: dict[str, object] = {}
    exec(compile(module, "module", "exec", dont_inherit=True), plain)
    names: dict[str, object] = {}
    cached().attach(names)

    exec(compile(module, "module", "exec", dont_inherit=True), names)

    assert names["made"] == plain["made"]


def test_other_calls_of_compile_are_python_s() -> None:
    cache = cached()

    assert eval(cache.compile("1 + 1", "made", "eval")) == 2
    assert cache.compile("x = 1", "made", "exec", flags=0, dont_inherit=True).co_name == "<module>"


def test_after_the_start_attrs_compiles_as_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(ATTRS_MODULE)
    monkeypatch.setitem(sys.modules, ATTRS_MODULE, module)
    cache = cached()
    cache.attach(vars(module))

    cache.detach()

    assert "compile" not in vars(module)
    assert cache.compile(TEXT.format(salt=7), NAME, "exec") is not None
    assert cache.hits == 0


def test_a_compile_of_another_library_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(ATTRS_MODULE)
    monkeypatch.setitem(sys.modules, ATTRS_MODULE, module)
    cache = cached()
    cache.attach(vars(module))
    vars(module)["compile"] = compile

    cache.detach()

    assert vars(module)["compile"] is compile
