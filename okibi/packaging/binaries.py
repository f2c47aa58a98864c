"""Read from an ELF file what it runs on: processor, C library, and the versions of glibc it needs.

Pure over bytes, so that files in a zip can be read too. Only 64-bit little-endian files are read
further than their header: Lambda's processors have no other.
"""

import re
import struct
from collections.abc import Iterator
from typing import Literal

import attrs

MAGIC = b"\x7fELF"
MACHINES = {0x03: "i386", 0x28: "arm", 0x3E: "x86_64", 0xB7: "aarch64", 0xF3: "riscv64"}
LOAD, DYNAMIC, INTERPRETER = 1, 2, 3  # types of program headers
NEEDED, STRTAB, VERNEED, VERNEED_COUNT = 1, 5, 0x6FFFFFFE, 0x6FFFFFFF  # tags of the dynamic section
GLIBC = re.compile(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?")


@attrs.frozen
class Elf:
    """The requirements of an ELF file.

    Args:
        bits: 64 or 32.
        machine: the processor as Linux names it, such as "x86_64" or "aarch64".
        libc: "glibc", "musl", or "" if the file needs neither.
        glibc: the newest version of glibc that the file needs; (0, 0) for none.
        needed: names of the shared libraries that the file loads.
        interpreter: the dynamic loader of a program; "" for a library.
    """

    bits: int
    machine: str
    libc: Literal["glibc", "musl", ""] = ""
    glibc: tuple[int, int] = (0, 0)
    needed: tuple[str, ...] = ()
    interpreter: str = ""


def has_elf_header(data: bytes) -> bool:
    """Whether data begins as an ELF file does."""
    return data[:4] == MAGIC


def read_elf(data: bytes) -> Elf | None:
    """Read the header and the dynamic section of a file.

    Args:
        data: the file's content.

    Returns:
        What the file needs; None if the file is not ELF, or is damaged.
    """
    if not has_elf_header(data) or len(data) < 20 or data[5] != 1:
        return None
    bits = 64 if data[4] == 2 else 32
    number = int.from_bytes(data[18:20], "little")
    machine = MACHINES.get(number, f"ELF processor {number}")
    if bits == 32:
        return Elf(bits, machine)
    try:
        return _Reader(data).read(machine)
    except (struct.error, IndexError, ValueError):
        return None


@attrs.define
class _Reader:
    """Reads a 64-bit little-endian file."""

    data: bytes

    def read(self, machine: str) -> Elf:
        interpreter, dynamic = "", dict[int, list[int]]()
        for kind, offset, _, size in self._program_headers():
            if kind == INTERPRETER:
                interpreter = self._text(offset)
            elif kind == DYNAMIC:
                dynamic = self._dynamic(offset, size)
        if STRTAB not in dynamic:
            return Elf(64, machine, interpreter=interpreter)
        names = self._offset(dynamic[STRTAB][0])
        needed = tuple(self._text(names + at) for at in dynamic.get(NEEDED, ()))
        versions = [
            (int(found[1]), int(found[2]))
            for version in self._needed_versions(dynamic, names)
            if (found := GLIBC.fullmatch(version))
        ]
        libc: Literal["glibc", "musl", ""] = "glibc" if versions or "libc.so.6" in needed else ""
        # musl's own name for its library, and the name that Alpine's linker writes.
        if any(name == "libc.so" or name.startswith("libc.musl-") for name in needed):
            libc = "musl"
        if "ld-musl-" in interpreter:
            libc = "musl"
        return Elf(64, machine, libc, max(versions, default=(0, 0)), needed, interpreter)

    def _program_headers(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield type, offset, virtual address and size in the file of each program header."""
        (start,) = struct.unpack_from("<Q", self.data, 32)
        size, count = struct.unpack_from("<HH", self.data, 54)
        for number in range(count):
            kind, _, offset, address, _, length = struct.unpack_from(
                "<IIQQQQ", self.data, start + number * size
            )
            yield kind, offset, address, length

    def _dynamic(self, offset: int, size: int) -> dict[int, list[int]]:
        """Return the values of each tag of the dynamic section."""
        found: dict[int, list[int]] = {}
        for at in range(offset, offset + size, 16):
            tag, value = struct.unpack_from("<qQ", self.data, at)
            if tag == 0:
                break
            found.setdefault(tag, []).append(value)
        return found

    def _offset(self, address: int) -> int:
        """Return where in the file an address is."""
        for kind, offset, start, length in self._program_headers():
            if kind == LOAD and start <= address < start + length:
                return offset + address - start
        raise ValueError("an address outside the file")

    def _needed_versions(self, dynamic: dict[int, list[int]], names: int) -> Iterator[str]:
        """Yield the version names that the file needs of its libraries (DT_VERNEED)."""
        if VERNEED not in dynamic:
            return
        at = self._offset(dynamic[VERNEED][0])
        for _ in range(dynamic[VERNEED_COUNT][0]):
            _, count, _, first, step = struct.unpack_from("<HHIII", self.data, at)
            entry = at + first
            for _ in range(count):
                _, _, _, name, next_entry = struct.unpack_from("<IHHII", self.data, entry)
                yield self._text(names + name)
                entry += next_entry
            at += step

    def _text(self, offset: int) -> str:
        end = self.data.index(b"\0", offset)
        return bytes(self.data[offset:end]).decode("utf-8", "replace")
