"""What would not load on Lambda is refused in a sentence."""

import importlib.util
import io
import os
import py_compile
import sys
import zipfile
from pathlib import Path

import attrs
import pytest

from okibi.cli.arguments import BadInput
from okibi.cli.package.binaries import Elf
from okibi.cli.package.bytecode import MAGIC_NUMBERS, Pyc
from okibi.cli.package.limits import UNZIPPED, UPLOAD
from okibi.cli.package.refusals import (
    Binary,
    Bytecode,
    check_binaries,
    check_bytecode,
    check_sizes,
    check_zip,
    upload_note,
)
from okibi.cli.package.start_files import manifest
from okibi.cli.package.targets import parse_target

TARGET = parse_target("3.13", "x86_64", "managed")
HERE = parse_target("{}.{}".format(*sys.version_info[:2]), "x86_64", "managed")
ELF = Elf(64, "x86_64", "glibc", (2, 17))
MODULE = Binary("shop/_fast.cpython-313-x86_64-linux-gnu.so", ELF, True)


def test_a_module_for_the_target_is_good() -> None:
    assert check_binaries([MODULE], TARGET) == []


@pytest.mark.parametrize(
    ("binary", "fault"),
    [(attrs.evolve(MODULE, file="shop/_fast.cpython-312-x86_64-linux-gnu.so"),
      "was built for Python 3.12, and the function runs on 3.13"),
     (attrs.evolve(MODULE, file="_fast.cpython-313t-x86_64-linux-gnu.so"),
      "was built for Python 3.13t, and the function runs on 3.13"),
     (attrs.evolve(MODULE, elf=attrs.evolve(ELF, machine="aarch64")),
      "was built for aarch64, and the function runs on x86_64"),
     (attrs.evolve(MODULE, elf=attrs.evolve(ELF, glibc=(2, 38))),
      "needs glibc 2.38, and the function's system has 2.34"),
     (attrs.evolve(MODULE, elf=attrs.evolve(ELF, libc="musl", glibc=(0, 0))),
      "was built for musl (Alpine), and Lambda has glibc"),
     (attrs.evolve(MODULE, elf=None), "is damaged"),
     (Binary("shop.libs/libz.so.1", attrs.evolve(ELF, machine="aarch64"), False),
      "was built for aarch64, and the function runs on x86_64")],
    ids=["python", "free-threaded", "processor", "glibc", "musl", "damaged", "library"],
)  # fmt: skip
def test_a_compiled_module_that_does_not_fit_is_refused(binary: Binary, fault: str) -> None:
    assert check_binaries([binary], TARGET) == [f"{binary.file} {fault}"]


def test_one_fitting_file_of_a_module_is_enough() -> None:
    other = attrs.evolve(MODULE, file="shop/_fast.cpython-312-x86_64-linux-gnu.so")

    assert check_binaries([other, MODULE], TARGET) == []


def test_programs_for_other_processors_are_no_modules() -> None:
    tool = Binary("debugger/attach_arm64.so", attrs.evolve(ELF, machine="aarch64"), False)

    assert check_binaries([tool], TARGET) == []


def test_a_stable_abi_module_fits_any_python() -> None:
    assert check_binaries([attrs.evolve(MODULE, file="_fast.abi3.so")], TARGET) == []


# -- bytecode


HASHED = Pyc(3571, "unchecked-hash", b"")
GOOD = Bytecode("__pycache__/app.cpython-313.pyc", (3, 13), HASHED, "app.py", False)


@pytest.mark.parametrize(
    ("bytecode", "fault"),
    [(attrs.evolve(GOOD, pyc=attrs.evolve(HASHED, magic=3531)),
      "for Python 3.12, and the function runs on 3.13"),
     (attrs.evolve(GOOD, pyc=attrs.evolve(HASHED, magic=3560)),
      "for another Python, and the function runs on 3.13"),
     (attrs.evolve(GOOD, pyc=Pyc(3571, "timestamp", b""), is_stale=True),
      "tied to a time that its source does not have in the zip: compile it unchecked-hash"),
     (attrs.evolve(GOOD, is_stale=True), "of another source than the one beside it"),
     (attrs.evolve(GOOD, pyc=None), "damaged: Python would ignore or refuse it")],
    ids=["python", "alpha", "timestamp", "stale", "damaged"],
)  # fmt: skip
def test_bytecode_that_would_not_load_is_refused(bytecode: Bytecode, fault: str) -> None:
    (sentence,) = check_bytecode([bytecode], TARGET)

    assert sentence == f"{GOOD.file} has bytecode {fault}"


def test_a_fault_of_many_files_is_one_sentence() -> None:
    stale = attrs.evolve(GOOD, is_stale=True)

    (sentence,) = check_bytecode([stale] * 300, TARGET)

    assert sentence.startswith(f"300 files, such as {GOOD.file}, have bytecode of another source")


def test_bytecode_of_another_python_beside_good_one_is_only_ballast() -> None:
    other = Bytecode(
        "__pycache__/app.cpython-312.pyc", (3, 12), Pyc(3531, "timestamp", b""), "app.py", True
    )

    assert check_bytecode([other, GOOD], TARGET) == []
    assert check_bytecode([other], TARGET) != []


