"""Decide which files of the installed packages, and of okibi, a package needs."""

import re
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

import attrs

from .binaries import Elf
from .resolve import normalize
from .targets import Target

__all__ = [
    "Installed",
    "encoder_fits",
    "find_installed",
    "is_needed",
    "is_needed_of_okibi",
    "needs_stub",
    "needs_tests",
    "record",
]

DIST_INFO_DROPPED = frozenset({"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"})
"""What an installer writes: a part of it names folders of this machine."""
OKIBI_DROPPED = ("cli/", "local/", "testing/")
OKIBI_DROPPED_ENDINGS = (".c", ".pyi", ".pyc", "py.typed")
ENCODER = "runtime/codec/encoder.abi3.so"
# `from numpy.tests import x`, `import numpy.tests.x`, `from .tests import x`.
TESTS_IMPORT = re.compile(rb"^\s*(?:from|import)\s+[\w.]*\btests\b", re.MULTILINE)
TESTS = "tests"


@attrs.frozen
class Installed:
    """An installed package.

    Args:
        name: the normalized name.
        version: its version.
        info: the name of its `.dist-info` folder.
        files: its files, relative to the folder of installation.
    """

    name: str
    version: str
    info: str
    files: Sequence[str]


def find_installed(folder: Path) -> list[Installed]:
    """List the packages that were installed into a folder, in the order of their names."""
    found: list[Installed] = []
    for info in folder.glob("*.dist-info"):
        distribution = metadata.Distribution.at(info)
        files = {file.as_posix() for file in distribution.files or ()}
        kept = [file for file in files if not file.startswith("../") and (folder / file).is_file()]
        name = normalize(distribution.metadata["Name"])
        found.append(Installed(name, distribution.version, info.name, sorted(kept)))
    return sorted(found, key=lambda each: each.name)


def is_needed(file: str, *, drop_tests: bool) -> bool:
    """Whether a file of an installed package is needed on Lambda, its stubs aside.

    Dropped are scripts, tests, bytecode for another Python, packages of stubs, and the installer's
    notes. Metadata, entry points and licences stay.

    Args:
        file: the path below the folder of installation.
        drop_tests: whether to drop folders called "tests".
    """
    *folders, name = file.split("/")
    if name.endswith((".pyc", ".pyo")) or (folders and folders[0] == "bin"):
        return False
    if folders and folders[0].endswith("-stubs"):
        return False
    if folders and folders[0].endswith(".dist-info") and name in DIST_INFO_DROPPED:
        return False
    return not (drop_tests and TESTS in folders)


def needs_tests(sources: Iterable[bytes]) -> bool:
    """Whether one of these sources imports from a folder called "tests".

    Args:
        sources: the sources of a package outside such folders.
    """
    return any(b"tests" in source and TESTS_IMPORT.search(source) for source in sources)


def needs_stub(source: bytes | None) -> bool:
    """Whether a module reads its stub when it is imported, as `lazy_loader.attach_stub` does.

    Args:
        source: the source of the module; None if there is none.
    """
    return source is not None and b"attach_stub" in source


def is_needed_of_okibi(file: str) -> bool:
    """Whether a file of okibi is needed on Lambda.

    Args:
        file: the path below the folder `okibi`.
    """
    return not (file.startswith(OKIBI_DROPPED) or file.endswith(OKIBI_DROPPED_ENDINGS))


def encoder_fits(elf: Elf | None, target: Target) -> bool:
    """Whether okibi's compiled encoder runs on the target. Any Python from 3.11 can load it."""
    return (
        elf is not None
        and elf.bits == 64
        and elf.machine == target.machine
        and elf.libc != "musl"
        and elf.glibc <= target.glibc
    )


def record(files: Iterable[str], info: str) -> str:
    """Write a RECORD of the files that are left (PyPA, "Recording installed packages").

    Without hashes: a later start image or a layer would make them wrong.
    """
    own = f"{info}/RECORD"
    lines = sorted({*files, own})
    return "".join(f'"{each}",,\n' if "," in each else f"{each},,\n" for each in lines)


def read_sources(folder: Path, files: Iterable[str]) -> Iterable[bytes]:
    """Yield the sources of a package outside of its tests."""
    for file in files:
        if file.endswith(".py") and TESTS not in file.split("/"):
            yield (folder / file).read_bytes()
