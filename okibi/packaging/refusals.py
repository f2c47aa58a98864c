"""Find what would not load on Lambda, from facts about the files of a package.

The rules are pure functions over frozen values. `gather_facts` reads the files, of a folder or of a
zip that another tool made (`zip_check`).
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from . import start_files
from .binaries import Elf, has_elf_header, read_elf
from .bytecode import MAGIC_NUMBERS, Pyc, read_pyc, source_hash
from .size_limits import UPLOAD, format_mb
from .targets import Target

# `_x.cpython-313-x86_64-linux-gnu.so`
TAG = re.compile(r"\.cpython-(\d)(\d+)(t?)-[\w-]+\.so$")
CACHED = re.compile(r"(?P<folder>(?:.*/)?)__pycache__/(?P<name>[^/]+)\.cpython-(?P<tag>\d+)\.pyc$")
SOURCE_ONLY = f"lib/{start_files.ENTRY}"


@attrs.frozen
class Binary:
    """A compiled file of a package.

    Args:
        file: the path in the package.
        elf: the requirements of the file; None for a damaged file.
        is_module: whether Python can import the file.
    """

    file: str
    elf: Elf | None
    is_module: bool


@attrs.frozen
class Bytecode:
    """A file of bytecode.

    Args:
        file: the path in the package.
        python: the Python in the file's name; None for a file outside of `__pycache__`.
        pyc: the file's header; None for a damaged file.
        source: the path of the source; "" if the package has none.
        is_stale: whether the hash or the time in the file is not that of the source.
    """

    file: str
    python: tuple[int, int] | None
    pyc: Pyc | None
    source: str
    is_stale: bool


@attrs.frozen
class Facts:
    """The facts about a package that the rules check.

    Args:
        binaries: the compiled files.
        bytecode: the files of bytecode.
        sources: the Python sources.
        size: the bytes of all files.
    """

    binaries: Sequence[Binary] = ()
    bytecode: Sequence[Bytecode] = ()
    sources: Sequence[str] = ()
    size: int = 0


# -- rules


def check_binaries(binaries: Iterable[Binary], target: Target) -> list[str]:
    """Check that each compiled module has a file that the target can load.

    A package may bring files for several processors or Pythons: one that fits is enough. Files that
    are no modules, such as programs of a debugger, are not checked; the libraries beside a wheel
    (`*.libs`) are.

    Returns:
        One sentence for each module or library that does not fit.
    """
    by_module: dict[str, list[Binary]] = {}
    for binary in binaries:
        if binary.is_module or ".libs/" in binary.file:
            by_module.setdefault(_module(binary), []).append(binary)
    wrong: list[str] = []
    for found in by_module.values():
        reasons = [(each.file, _misfit(each, target)) for each in found]
        if all(reason for _, reason in reasons):
            file, reason = reasons[0]
            wrong.append(f"{file} {reason}")
    return wrong


def _module(binary: Binary) -> str:
    """The module of a file; a library is alone."""
    if not binary.is_module:
        return binary.file
    folder, _, name = binary.file.rpartition("/")
    return f"{folder}/{name.partition('.')[0]}"


def _misfit(binary: Binary, target: Target) -> str:
    elf = binary.elf
    if elf is None:
        return "is damaged"
    if elf.machine != target.machine:
        return f"was built for {elf.machine}, and the function runs on {target.machine}"
    if (tag := TAG.search(binary.file)) and ((int(tag[1]), int(tag[2])) != target.python or tag[3]):
        built = f"{tag[1]}.{tag[2]}{tag[3]}"
        return f"was built for Python {built}, and the function runs on {target.python_version}"
    if elf.libc == "musl":
        return "was built for musl (Alpine), and Lambda has glibc"
    if elf.glibc > target.glibc:
        needed, has = ("{}.{}".format(*each) for each in (elf.glibc, target.glibc))
        return f"needs glibc {needed}, and the function's system has {has}"
    return ""


def check_bytecode(bytecode: Iterable[Bytecode], target: Target) -> list[str]:
    """Check that Python would load each file of bytecode, and that it belongs to its source.

    Returns:
        One sentence for each kind of fault, with the number of files and the first of them.
    """
    faults: dict[str, list[str]] = {}
    found = list(bytecode)
    fits = {each.source for each in found if each.source and each.python == target.python}
    for each in found:
        # Beside bytecode for the target, other bytecode is only ballast.
        if each.python != target.python and each.source in fits:
            continue
        if fault := _fault(each, target):
            faults.setdefault(fault, []).append(each.file)
    return [_count(files, fault) for fault, files in faults.items()]


def _fault(bytecode: Bytecode, target: Target) -> str:
    pyc = bytecode.pyc
    if pyc is None:
        return "damaged: Python would ignore or refuse it"
    if pyc.magic != MAGIC_NUMBERS[target.python]:
        pythons = {number: python for python, number in MAGIC_NUMBERS.items()}
        built = pythons.get(pyc.magic)
        of = "another Python" if built is None else "Python {}.{}".format(*built)
        return f"for {of}, and the function runs on {target.python_version}"
    if bytecode.python is None or not bytecode.source:
        return ""  # Python loads it without its source
    if not bytecode.is_stale:
        return ""
    if pyc.kind == "timestamp":
        return "tied to a time that its source does not have in the zip: compile it unchecked-hash"
    return "of another source than the one beside it"


def _count(files: Sequence[str], fault: str) -> str:
    if len(files) == 1:
        return f"{files[0]} has bytecode {fault}"
    return f"{len(files)} files, such as {files[0]}, have bytecode {fault}"


def upload_note(size: int) -> str:
    """Say how a zip is uploaded if it is too large for an API call; else an empty text."""
    if size <= UPLOAD:
        return ""
    return (
        f"the zip has {format_mb(size)}, and an API call may carry {format_mb(UPLOAD)}: upload it"
        " to S3 first"
    )


# -- facts


def gather_facts(times: Mapping[str, int], read: Callable[[str], bytes]) -> Facts:
    """Read what the rules need to know.

    Args:
        times: the path of each file, with slashes, and the file's time in seconds since 1970.
        read: returns a file's content.
    """
    files = sorted(times)
    binaries: list[Binary] = []
    bytecode: list[Bytecode] = []
    size = 0
    for name in files:
        data = read(name)
        size += len(data)
        if name.endswith(".pyc"):
            bytecode.append(_bytecode(name, data, times, read))
        elif has_elf_header(data):
            is_module = name.endswith(".so") and (TAG.search(name) or b"PyInit_" in data)
            binaries.append(Binary(name, read_elf(data), bool(is_module)))
    sources = [name for name in files if name.endswith(".py") and not name.endswith(SOURCE_ONLY)]
    return Facts(binaries, bytecode, sources, size)


def _bytecode(
    name: str, data: bytes, times: Mapping[str, int], read: Callable[[str], bytes]
) -> Bytecode:
    pyc, cached = read_pyc(data), CACHED.match(name)
    if cached is None:
        source = name[:-1]
        return Bytecode(name, None, pyc, source if source in times else "", False)
    source = f"{cached['folder']}{cached['name']}.py"
    tag = cached["tag"]
    python = (int(tag[0]), int(tag[1:]))
    if source not in times:
        return Bytecode(name, python, pyc, "", False)
    expected = None if pyc is None else _key_of(pyc, read(source), times[source])
    stale = pyc is not None and expected is not None and pyc.key != expected
    return Bytecode(name, python, pyc, source, stale)


def _key_of(pyc: Pyc, source: bytes, time: int) -> bytes | None:
    """The key that Python expects in the bytecode of a source; None if unknown."""
    if pyc.kind == "timestamp":
        return (time & 0xFFFFFFFF).to_bytes(4, "little") + len(source).to_bytes(4, "little")
    return source_hash(source, pyc.magic)
