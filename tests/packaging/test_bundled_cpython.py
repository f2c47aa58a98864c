"""A CPython in the package: which of its files, and which CPythons are refused."""

import re
import sys
from pathlib import Path

import attrs
import pytest

from okibi.packaging import bundled_cpython
from okibi.packaging.binaries import Elf, read_elf
from okibi.packaging.bundled_cpython import Cpython, find_cpython, find_version, glibc_refusal
from okibi.packaging.targets import Target
from okibi.project.bad_input import BadInput
from tests.support.root_folder import SYSTEM_PYTHON

PYTHON = Path(sys.executable).resolve()
MACHINE = read_elf(PYTHON.read_bytes())
pytestmark = pytest.mark.skipif(
    MACHINE is None or MACHINE.libc != "glibc", reason="bundled are CPythons for glibc"
)
HERE = Target(
    python=sys.version_info[:2],
    architecture="arm64" if MACHINE and MACHINE.machine == "aarch64" else "x86_64",
    format="bundled",
    glibc=(2, 99),
)


def refusal(interpreter: Path, target: Target = HERE) -> str:
    with pytest.raises(BadInput) as refused:
        find_cpython(interpreter, target)
    return str(refused.value)


def test_the_standard_library_and_its_shared_libraries_are_found() -> None:
    files = find_cpython(PYTHON, HERE).files

    library = f"lib/python{HERE.python_version}"
    assert files["bin/python3"] == PYTHON
    assert {f"{library}/os.py", f"{library}/asyncio/__init__.py"} <= files.keys()
    shared = {name for name in files if name.startswith("lib/lib")}
    assert any(name.startswith("lib/libssl.so") for name in shared)
    assert not any(name.startswith(("lib/libc.so", "lib/libm.so", "lib/ld-")) for name in shared)


def test_the_version_of_a_cpython_is_in_its_headers(tmp_path: Path) -> None:
    cpython = Cpython(tmp_path / "bin/python3", tmp_path, {}, {})
    assert find_version(cpython, HERE) == HERE.python_version

    headers = tmp_path / "include" / f"python{HERE.python_version}"
    headers.mkdir(parents=True)
    (headers / "patchlevel.h").write_text('#define PY_VERSION              "3.13.1"\n')
    assert find_version(cpython, HERE) == "3.13.1"


def test_what_no_function_uses_is_left_out() -> None:
    files = find_cpython(PYTHON, HERE).files

    folders = {part for name in files for part in name.split("/")[:-1]}
    names = {name.split("/")[-1] for name in files}
    assert not folders & {"test", "tkinter", "idlelib", "ensurepip", "lib2to3", "site-packages"}
    assert "__pycache__" not in folders
    assert not any(folder.startswith("config-") for folder in folders)
    assert not any(name.startswith("_test") or name.endswith(".a") for name in names)


def test_a_cpython_that_needs_a_newer_glibc_is_refused() -> None:
    elves = {
        "bin/python3": Elf(64, "x86_64", "glibc", (2, 35)),
        "lib/libssl.so.3": Elf(64, "x86_64", "glibc", (2, 38)),
    }
    target = attrs.evolve(HERE, glibc=(2, 34))

    text = glibc_refusal(Path("/opt/bin/python3.13"), elves, target)

    assert text.startswith(
        "--interpreter /opt/bin/python3.13: it needs glibc 2.38 (lib/libssl.so.3), and the target"
        " has 2.34; "
    )
    assert not glibc_refusal(Path("/p"), elves, attrs.evolve(HERE, glibc=(2, 38)))


@pytest.mark.skipif(not SYSTEM_PYTHON, reason="/usr/bin has no Python whose glibc is too new")
def test_the_python_of_this_system_is_too_new_for_amazon_linux_2023() -> None:
    version, program = SYSTEM_PYTHON[-1]

    text = refusal(program, attrs.evolve(HERE, python=version, glibc=(2, 34)))

    assert re.search(r"it needs glibc 2\.\d+ \(.+\), and the target has 2\.34; build", text)


def test_another_version_is_refused() -> None:
    target = attrs.evolve(HERE, python=(3, 99))

    assert refusal(PYTHON, target).startswith(
        f"--interpreter {PYTHON}: this is {PYTHON.name}, and the package is for Python 3.99;"
    )


def test_a_free_threaded_cpython_is_refused(tmp_path: Path) -> None:
    program = tmp_path / f"python{HERE.python_version}t"
    program.write_bytes(PYTHON.read_bytes())

    assert f"this is {program.name}" in refusal(program)


def test_another_processor_is_refused() -> None:
    other = "x86_64" if HERE.architecture == "arm64" else "arm64"

    text = refusal(PYTHON, attrs.evolve(HERE, architecture=other))

    assert f"and the package is for {other} with glibc" in text


def test_a_script_that_starts_a_python_is_refused(tmp_path: Path) -> None:
    shim = tmp_path / f"python{HERE.python_version}"
    shim.write_text("#!/bin/sh\nexec python3\n")

    assert refusal(shim).startswith(f"--interpreter {shim}: not the program of a CPython; name")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "python3.13"

    assert f"{missing} cannot be read (No such file or directory)" in refusal(missing)


def test_a_program_without_a_standard_library_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "bin" / PYTHON.name
    program.parent.mkdir()
    program.write_bytes(PYTHON.read_bytes())

    assert f"{tmp_path}/lib/python{HERE.python_version} has no standard library" in refusal(program)


def test_a_missing_shared_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled_cpython, "_library_folders", lambda *_: [Path("/nowhere")])

    text = refusal(PYTHON)

    assert ".so" in text
    assert "which is in none of /nowhere; install that library" in text
