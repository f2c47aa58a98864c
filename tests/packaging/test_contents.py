"""The files of libraries and of okibi that a package needs."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import attrs
import pytest

from okibi.packaging.binaries import Elf
from okibi.packaging.contents import (
    Installed,
    edited_files,
    find_collision,
    find_installed,
    is_needed_of_okibi,
    native_fits,
    needed_files,
    record,
)
from okibi.packaging.targets import parse_target

TARGET = parse_target("3.13", "arm64", "managed")
FITS = Elf(64, "aarch64", "glibc", (2, 17))


def needed(*files: str, sources: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    return needed_files(sorted(files), lambda name: sources.get(name, "").encode())


@pytest.mark.parametrize(
    "file",
    ["trio/__init__.py", "x-1.dist-info/METADATA", "x-1.dist-info/entry_points.txt",
     "x-1.dist-info/licenses/LICENSE", "numpy/testing/__init__.py", "x/py.typed", "x/bin/tool",
     "x/data.json", "x.libs/liby-1.so", "x/kernel.c", "test_x.py"],
)  # fmt: skip
def test_code_data_metadata_and_licences_stay(file: str) -> None:
    assert needed(file) == [file]


@pytest.mark.parametrize(
    "file",
    ["bin/httpx", "shop/tests/test_x.py", "trio/_core/_tests/x.py", "tests/__init__.py",
     "boto3-stubs/client.pyi", "x/__pycache__/y.cpython-313.pyc", "x-1.dist-info/direct_url.json",
     "x-1.dist-info/INSTALLER"],
)  # fmt: skip
def test_scripts_tests_stubs_and_the_installer_s_notes_are_dropped(file: str) -> None:
    assert needed(file) == []


@pytest.mark.parametrize(
    ("source", "stay"),
    [("from numpy._core.tests._natype import pd_NA", True),
     ("if x:\n    from .tests import data", True),
     ("import shop._tests.fixtures", True),
     ("from ._tests import x", True),
     ("# from shop.tests import x", False),
     ("from shop.attests import x", False),
     ("print('run the tests')", False)],
)  # fmt: skip
def test_tests_stay_if_the_package_itself_imports_them(source: str, stay: bool) -> None:
    files = needed("shop/a.py", "shop/tests/b.py", sources={"shop/a.py": source})

    assert ("shop/tests/b.py" in files) is stay


def test_tests_that_import_tests_do_not_keep_them() -> None:
    source = {"shop/tests/a.py": "from shop.tests import b"}

    assert needed("shop/tests/a.py", "shop/tests/b.py", sources=source) == []


@pytest.mark.parametrize(
    ("source", "stays"),
    [("__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)", True),
     ("import os", False)],
)  # fmt: skip
def test_a_stub_stays_only_if_its_module_reads_it(source: str, stays: bool) -> None:
    files = needed("x/__init__.py", "x/__init__.pyi", sources={"x/__init__.py": source})

    assert ("x/__init__.pyi" in files) is stays


def test_the_sources_of_compiled_modules_are_dropped() -> None:
    so = "x/fast.cpython-313-x86_64-linux-gnu.so"

    assert needed("x/fast.c", "x/fast.pyi", "x/fast.pyx", so, "x/slow.pyx") == [so, "x/slow.pyx"]


@pytest.mark.parametrize(
    ("file", "stays"),
    [("__init__.py", True), ("runtime/system/native.abi3.so", True), ("actors/server.py", True),
     ("cli/commands/invoke.py", False), ("local/sandbox.py", False), ("testing/plugin.py", False),
     ("runtime/system/native.c", False), ("runtime/system/native.pyi", False)],
)  # fmt: skip
def test_what_only_a_developer_uses_of_okibi_is_dropped(file: str, stays: bool) -> None:
    assert is_needed_of_okibi(file) is stays


@pytest.mark.parametrize(
    ("elf", "fits"),
    [(FITS, True), (None, False), (attrs.evolve(FITS, machine="x86_64"), False),
     (attrs.evolve(FITS, libc="musl", glibc=(0, 0)), False),
     (attrs.evolve(FITS, glibc=(2, 38)), False), (attrs.evolve(FITS, bits=32), False)],
)  # fmt: skip
def test_the_encoder_goes_only_where_it_can_be_loaded(elf: Elf | None, fits: bool) -> None:
    assert native_fits(elf, TARGET) is fits


def test_a_record_lists_the_files_that_are_left() -> None:
    text = record(["x/b.py", "x/a,b.py", "x-1.dist-info/METADATA"], "x-1.dist-info")

    assert text == 'x-1.dist-info/METADATA,,\nx-1.dist-info/RECORD,,\n"x/a,b.py",,\nx/b.py,,\n'


def test_installed_packages_are_found_with_their_files(tmp_path: Path) -> None:
    info = tmp_path / "My_Package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: My_Package\nVersion: 1.0\n")
    (info / "RECORD").write_text("my.py,,\nlost.py,,\n../../bin/my,,\n")
    (tmp_path / "my.py").write_text("")

    (found,) = find_installed(tmp_path)

    assert (found.name, found.version, found.info) == ("my-package", "1.0", info.name)
    assert found.files == ["my.py"]


def test_an_edited_file_differs_from_the_wheel_s_record(tmp_path: Path) -> None:
    hashes = {
        "my/kept.py": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",  # of no bytes
        "my/edited.py": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
        "bin/my": "of another interpreter",
    }
    for name in hashes:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("print()" if "edited" in name else "")
    package = Installed("my", "1.0", "my-1.0.dist-info", [*hashes], hashes)

    assert edited_files(package, ["my/edited.py", "my/kept.py"], tmp_path) == ["my/edited.py"]


def test_one_file_of_two_packages_may_only_have_one_content() -> None:
    first = Installed("first", "1", "first-1.dist-info", [], {"LICENSE": "a", "x/__init__.py": "b"})
    second = attrs.evolve(first, name="second", info="second-1.dist-info")
    needed = {"first": ["LICENSE", "x/__init__.py"], "second": ["LICENSE", "x/__init__.py"]}
    assert find_collision([first, second], needed) == ""

    changed = attrs.evolve(second, hashes={**second.hashes, "LICENSE": "c"})

    assert find_collision([first, changed], needed) == (
        "LICENSE is in first and in second, with different contents, and only one can be installed;"
        " remove one of the requirements, or name the file in exclude of [tool.okibi.package]"
    )
    assert find_collision([first, changed], {**needed, "second": ["x/__init__.py"]}) == ""
