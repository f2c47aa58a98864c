"""Submodules are imported from the image in fewer steps, with the same result."""

import _frozen_importlib
import importlib
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from okibi.runtime.startup import lean_imports
from okibi.runtime.startup.lean_imports import FIND_AND_LOAD
from okibi.runtime.startup.lean_trio import LibraryFirst
from okibi.runtime.startup.start_image import StartImage, use_start_image
from tests.support.built_image import BuiltPackage

FILES = {
    "made/__init__.py": "",
    "made/plain.py": "NUMBER = 1\n",
    "made/inner/__init__.py": "from .deep import NAME\n",
    "made/inner/deep.py": "NAME = __name__\nfrom . import deep as itself\n",
    "made/fails.py": "import made.plain\nraise LookupError('failed here')\n",
    "made/replaced.py": "import sys\nsys.modules[__name__] = sys\n",
    "made/not_in_image.py": "NUMBER = 2\n",
}
MODULES = tuple(name for name in FILES if "not_in_image" not in name)
ATTRIBUTES = ("__name__", "__package__", "__path__", "__file__", "__cached__", "__doc__")
IN_A_PROCESS = """
import sys
sys.path[:0] = [{root!r}]
from okibi.runtime.startup.start_image import use_start_image
with use_start_image({lib!r}).lean_imports():
    import made.inner.deep
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[BuiltPackage]:
    """A package whose root is on the path. Imports are undone after the test."""
    before = getattr(_frozen_importlib, FIND_AND_LOAD)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "task"), *sys.path])
    monkeypatch.setattr(sys, "path_hooks", [*sys.path_hooks])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    # Test tools have finders of their own.
    own = [each for each in sys.meta_path if getattr(each, "__module__", "")[:7] == "_frozen"]
    monkeypatch.setattr(sys, "meta_path", own)
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    monkeypatch.setattr(_frozen_importlib, FIND_AND_LOAD, before)
    built = BuiltPackage(tmp_path / "task")
    built.write(FILES)
    built.build(*MODULES)
    yield built
    forget()


def forget() -> None:
    """Remove the package's modules from `sys.modules`."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "made"]:
        del sys.modules[name]


def used(package: BuiltPackage) -> StartImage:
    image = use_start_image(str(package.lib))
    assert image is not None
    return image


