"""attrs gets the code of its texts from the cache, and everything else from `compile`."""

import sys
from importlib.util import source_hash
from types import ModuleType

import pytest

from okibi.runtime.startup.attrs_cache import ATTRS_MODULE, CompileCache, stable_text

TEXT = "def __hash__(self):\n    return hash((\n        {salt},\n        self.x,\n    ))\n"
NAME = "<attrs generated methods made.Made>"


def cached(text: str = TEXT.format(salt=7)) -> CompileCache:
    code = compile(text, NAME, "exec", dont_inherit=True)
    return CompileCache({(source_hash(stable_text(text).encode()), NAME): code})


def test_a_text_loses_the_number_of_its_process() -> None:
    assert stable_text(TEXT.format(salt=-17)) == stable_text(TEXT.format(salt=4))
    assert stable_text("no hash") == "no hash"


def test_a_text_of_another_process_gets_the_same_code() -> None:
    cache = cached()

    code = cache.compile(TEXT.format(salt=99), NAME, "exec")

    assert code == compile(TEXT.format(salt=7), NAME, "exec", dont_inherit=True)
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
