"""Import errors that a wrong build caused; `test_package_folder` tests real starts."""

import importlib
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from okibi.runtime.errors.exceptions import InitError
from okibi.runtime.startup import wrong_build as module
from okibi.runtime.startup.find_function import load
from okibi.runtime.startup.wrong_build import end_if_wrong_build, explain_wrong_build

MACHO = b"\xcf\xfa\xed\xfe" + bytes(28)
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00"
OTHER = b"\xb7\x00" if b"\x3e\x00" in Path(sys.executable).read_bytes()[18:20] else b"\x3e\x00"
FOREIGN = ELF + b"\x16\x00" + bytes(44)  # a processor of IBM's
TAG = "cpython-399-sparc64-linux-gnu"
FITS = f"--python-version {sys.version_info[0]}.{sys.version_info[1]} --only-binary=:all:"
NAMES = {b"\xb7\x00": "aarch64", b"\x3e\x00": "x86_64"}


def failed(path: Path) -> ImportError:
    """The error of a compiled file that cannot be loaded."""
    return ImportError("cannot be loaded", name="inner", path=str(path))


@pytest.mark.parametrize(
    ("head", "built"),
    [
        (ELF + OTHER, NAMES[OTHER]),
        (ELF + b"\x16\x00", "ELF processor 22"),
        (MACHO, "macOS"),
        (b"MZ" + bytes(30), "Windows"),
    ],
)
def test_a_file_for_another_processor_is_named(head: bytes, built: str, tmp_path: Path) -> None:
    (tmp_path / "inner.abi3.so").write_bytes(head)

    said = explain_wrong_build(failed(tmp_path / "inner.abi3.so"))

    assert said.startswith(f"{tmp_path}/inner.abi3.so was built for {built}, and this is Python ")


@pytest.mark.parametrize("head", [Path(sys.executable).read_bytes()[:20], ELF, b"", b"\x7fELF"])
def test_a_file_for_this_processor_or_an_unknown_one_is_not_named(
    head: bytes, tmp_path: Path
) -> None:
    (tmp_path / "inner.abi3.so").write_bytes(head)

    assert explain_wrong_build(failed(tmp_path / "inner.abi3.so")) == ""
    assert explain_wrong_build(failed(tmp_path / "absent.abi3.so")) == ""


def test_the_import_error_behind_another_error_is_explained(tmp_path: Path) -> None:
    (tmp_path / "inner.abi3.so").write_bytes(MACHO)
    error = ImportError("IMPORTANT: PLEASE READ THIS")
    error.__cause__ = failed(tmp_path / "inner.abi3.so")

    assert "was built for macOS" in explain_wrong_build(error)


def test_a_circle_of_causes_ends() -> None:
    first, second = ImportError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first

    assert explain_wrong_build(first) == ""


def test_an_error_whose_attributes_raise_is_not_explained() -> None:
    class Odd(ImportError):
        def __str__(self) -> str:
            raise LookupError

    assert explain_wrong_build(Odd(name="odd")) == ""
    assert explain_wrong_build(ImportError("no name")) == ""


def test_on_musl_the_cure_names_musllinux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner.abi3.so").write_bytes(MACHO)
    suffixes = [".cpython-313-x86_64-linux-musl.so", ".abi3.so", ".so"]
    monkeypatch.setattr(module, "EXTENSION_SUFFIXES", suffixes)

    said = explain_wrong_build(failed(tmp_path / "inner.abi3.so"))

    assert "this is Python 3.13 (x86_64-linux-musl)" in said
    assert " --platform musllinux_1_2_" in said


def test_a_python_that_is_too_old_is_named_for_any_import_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))

    with pytest.raises(SystemExit, match="1"):
        end_if_wrong_build(ImportError("cannot import name 'assert_never' from 'typing'"))

    words = "okibi needs Python 3.11 or newer, and this is Python 3.10"
    assert f"[ERROR] Runtime.PlatformMismatch: {words}\r" in capsys.readouterr().out


def test_without_an_answer_of_the_runtime_api_the_process_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "inner.abi3.so").write_bytes(MACHO)
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")

    with pytest.raises(SystemExit, match="1"):
        end_if_wrong_build(failed(tmp_path / "inner.abi3.so"))

    assert "was built for macOS" in capsys.readouterr().out


# -- as the user's code is imported


COMPILED = {
    "import bundled.inner": f"bundled/inner.{TAG}.so",
    "from bundled import inner": f"bundled/inner.{TAG}.so",
    "import alone": "alone.cp399-win_amd64.pyd",
    "import alone as other": "alone.cpython-399-darwin.so",
    "import bundled.foreign": "bundled/foreign.abi3.so",
    # As pydantic_core, whose type stubs are in a folder of the module's name.
    "from bundled.stubbed import x": f"bundled/stubbed.{TAG}.so",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task root with a package, unloaded after the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    (tmp_path / "bundled" / "stubbed").mkdir(parents=True)
    (tmp_path / "bundled" / "__init__.py").write_text("")
    return tmp_path


def error_at_import(statement: str, root: Path) -> str:
    (root / "wrongly_built.py").write_text(f"{statement}\ndef handler(event, context): pass")
    importlib.invalidate_caches()
    with pytest.raises(InitError) as refused:
        load("wrongly_built.handler", str(root))
    assert refused.value.kind == "Runtime.ImportModuleError"
    return refused.value.message


@pytest.mark.parametrize(("statement", "file"), COMPILED.items())
def test_the_user_s_module_for_another_python_is_named(
    statement: str, file: str, root: Path
) -> None:
    (root / file).write_bytes(FOREIGN)

    message = error_at_import(statement, root)

    assert message.startswith("Unable to import module 'wrongly_built': ")
    assert f"; {root}/{file} was built for " in message
    assert FITS in message


@pytest.mark.parametrize("statement", ["import bundled.absent", "from bundled.absent import x"])
@pytest.mark.parametrize(
    "beside", ["", f"inner.{TAG}.so", f"absent{EXTENSION_SUFFIXES[0]}", "absent.py"]
)
def test_another_import_error_has_the_official_text_only(
    beside: str, statement: str, root: Path
) -> None:
    if beside:
        (root / "bundled" / beside).write_bytes(b"")
    if beside == "absent.py":
        # A package compiled by Cython includes its source.
        (root / "bundled" / f"absent.{TAG}.so").write_bytes(b"")
        statement = "from bundled.absent import x"

    message = error_at_import(statement, root)

    assert message.startswith("Unable to import module 'wrongly_built': ")
    assert "was built for" not in message
