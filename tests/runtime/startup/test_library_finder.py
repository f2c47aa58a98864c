"""The finder of the standard library: it finds what Python's finder finds, and nothing else."""

import errno
import importlib
import inspect
import os
import py_compile
import subprocess
import sys
import sysconfig
from importlib.machinery import FileFinder, ModuleSpec
from pathlib import Path

import pytest

from okibi.runtime.startup import library_finder
from okibi.runtime.startup.library_finder import (
    LIBRARY,
    LOADERS,
    PACKAGES,
    LibraryFinder,
    LibraryLoader,
    library_hook,
    read_bytecode,
    read_library_ahead,
    use_library_finder,
)

FOLDERS = ("", "/json", "/importlib", "/concurrent", "/xml/etree")


def described(spec: ModuleSpec | None) -> object:
    if spec is None:
        return None
    return (
        spec.name, spec.origin, spec.cached, spec.has_location, spec.submodule_search_locations,
        spec.parent, isinstance(spec.loader, importlib.machinery.SourceFileLoader),
    )  # fmt: skip


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A standard library with one module, `made`."""
    monkeypatch.setattr(library_finder, "LIBRARY", str(tmp_path))
    source = tmp_path / "made.py"
    source.write_text("NUMBER = 1\n")
    py_compile.compile(str(source), doraise=True)
    return source


def compiled(source: Path) -> object:
    return read_bytecode(importlib.util.cache_from_source(str(source)), str(source))


@pytest.mark.parametrize("inner", FOLDERS)
def test_each_module_has_the_spec_that_python_gives_it(inner: str) -> None:
    folder = LIBRARY + inner
    ours, pythons = library_hook(folder), FileFinder(folder, *LOADERS)
    names = {file.partition(".")[0] for file in os.listdir(folder)} | {"nowhere"}

    for name in names:
        assert described(ours.find_spec(name)) == described(pythons.find_spec(name))


def test_python_s_packages_are_found_as_python_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sysconfig.get_path("purelib") == PACKAGES
    monkeypatch.setattr(library_finder, "PACKAGES", str(tmp_path))
    extension = importlib.machinery.EXTENSION_SUFFIXES[0]
    for file in (
        "plain/__init__.py", "compiled/__init__.py", f"compiled/__init__{extension}",
        "namespace/module.py", "both.py", "both/__init__.py", "module.py", "stubs.py", "stubs.pyi",
    ):  # fmt: skip
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    pythons, ours = FileFinder(str(tmp_path), *LOADERS), library_hook(str(tmp_path))
    names = ("plain", "compiled", "both", "module", "stubs")

    for name in names:
        assert described(ours.find_spec(name)) == described(pythons.find_spec(name))
    found = [type(getattr(ours.find_spec(name), "loader", None)) for name in names]
    assert [kind is LibraryLoader for kind in found] == [True, False, False, True, False]
    namespace = ours.find_spec("namespace")
    assert namespace is not None
    assert namespace.submodule_search_locations == [str(tmp_path / "namespace")]
    assert type(library_hook(str(tmp_path / "plain"))) is LibraryFinder


def test_a_module_of_a_package_is_found_by_its_last_name() -> None:
    spec = library_hook(f"{LIBRARY}/json").find_spec("json.decoder")

    assert spec is not None
    assert (spec.name, spec.origin) == ("json.decoder", f"{LIBRARY}/json/decoder.py")


@pytest.mark.parametrize(
    "path",
    [f"{LIBRARY}/dist-packages", f"{LIBRARY}/lib-dynload", f"{PACKAGES}-not", "/tmp", ""],
)
def test_other_folders_keep_python_s_finder(path: str) -> None:
    with pytest.raises(ImportError):
        library_hook(path)


def test_bytecode_is_read_without_the_source(library: Path) -> None:
    assert compiled(library) is not None


def test_a_changed_source_is_compiled(library: Path) -> None:
    library.write_text("NUMBER = 23\n")
    assert compiled(library) is None

    spec = LibraryFinder(str(library.parent)).find_spec("made")
    assert spec is not None
    assert isinstance(spec.loader, LibraryLoader)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert vars(module)["NUMBER"] == 23


@pytest.mark.parametrize("size", [0, 7, 15, 16, 20])
def test_cut_bytecode_is_left_to_python(library: Path, size: int) -> None:
    cached = Path(importlib.util.cache_from_source(str(library)))
    cached.write_bytes(cached.read_bytes()[:size])

    assert compiled(library) is None


def test_bytecode_with_a_hash_is_left_to_python(library: Path) -> None:
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    py_compile.compile(str(library), doraise=True, invalidation_mode=mode)

    assert compiled(library) is None


def test_moved_bytecode_has_the_new_file_in_tracebacks(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    py_compile.compile(str(library), dfile="/elsewhere/made.py", doraise=True)
    code = compiled(library)

    assert inspect.iscode(code)
    assert code.co_filename == str(library)

    # Without CPython's private function, Python's own loader reads it.
    monkeypatch.setattr(library_finder, "rename_file", None)
    assert compiled(library) is None


def test_a_module_that_is_added_later_is_found(library: Path) -> None:
    finder = LibraryFinder(str(library.parent))
    assert finder.find_spec("added") is None
    (library.parent / "added.py").write_text("")
    os.utime(library.parent, (1, 1))

    assert finder.find_spec("added") is not None


def test_an_extension_module_comes_before_the_source(library: Path) -> None:
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    extension = library.with_name(f"made{suffix}")
    extension.touch()
    spec = LibraryFinder(str(library.parent)).find_spec("made")

    assert spec is not None
    assert spec.origin == str(extension)


def test_with_other_places_of_bytecode_python_finds_all(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = [*sys.path_hooks]
    monkeypatch.setattr(sys, "path_hooks", [*hooks])
    monkeypatch.setattr(sys, "pycache_prefix", "/elsewhere")

    use_library_finder()

    assert sys.path_hooks == hooks


def test_the_system_is_asked_for_the_files_that_are_there(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[tuple[str, int]]()

    def ask(file: int, _start: int, _length: int, advice: int) -> None:
        path = os.readlink(f"/proc/self/fd/{file}")
        if path.endswith("refused.py"):
            raise OSError(errno.ENOSYS, "this system does not read ahead")
        asked.append((path, advice))

    monkeypatch.setattr(os, "posix_fadvise", ask)
    (library.parent / "refused.py").touch()
    before = os.listdir("/proc/self/fd")

    read_library_ahead(["refused.py", "made.py", "missing.py"])

    assert asked == [(str(library), os.POSIX_FADV_WILLNEED)]
    assert os.listdir("/proc/self/fd") == before


def test_imports_of_a_process_use_the_finder_and_reload_works() -> None:
    script = """
import sys
from okibi.runtime.startup.library_finder import use_library_finder
use_library_finder()
import importlib, inspect, json
import json.tool, sqlite3
assert type(json.__spec__.loader).__name__ == "LibraryLoader", json.__spec__
assert "def loads" in inspect.getsource(json)
assert importlib.reload(json).loads("1") == 1
import pkgutil
assert "decoder" in {each.name for each in pkgutil.iter_modules(json.__path__)}
print("ok")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("ok\n", "")
