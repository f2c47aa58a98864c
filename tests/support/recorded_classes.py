"""A module of attrs beside the imported one: classes are recorded by it, and made from recipes."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.abc import SourceLoader
from importlib.util import find_spec, module_from_spec
from types import CodeType, ModuleType
from typing import Any, cast

from okibi.packaging.image_compiler import compile_recipes
from okibi.packaging.recipe_recorder import record_classes
from okibi.runtime.startup.class_recipes import ATTRS_MODULE, ClassRecipes

MODULE = "okibi.made_classes"


def load_attrs(attach: Callable[[dict[str, Any]], None] = lambda _: None) -> Any:
    """Execute the module of attrs again.

    Args:
        attach: called with the module's names before.
    """
    spec = find_spec(ATTRS_MODULE)
    assert spec is not None
    module, loader = module_from_spec(spec), cast("SourceLoader", spec.loader)
    attach(vars(module))
    exec(cast("CodeType", loader.get_code(ATTRS_MODULE)), vars(module))
    return module


@contextmanager
def made_module(source: str, make: Any) -> Iterator[dict[str, Any]]:
    """Execute a module, which finds a module of attrs as `make`."""
    module = ModuleType(MODULE)
    vars(module).update(make=make, __spec__=object())
    sys.modules[MODULE] = module
    try:
        exec(source, vars(module))
        yield vars(module)
    finally:
        del sys.modules[MODULE]


def record(source: str) -> dict[str, Any]:
    """Return the recipe of each class of a module, by name; None for a class without one."""
    make = load_attrs()
    recipes = dict[str, Any]()

    def write(_file: int, _kind: str, _module: str, name: str, recipe: Any) -> None:
        recipes[name] = recipe

    note = record_classes(make, 0, write)

    def compile_and_note(text: str, filename: str, mode: str) -> CodeType:
        note(text, filename, 0)
        return compile(text, filename, mode, dont_inherit=True)

    vars(make)["compile"] = compile_and_note
    with made_module(source, make):
        return recipes


def use(
    recipes: Mapping[str, Any], log: list[str], *, from_image: bool = True
) -> tuple[Any, ClassRecipes]:
    """Return a module of attrs that uses recipes, and what uses them."""
    rows = [(MODULE, name, recipe) for name, recipe in recipes.items() if recipe is not None]
    used = ClassRecipes({}, compile_recipes(rows), log.append)
    if from_image:
        used.add_module(MODULE)
    return load_attrs(used.attach), used