# -- sizes


def test_a_package_over_the_unzipped_limit_is_refused_with_the_cure() -> None:
    assert check_sizes(UNZIPPED) == []
    (sentence,) = check_sizes(UNZIPPED + 2**20)
    assert sentence.startswith("the package has 251.0 MB unzipped, and Lambda allows 250.0 MB;")


def test_a_zip_too_large_for_a_call_is_to_be_uploaded_to_s3() -> None:
    assert upload_note(UPLOAD) == ""
    assert "upload it to S3 first" in upload_note(UPLOAD + 1)


# -- zips


def make_zip(folder: Path, mode: py_compile.PycInvalidationMode, time: int) -> Path:
    """A zip of a source and its bytecode, with one time for both as many tools write it."""
    source = folder / "app.py"
    source.write_text("x = 1\n")
    os.utime(source, (1_700_000_000, 1_700_000_000))
    cached = Path(str(py_compile.compile(str(source), invalidation_mode=mode)))
    made = folder / "function.zip"
    date = (
        (2023, 11, 14, 22, 13, 20) if time else (1980, 1, 1, 0, 0, 0)
    )  # 1_700_000_000 is the first
    with zipfile.ZipFile(made, "w") as opened:
        for file in (source, cached):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), date)
            opened.writestr(entry, file.read_bytes())
    return made


TIMESTAMP = py_compile.PycInvalidationMode.TIMESTAMP
HASH = py_compile.PycInvalidationMode.UNCHECKED_HASH


def test_a_zip_that_changed_the_times_of_sources_is_refused(tmp_path: Path) -> None:
    made = make_zip(tmp_path, TIMESTAMP, 0)

    (sentence,), _ = check_zip(made, HERE)

    assert "has bytecode tied to a time that its source does not have in the zip" in sentence


def test_a_zip_that_kept_the_times_of_sources_is_good(tmp_path: Path) -> None:
    assert check_zip(make_zip(tmp_path, TIMESTAMP, 1), HERE) == ([], [])


def test_hashed_bytecode_is_good_with_any_times(tmp_path: Path) -> None:
    assert check_zip(make_zip(tmp_path, HASH, 0), HERE) == ([], [])


def test_bytecode_of_an_older_source_is_refused(tmp_path: Path) -> None:
    cached = importlib.util.cache_from_source("app.py")
    with zipfile.ZipFile(make_zip(tmp_path, HASH, 0)) as opened:
        pyc = opened.read(cached)
    made = tmp_path / "stale.zip"
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr("app.py", "x = 2\n")
        opened.writestr(cached, pyc)

    (sentence,), _ = check_zip(made, HERE)

    assert sentence == f"{cached} has bytecode of another source than the one beside it"


def test_a_zip_without_bytecode_is_good_but_slow(tmp_path: Path) -> None:
    made = tmp_path / "plain.zip"
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr("app.py", "x = 1\n")

    wrong, (note,) = check_zip(made, HERE)

    assert wrong == []
    assert note == (
        "1 of 1 sources, such as app.py, have no bytecode: Lambda compiles them at each start"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="this machine's modules are not ELF")
def test_a_zip_with_a_module_for_another_python_is_refused(tmp_path: Path) -> None:
    (module, *_) = (Path(__import__("msgspec").__file__ or "").parent).glob("*.so")
    made = tmp_path / "function.zip"
    with zipfile.ZipFile(made, "w") as opened:
        opened.write(module, f"msgspec/{module.name}")
    other = next(python for python in MAGIC_NUMBERS if python != HERE.python)
    version = "{}.{}".format(*other)

    (sentence,), _ = check_zip(made, parse_target(version, "x86_64", "managed"))

    assert f"was built for Python {HERE.python_version}, and the function runs on {version}" in (
        sentence
    )
    (sentence,), _ = check_zip(made, parse_target(HERE.python_version, "arm64", "managed"))
    assert "was built for x86_64, and the function runs on aarch64" in sentence


@pytest.mark.parametrize(
    ("text", "said"),
    [(manifest("1", parse_target("3.12", "arm64", "managed"), "", ""), True),
     (manifest("1", HERE, "", ""), False), ("not JSON", False)],
    ids=["another target", "this target", "damaged"],
)  # fmt: skip
def test_a_check_says_which_target_a_package_was_built_for(
    text: str, said: bool, tmp_path: Path
) -> None:
    made = tmp_path / "function.zip"
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr("lib/okibi-package.json", text)

    _, notes = check_zip(made, HERE)

    sentence = "built for another target: check it with --python 3.12 --arch arm64"
    assert notes == ([sentence] if said else [])


def damaged_zip() -> bytes:
    """A zip with a deflated file that cannot be inflated."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("app.py", bytes(range(256)) * 20)
    return file.getvalue().replace(file.getvalue()[36:40], b"\xff" * 4, 1)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", damaged_zip()])
def test_a_file_that_is_no_zip_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "function.zip").write_bytes(content)

    with pytest.raises(BadInput, match="not a zip that Lambda can unpack"):
        check_zip(tmp_path / "function.zip", HERE)
