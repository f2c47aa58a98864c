"""Compiled files say in their headers what they run on."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from okibi.packaging.binaries import Elf, read_elf

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine's files are not ELF")

HEADER = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00"


def objdump(file: Path) -> tuple[set[str], list[str]]:
    """Return the versions of glibc, and the needed libraries, as binutils reads them."""
    done = subprocess.run(["objdump", "-p", file], capture_output=True, text=True, check=True)
    words = [line.split() for line in done.stdout.splitlines()]
    versions = {each[-1] for each in words if each and each[-1].startswith("GLIBC_2.")}
    return versions, [each[1] for each in words if each[:1] == ["NEEDED"]]


@pytest.mark.skipif(shutil.which("objdump") is None, reason="binutils is not installed")
@pytest.mark.parametrize("name", ["msgspec", "httptools"])
def test_a_compiled_module_is_read_as_binutils_reads_it(name: str) -> None:
    folder = Path(__import__(name).__file__ or "").parent
    for file in folder.rglob("*.so"):
        elf = read_elf(file.read_bytes())
        versions, needed = objdump(file)

        assert elf is not None
        assert list(elf.needed) == needed
        newest = max(tuple(map(int, each[6:].split(".")))[:2] for each in versions)
        assert elf.glibc == newest


def test_a_program_names_its_loader() -> None:
    elf = read_elf(Path(sys.executable).resolve().read_bytes())

    assert elf is not None
    assert elf.bits == 64
    assert "/ld-" in elf.interpreter


@pytest.mark.parametrize(
    ("number", "machine"),
    [(0x3E, "x86_64"), (0xB7, "aarch64"), (0xF3, "riscv64"), (0x15, "ELF processor 21")],
)
def test_a_header_alone_names_the_processor(number: int, machine: str) -> None:
    data = HEADER + number.to_bytes(2, "little") + bytes(44)

    assert read_elf(data) == Elf(64, machine)


@pytest.mark.parametrize("data", [b"", b"MZ\x90\x00", b"\xcf\xfa\xed\xfe", HEADER, b"#!/bin/sh\n"])
def test_other_files_are_not_elf(data: bytes) -> None:
    assert read_elf(data) is None


def test_a_file_cut_anywhere_is_read_or_refused_but_never_raises() -> None:
    (file, *_) = (Path(__import__("httptools").__file__ or "").parent).rglob("*.so")
    data = file.read_bytes()

    for size in range(4096):
        read_elf(data[:size])
    for size in range(4096, len(data), 4099):
        read_elf(data[:size])
