"""Files that would not load on Lambda are refused in a sentence."""

import attrs
import pytest

from okibi.packaging.binaries import Elf
from okibi.packaging.bytecode import Pyc
from okibi.packaging.refusals import Binary, Bytecode, check_binaries, check_bytecode, upload_note
from okibi.packaging.size_limits import UPLOAD
from okibi.packaging.targets import parse_target

TARGET = parse_target("3.13", "x86_64", "managed")
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


def test_a_zip_too_large_for_a_call_is_to_be_uploaded_to_s3() -> None:
    assert upload_note(UPLOAD) == ""
    assert "upload it to S3 first" in upload_note(UPLOAD + 1)
