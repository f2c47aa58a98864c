"""The start image: what is imported from it, what is not, and what nobody can tell apart."""

import importlib
import importlib.metadata
import importlib.resources
import inspect
import linecache
import marshal
import os
import pkgutil
import re
import subprocess
import sys
import traceback
import typing
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from okibi.runtime.startup import start_image
from okibi.runtime.startup.start_image import (
    FORMAT,
    LENGTH_BYTES,
    StartImage,
    use_start_image,
)
from tests.support.built_image import PACKAGE_HASH, BuiltPackage

APP = """
import made_helper
from made_package import inner

def handler(event, context):
    return made_helper.double(event)
"""
HELPER = '''
def double(number):
    """Twice the number."""
    return number * 2

def fail():
    raise LookupError("failed here")
'''
ANNOTATED = """
LIMIT: int = 4

async def find(numbers: list[int], *last: "None | str", rest: int | None = None) -> None: ...

class Found:
    number: int | None
    def find(self, more: "Found") -> "str": ...
"""
FILES = {
    "made_app.py": APP,
    "made_helper.py": HELPER,
    "made_package/__init__.py": "NAME = __name__\n",
    "made_package/inner.py": "from . import NAME\n",
    "made_package/data.txt": "read as ever",
}
MODULES = tuple(name for name in FILES if name.endswith(".py"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuiltPackage:
    """A package whose root is on the path. Imports are undone after the test."""
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    monkeypatch.setattr(sys, "path", [str(tmp_path / "task"), *sys.path])
    monkeypatch.setattr(sys, "path_hooks", [*sys.path_hooks])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    built = BuiltPackage(tmp_path / "task")
    built.write(FILES)
    built.build(*MODULES)
    return built


def used(package: BuiltPackage) -> StartImage:
    image = use_start_image(str(package.lib))
    assert image is not None
    return image


def imported(name: str) -> ModuleType:
    return importlib.import_module(name)


# -- what is imported from the image


class Earlier:
    """A finder that was put before Python's: it notes what it is asked for."""

    def __init__(self) -> None:
        self.asked = list[str]()

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        self.asked.append(name)


def test_earlier_finders_are_asked_before_the_image(package: BuiltPackage) -> None:
    earlier = Earlier()
    sys.meta_path.insert(0, earlier)
    image = used(package)

    imported("made_package.inner")

    assert earlier.asked == ["made_package", "made_package.inner"]
    assert image.hits == 2


def test_a_package_of_two_folders_is_searched_in_their_order(
    package: BuiltPackage, tmp_path: Path
) -> None:
    used(package)
    before = tmp_path / "before"
    before.mkdir()
    (before / "inner.py").write_text("NAME = 'before'\n")
    imported("made_package").__path__.insert(0, str(before))

    assert vars(imported("made_package.inner"))["NAME"] == "before"


def test_the_files_of_the_standard_library_are_read_ahead(
    package: BuiltPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[tuple[str, ...]]()
    monkeypatch.setattr(start_image, "read_library_ahead", asked.append)
    package.build(*MODULES, library=("__pycache__/made.pyc",))

    used(package)

    assert asked == [("__pycache__/made.pyc",)]


def test_modules_and_packages_are_imported_from_the_image(package: BuiltPackage) -> None:
    image = used(package)

    assert imported("made_app").handler(4, None) == 8
    assert image.hits == 4


def test_modules_that_a_start_reads_together_have_no_docstrings(package: BuiltPackage) -> None:
    package.build(*MODULES, grouped=("made_helper.py",), short="made_h")
    image = used(package)

    assert imported("made_helper").double(2) == 4
    assert imported("made_helper").double.__doc__ is None
    assert image.hits == 1
    # Only together: the others are as their files.
    del sys.modules["made_helper"]
    for grouped, short in (((), "made_h"), (MODULES, "lib/okibi/")):
        package.build(*MODULES, grouped=grouped, short=short)
        sys.path_importer_cache.clear()
        used(package)
        assert imported("made_helper").double.__doc__ == "Twice the number."
        del sys.modules["made_helper"]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python computes annotations when read")
def test_functions_of_shortened_modules_have_texts_as_annotations(package: BuiltPackage) -> None:
    package.write({"made_helper.py": ANNOTATED})
    package.build("made_helper.py", grouped=("made_helper.py",), short="made_h")
    used(package)
    helper = imported("made_helper")

    texts = {"numbers": "list[int]", "last": "None | str", "rest": "int | None", "return": None}
    assert helper.find.__annotations__ == texts
    assert helper.Found.find.__annotations__ == {"more": "Found", "return": "str"}
    # `get_type_hints` finds what they name.
    hints = {"numbers": list[int], "last": str | None, "rest": int | None, "return": type(None)}
    assert typing.get_type_hints(helper.find) == hints
    # attrs, dataclasses and namedtuples read those of a class.
    assert helper.Found.__annotations__ == {"number": int | None}
    assert helper.__annotations__ == {"LIMIT": int}


def test_a_module_looks_as_if_imported_from_its_file(package: BuiltPackage) -> None:
    def looks(name: str) -> dict[str, object]:
        module = imported(name)
        assert module.__spec__ is not None
        spec = module.__spec__
        names = ("__name__", "__file__", "__cached__", "__package__", "__path__", "__doc__")
        return {
            **{each: getattr(module, each, None) for each in names},
            "spec": (spec.name, spec.origin, spec.cached, spec.parent, spec.has_location),
            "locations": spec.submodule_search_locations,
            "kind": isinstance(spec.loader, importlib.machinery.SourceFileLoader),
            "repr": repr(module),
            "names": sorted(vars(module)),
        }

    names = ("made_package", "made_package.inner", "made_helper")
    plain = [looks(name) for name in names]
    for name in names:
        del sys.modules[name]
    image = used(package)

    assert [looks(name) for name in names] == plain
    assert image.hits == 3


def test_tracebacks_and_sources_are_as_without_the_image(package: BuiltPackage) -> None:
    package.write({"made_fails.py": "import made_helper\nmade_helper.fail()\n"})
    package.build(*MODULES, "made_fails.py")

    def told() -> tuple[str, str]:
        linecache.clearcache()
        with pytest.raises(LookupError) as failed:
            imported("made_fails")
        source = inspect.getsource(sys.modules["made_helper"].double)
        lines = traceback.format_exception(failed.value)
        return source, "".join(lines[-6:])

    plain = told()
    del sys.modules["made_helper"]
    image = used(package)

    assert told() == plain
    assert "start_image" not in plain[1]
    assert image.hits == 2


def test_resources_metadata_and_submodules_are_found(package: BuiltPackage) -> None:
    points = "[console_scripts]\nmade = made_app:handler\n"
    package.write({"made-1.0.dist-info/entry_points.txt": points,
                   "made-1.0.dist-info/METADATA": "Name: made\nVersion: 1.0\n"})  # fmt: skip
    used(package)

    made = imported("made_package")

    text = importlib.resources.files("made_package").joinpath("data.txt").read_text()
    assert text == "read as ever"
    assert pkgutil.get_data("made_package", "data.txt") == b"read as ever"
    assert [each.name for each in pkgutil.iter_modules(made.__path__)] == ["inner"]
    (point,) = importlib.metadata.distribution("made").entry_points
    assert point.load() is imported("made_app").handler


def test_without_cpython_s_private_function_files_are_named_right(
    package: BuiltPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_image, "rename_file", None)
    used(package)

    double = imported("made_helper").double

    assert double.__code__.co_filename == f"{package.root}/made_helper.py"


# -- what decides


def test_a_module_earlier_on_the_path_wins(package: BuiltPackage, tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    (tmp_path / "layer" / "made_helper.py").write_text("def double(number): return 'the layer'")
    sys.path.insert(0, str(tmp_path / "layer"))
    image = used(package)

    assert imported("made_app").handler(4, None) == "the layer"
    assert image.hits == 3


def test_a_module_that_is_not_in_the_image_is_found_in_its_folder(package: BuiltPackage) -> None:
    package.build("made_app.py")
    image = used(package)

    assert imported("made_app").handler(4, None) == 8
    assert image.hits == 1


def test_a_module_added_after_the_start_is_found(package: BuiltPackage) -> None:
    used(package)
    imported("made_package")
    package.write({"made_package/added.py": "WORD = 'added'\n"})
    importlib.invalidate_caches()

    assert imported("made_package.added").WORD == "added"


def test_a_namespace_package_has_its_portions(package: BuiltPackage, tmp_path: Path) -> None:
    package.write({"made_space/one.py": "WORD = 1\n", "other/made_space/two.py": "WORD = 2\n"})
    package.build("made_space/one.py")
    sys.path.append(str(package.root / "other"))
    image = used(package)

    assert (imported("made_space.one").WORD, imported("made_space.two").WORD) == (1, 2)
    assert image.hits == 1


def test_a_reload_reads_the_file(package: BuiltPackage) -> None:
    used(package)
    helper = imported("made_helper")
    package.write({"made_helper.py": "def double(number): return 'edited'\n"})

    assert importlib.reload(helper).double(4) == "edited"


def test_an_edited_module_of_the_user_is_imported_from_its_file(package: BuiltPackage) -> None:
    package.build(*MODULES, checked=("made_helper.py", "made_app.py"))
    package.write({"made_helper.py": "def double(number): return 'edited'\n"})
    image = used(package)

    assert imported("made_app").handler(4, None) == "edited"
    assert image.hits == 3


def test_a_removed_module_of_the_user_is_not_found(package: BuiltPackage) -> None:
    package.build(*MODULES, checked=("made_helper.py", "made_package/inner.py"))
    (package.root / "made_helper.py").unlink()
    (package.root / "made_package" / "inner.py").unlink()
    package.write({"made_package/inner/__init__.py": "NEW = 1\n"})
    used(package)

    with pytest.raises(ModuleNotFoundError, match="No module named 'made_helper'"):
        imported("made_helper")
    assert imported("made_package.inner").NEW == 1


# -- an image that does not fit


def nothing(_: BuiltPackage) -> None:
    """Change nothing."""


def change_index(package: BuiltPackage) -> None:
    data = bytearray(package.image.read_bytes())
    data[data.index(b"made_helper")] ^= 1
    package.image.write_bytes(data)


def cut_short(package: BuiltPackage) -> None:
    package.image.write_bytes(package.image.read_bytes()[:200])


def change_first_line(old: bytes, new: bytes) -> Callable[[BuiltPackage], None]:
    def change(package: BuiltPackage) -> None:
        data = package.image.read_bytes()
        package.image.write_bytes(data.replace(old, new, 1))

    return change


def of_another_package(package: BuiltPackage) -> None:
    package.manifest.write_text(package.manifest.read_text().replace(PACKAGE_HASH, "f" * 64))


def remove_manifest(package: BuiltPackage) -> None:
    package.manifest.unlink()
    package.manifest.mkdir()


TAG = f"{sys.implementation.cache_tag}".encode()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (change_index, "its checksum is not the one in okibi-package.json"),
        (cut_short, "its checksum is not the one in okibi-package.json"),
        (lambda each: each.image.write_bytes(b""), "it is no image of this okibi"),
        (change_first_line(FORMAT.encode(), b"okibi-image-9"), "it is no image of this okibi"),
        (change_first_line(TAG, b"cpython-39"), "it was built for cpython-39, and this is cpython"),
        (change_first_line(os.uname().machine.encode(), b"vax"), "it was built for vax, and this"),
        (of_another_package, "it was built for another package"),
        (remove_manifest, "Is a directory"),
    ],
)
def test_an_image_that_does_not_fit_is_not_used_and_a_line_says_why(
    change: Callable[[BuiltPackage], None],
    why: str,
    package: BuiltPackage,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change(package)
    loaded = list[object]()
    monkeypatch.setattr(start_image, "marshal", Spy(loaded))
    hooks = [*sys.path_hooks]

    assert use_start_image(str(package.lib)) is None
    assert imported("made_app").handler(4, None) == 8

    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"okibi: {package.image} is not used: ")
    assert why in said[0]
    assert (loaded, sys.path_hooks) == ([], hooks)


class Spy:
    """Replaces `marshal`, and notes what it would read."""

    def __init__(self, seen: list[object]) -> None:
        self._seen = seen

    def loads(self, data: Any) -> Any:
        self._seen.append(data)
        return marshal.loads(data)


def test_damaged_code_is_not_read_and_the_module_comes_from_its_file(
    package: BuiltPackage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(package.image.read_bytes())
    data[data.index(b"Twice the number")] ^= 1
    package.image.write_bytes(data)
    image = used(package)
    loaded = list[object]()
    monkeypatch.setattr(start_image, "marshal", Spy(loaded))

    assert imported("made_app").handler(4, None) == 8

    (said,) = capsys.readouterr().err.splitlines()
    assert said.endswith("made_helper.py is not imported from okibi.image: its checksum differs")
    assert (image.hits, len(loaded)) == (3, 3)


def test_grouped_modules_are_read_once_and_again_after_the_start(
    package: BuiltPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.build(*MODULES, grouped=MODULES)
    image = used(package)
    loaded = list[object]()
    monkeypatch.setattr(start_image, "marshal", Spy(loaded))

    assert imported("made_app").handler(4, None) == 8
    assert (image.hits, len(loaded)) == (4, 1)
    del sys.modules["made_helper"]
    assert imported("made_helper").double(2) == 4
    assert len(loaded) == 2
    image.end_start()
    del sys.modules["made_helper"]
    assert imported("made_helper").double(2) == 4
    assert (image.hits, len(loaded)) == (6, 3)


def test_modules_of_a_damaged_group_come_from_their_files(
    package: BuiltPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    package.build(*MODULES, grouped=MODULES)
    data = bytearray(package.image.read_bytes())
    data[data.index(b"Twice the number")] ^= 1
    package.image.write_bytes(data)
    image = used(package)

    assert imported("made_app").handler(4, None) == 8

    assert image.hits == 0
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_after_all_files_are_closed_modules_come_from_their_files(
    package: BuiltPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    image = used(package)
    os.close(image._file)

    assert imported("made_app").handler(4, None) == 8
    assert len(capsys.readouterr().err.splitlines()) == 1
    # The fixture's process closes the file a second time otherwise.
    image._file = -1


def test_without_an_image_a_start_says_nothing(
    package: BuiltPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    package.image.unlink()

    assert use_start_image(str(package.lib)) is None
    assert capsys.readouterr().err == ""


def test_with_o_the_image_is_not_used(package: BuiltPackage) -> None:
    script = f"""
from okibi.runtime.startup.start_image import use_start_image
assert False, "runs without -O"
print(use_start_image({str(package.lib)!r}))
"""
    done = subprocess.run([sys.executable, "-O", "-c", script], capture_output=True, text=True)

    assert done.stdout == "None\n"
    assert done.stderr.endswith("okibi.image is not used: Python runs with -O\n")


# -- damage


@pytest.mark.parametrize("grouped", [(), MODULES], ids=["single", "grouped"])
def test_no_damaged_byte_ends_a_start(
    grouped: tuple[str, ...], package: BuiltPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    package.build(*MODULES, grouped=grouped)
    good = package.image.read_bytes()
    length_at = good.index(b"\n") + 1
    for at in range(length_at + LENGTH_BYTES + 64):
        data = bytearray(good)
        data[at] ^= 0xFF
        package.image.write_bytes(data)

        assert use_start_image(str(package.lib)) is None

        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith(f"okibi: {package.image} is not used: ")


# -- re


def test_a_warning_of_re_names_the_line_that_compiles(package: BuiltPackage) -> None:
    package.build(*MODULES, patterns=(("[[a]", 0), ("x[a||b]", 0)))
    re.purge()
    used(package)

    with pytest.warns(FutureWarning, match="Possible nested set at position 1") as caught:
        re.compile("[[a]")
    with pytest.warns(FutureWarning, match="Possible set union") as caught_elsewhere:
        re.compile("[a||b]")

    assert [each.filename for each in [*caught, *caught_elsewhere]] == [__file__, __file__]


def test_a_bad_pattern_raises_without_a_frame_of_okibi(package: BuiltPackage) -> None:
    package.build(*MODULES, patterns=(("made_[a]", 0),))
    re.purge()
    used(package)

    with pytest.raises(re.error, match="unterminated character set") as caught:
        re.compile("[")

    files = [frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert not [file for file in files if "okibi/runtime" in file]