def lean_loads(
    image: StartImage, run: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Return the modules that were loaded in fewer steps."""
    loaded = list[str]()
    find = image.find_submodule

    def note(name: str, folder: str) -> Any:
        spec = find(name, folder)
        if spec is not None:
            loaded.append(name)
        return spec

    monkeypatch.setattr(image, "find_submodule", note)
    with image.lean_imports():
        run()
    return loaded


def looks(name: str) -> dict[str, object]:
    module = importlib.import_module(name)
    spec = module.__spec__
    assert spec is not None
    parent = sys.modules[name.rpartition(".")[0]]
    return {
        **{each: getattr(module, each, None) for each in ATTRIBUTES},
        "names": list(vars(module)),
        "loader": (type(spec.loader), module.__loader__ is spec.loader),
        "spec": [
            spec.name, spec.origin, spec.cached, spec.has_location, spec.parent,
            spec.submodule_search_locations,
        ],
        "bound": getattr(parent, name.rpartition(".")[2]) is module,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["made.plain", "made.inner", "made.inner.deep"])
def test_a_module_looks_as_after_a_plain_import(package: BuiltPackage, name: str) -> None:
    image = used(package)
    plain = looks(name)
    forget()
    with image.lean_imports():
        lean = looks(name)

    assert lean == plain
    assert image.hits > 2


def test_only_submodules_in_the_image_are_loaded_in_fewer_steps(
    package: BuiltPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = used(package)

    def run() -> None:
        importlib.import_module("made.inner.deep")
        assert importlib.import_module("made.not_in_image").NUMBER == 2
        importlib.import_module("json.tool")

    assert lean_loads(image, run, monkeypatch) == ["made.inner", "made.inner.deep"]


def test_a_package_of_two_folders_is_searched_in_their_order(
    package: BuiltPackage, tmp_path: Path
) -> None:
    before = tmp_path / "before"
    before.mkdir()
    (before / "plain.py").write_text("NUMBER = 'before'\n")
    image = used(package)
    importlib.import_module("made").__path__.insert(0, str(before))
    with image.lean_imports():
        assert importlib.import_module("made.plain").NUMBER == "before"


def test_a_module_that_fails_is_not_left_in_sys_modules(package: BuiltPackage) -> None:
    image = used(package)
    with image.lean_imports(), pytest.raises(LookupError, match="failed here"):
        importlib.import_module("made.fails")

    assert "made.fails" not in sys.modules
    assert "made.plain" in sys.modules
    assert not hasattr(sys.modules["made"], "fails")


def test_a_module_may_replace_itself(package: BuiltPackage) -> None:
    with used(package).lean_imports():
        assert importlib.import_module("made.replaced") is sys
    assert sys.modules["made"].replaced is sys


def test_a_module_that_is_none_is_refused_as_usual(package: BuiltPackage) -> None:
    image = used(package)
    importlib.import_module("made")
    sys.modules["made.plain"] = None  # type: ignore[assignment]
    with image.lean_imports(), pytest.raises(ModuleNotFoundError, match="None in sys"):
        importlib.import_module("made.plain")


def test_a_missing_module_is_refused_as_usual(package: BuiltPackage) -> None:
    with used(package).lean_imports(), pytest.raises(ModuleNotFoundError) as raised:
        importlib.import_module("made.nowhere")

    assert str(raised.value) == "No module named 'made.nowhere'"


def test_python_s_function_is_back_also_after_an_exception(package: BuiltPackage) -> None:
    before = getattr(_frozen_importlib, FIND_AND_LOAD)
    image = used(package)

    def fail() -> None:
        with image.lean_imports():
            assert getattr(_frozen_importlib, FIND_AND_LOAD) is not before
            importlib.import_module("made.fails")

    with pytest.raises(LookupError):
        fail()

    assert getattr(_frozen_importlib, FIND_AND_LOAD) is before


def test_a_function_that_another_one_replaced_stays(
    package: BuiltPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = getattr(_frozen_importlib, FIND_AND_LOAD)
    monkeypatch.setattr(_frozen_importlib, FIND_AND_LOAD, print)
    with used(package).lean_imports():
        monkeypatch.setattr(_frozen_importlib, FIND_AND_LOAD, other)

    assert getattr(_frozen_importlib, FIND_AND_LOAD) is other


@pytest.mark.parametrize("case", ["thread", "finder", "hook", "name"])
def test_imports_are_plain(
    package: BuiltPackage, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    image = used(package)
    before = getattr(_frozen_importlib, FIND_AND_LOAD)
    if case == "thread":
        monkeypatch.setattr(threading, "active_count", lambda: 2)
    elif case == "finder":
        sys.meta_path.insert(0, LibraryFirst)
    elif case == "hook":
        sys.path_hooks.insert(0, sys.path_hooks[-1])
    else:
        monkeypatch.setattr(lean_imports, "FIND_AND_LOAD", "_no_such_name")
    with image.lean_imports():
        assert getattr(_frozen_importlib, FIND_AND_LOAD) is before


@pytest.mark.parametrize("option", ["-Ximporttime", "-v"])
def test_python_reports_lean_imports(package: BuiltPackage, option: str) -> None:
    code = IN_A_PROCESS.format(root=str(package.root), lib=str(package.lib))
    done = subprocess.run(
        [sys.executable, "-P", option, "-c", code], capture_output=True, text=True, check=True
    )
    words = {line.split(" ")[-1] for line in done.stderr.splitlines()}

    if option == "-v":
        assert "import 'made.inner.deep'" in done.stderr
    else:
        assert {"made", "made.inner", "made.inner.deep"} <= words
