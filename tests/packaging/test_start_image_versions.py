"""Image, recipes and late trio work with the oldest and the newest of what okibi needs."""

import platform
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from okibi.packaging.resolve import find_uv
from okibi.packaging.staging import Staged
from okibi.packaging.start_files import entry_source, manifest
from okibi.packaging.start_image import add_start_image
from okibi.packaging.targets import parse_target
from tests.runtime.startup.test_late_trio import LEAN, NAMES, USES, run
from tests.support.sandbox import running

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NEEDED = PROJECT["dependencies"]
OLDEST = [text.replace(">=", "==") for text in NEEDED]
NEWEST = [re.split("[<>=]", text)[0] for text in NEEDED]
APP = """
import os, sys

image = sys.modules["__main__"].image
library = os.path.dirname(os.__file__)
missing = [name for name in image.library if not os.path.exists(f"{library}/{name}")]
start = [image.hits, image.recipes.hits, image.recipes.misses]

def handler(event, context):
    return [len(image.library), missing, *start, "compile" in vars(sys.modules["attr._make"])]
"""
FROM_IMAGE = """
import sys
from okibi.runtime.startup.start_image import use_start_image
image = use_start_image(sys.path[0])
"""
# Each class that attrs makes in a start, as a user sees the class.
CLASSES = """
import inspect, json, re, sys, typing
from types import FunctionType
from okibi.runtime.__main__ import import_okibi
import_okibi()
import attrs

def described(value):
    # attrs and trio write other names into `evolve`.
    if isinstance(value, FunctionType) and value.__code__.co_name == "evolve":
        return "evolve"
    if isinstance(value, FunctionType):
        found = [value.__module__, value.__qualname__, value.__doc__, inspect.signature(value)]
        value = [*found, value.__annotations__]
    return re.sub(" at 0x[0-9a-f]+", "", repr(value))

def hints(function):
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError) as error:
        return repr(error)

found = {}
for module in [*sys.modules]:
    if module.partition(".")[0] in ("okibi", "trio", "outcome", "attr"):
        for cls in [each for each in vars(sys.modules[module]).values() if isinstance(each, type)]:
            if "__attrs_attrs__" in vars(cls):
                seen = {name: described(value) for name, value in vars(cls).items()}
                for name in ("__attrs_attrs__", "cls_counter"):
                    seen.pop(name, None)
                seen["fields"] = described(attrs.fields(cls))
                seen["hints"] = described(hints(cls.__init__))
                seen["bases"] = described([cls.__mro__, type(cls), cls.__weakrefoffset__])
                found[f"{cls.__module__}.{cls.__qualname__}"] = seen
print(json.dumps(found))
"""


@pytest.fixture(params=[OLDEST, NEWEST], ids=["oldest", "newest"])
def staged(request: pytest.FixtureRequest, tmp_path: Path) -> Staged:
    lib = tmp_path / "task" / "lib"
    subprocess.run(
        [find_uv(), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(lib),
         *request.param],
        check=True,
    )  # fmt: skip
    (lib / "okibi").symlink_to(ROOT / "okibi")
    target = parse_target("{}.{}".format(*sys.version_info[:2]), platform.machine(), "managed")
    (lib / "okibi_start.py").write_text(entry_source(target))
    (lib / "okibi-package.json").write_text(manifest("0", target, "app.handler", "0" * 64))
    (lib.parent / "app.py").write_text(APP)
    return Staged(lib.parent, lib, "app.handler", target, Path(sys.executable))


@pytest.mark.slow
async def test_a_start_uses_the_image_and_attrs_compiles_nothing(staged: Staged) -> None:
    add_start_image(staged, record=True)
    command = (sys.executable, "-S", "-P", str(staged.lib / "okibi_start.py"))
    path = {"PYTHONPATH": str(staged.lib), "PYTHONPYCACHEPREFIX": ""}

    async with running(
        "app.handler", task_root=staged.folder, command=command, environment=path
    ) as sandbox:
        files, missing, hits, recipes, others, compiles = await sandbox.ask()

    assert files > 40
    assert missing == []
    assert hits > 100
    assert not compiles
    if (staged.lib / "attrs-24.2.0.dist-info").exists():
        # This attrs makes a `__ne__` for each class, which no recipe has.
        assert recipes > 20
    else:
        # One of attrs' own classes has no recipe.
        assert recipes > 45
        assert others == 1
    assert not sandbox.said("okibi.image")


@pytest.mark.slow
def test_each_class_from_a_recipe_is_the_class_of_attrs(
    staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    add_start_image(staged, record=True)
    counted = "\nassert image.recipes.hits > 20\n"

    plain, ours = (
        run(script, [staged.lib]) for script in (CLASSES, FROM_IMAGE + CLASSES + counted)
    )

    assert len(plain) > 45
    assert ours == plain


@pytest.mark.slow
def test_every_public_name_of_trio_is_as_after_a_plain_import(staged: Staged) -> None:
    plain, lean = (run(script, [staged.lib]) for script in (NAMES, LEAN + NAMES))

    assert len(plain) > 150
    assert lean == plain
    assert run(LEAN + USES, [staged.lib])[0] == "over TCP"


@pytest.mark.slow
def test_every_public_name_of_msgspec_is_as_after_a_plain_import(staged: Staged) -> None:
    script = """
import json, msgspec
modules = [msgspec, msgspec.json, msgspec.msgpack, msgspec.structs, msgspec.inspect]
print(json.dumps([[m.__name__, *(n for n in dir(m) if not n.startswith("_"))] for m in modules]))
"""
    plain: Any = run("import msgspec\n" + script, [staged.lib])

    assert run(LEAN + script, [staged.lib]) == plain
