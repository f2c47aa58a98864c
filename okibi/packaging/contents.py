"""Decide which files of the installed packages, and of okibi, a package needs."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

import attrs

from .binaries import Elf
from .package_names import normalize
from .targets import Target

# What an installer writes: a part of it names folders of this machine.
DIST_INFO_DROPPED = frozenset(
    {"INSTALLER", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json"}
)
OKIBI_DROPPED = (
    "bench/", "cli/", "deployment/", "dev/", "local/", "observer/", "packaging/", "project/",
    "testing/", "runtime/observed.py",
)  # fmt: skip
OKIBI_DROPPED_ENDINGS = (".c", ".pyi", ".pyc", "py.typed")
NATIVE = "runtime/system/native.abi3.so"
TESTS = frozenset({"tests", "_tests"})
# `from numpy.tests import x`, `import numpy.tests.x`, `from .._tests import x`.
TESTS_IMPORT = re.compile(rb"^\s*(?:from|import)\s+(?:[\w.]*\.)?_?tests\b", re.MULTILINE)
COMPILED_FROM = (".c", ".cpp", ".pyx", ".pxd")


@attrs.frozen
class Installed:
    """An installed package.

    Args:
        name: the normalized name.
        version: the version.
        info: the name of the `.dist-info` folder.
        files: the package's files, relative to the folder of installation.
        hashes: the SHA-256 of files, as the wheel's RECORD has it.
    """

    name: str
    version: str
    info: str
    files: Sequence[str]
    hashes: Mapping[str, str] = MappingProxyType({})


def find_installed(folder: Path) -> list[Installed]:
    """List the packages that were installed into a folder, in the order of their names."""
    found: list[Installed] = []
    for info in folder.glob("*.dist-info"):
        distribution = metadata.Distribution.at(info)
        files = {file.as_posix(): file.hash for file in distribution.files or ()}
        kept = [file for file in files if not file.startswith("../") and (folder / file).is_file()]
        hashes = {
            file: recorded.value
            for file in kept
            if (recorded := files[file]) is not None and recorded.mode == "sha256"
        }
        name = normalize(distribution.metadata["Name"])
        found.append(Installed(name, distribution.version, info.name, sorted(kept), hashes))
    return sorted(found, key=lambda each: each.name)


def edited_files(package: Installed, files: Iterable[str], folder: Path) -> list[str]:
    """List the files of an installed package that are not the wheel's.

    An installer takes files from a cache. Who debugs a library edits them there by mistake.

    Args:
        package: the package.
        files: the needed files of the package.
        folder: the folder of installation.
    """
    return [
        file
        for file in files
        if file in package.hashes and _hash_as_record(folder / file) != package.hashes[file]
    ]


def find_collision(packages: Iterable[Installed], needed: Mapping[str, Sequence[str]]) -> str:
    """Describe the first file that two packages have with different contents; empty without one.

    uv installs both at once: which of the two stays, changes from run to run.

    Args:
        packages: the installed packages.
        needed: the needed files of each, by its name.
    """
    owners = dict[str, Installed]()
    for package in packages:
        for file in needed[package.name]:
            other = owners.setdefault(file, package)
            if other is package:
                continue
            ours = package.hashes.get(file)
            if ours is None or ours != other.hashes.get(file):
                return (
                    f"{file} is in {other.name} and in {package.name}, with different contents, and"
                    " only one can be installed; remove one of the requirements, or name the file"
                    " in exclude of [tool.okibi.package]"
                )
    return ""


def _hash_as_record(file: Path) -> str:
    digest = hashlib.sha256(file.read_bytes()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def needed_files(files: Sequence[str], read: Callable[[str], bytes]) -> list[str]:
    """List the files of an installed package that are needed on Lambda.

    Dropped are scripts, tests, stubs, the C and Cython sources of compiled modules, bytecode of
    another Python, and the installer's notes. Metadata, entry points and licences stay. Tests stay
    if the package imports them; a stub stays if its module reads it (`lazy_loader.attach_stub`).

    Args:
        files: the package's files, below the folder of installation.
        read: returns the content of one of them.
    """
    present = {*files}
    outside = (name for name in files if name.endswith(".py") and not _is_test(name))
    keep_tests = any(TESTS_IMPORT.search(read(name)) for name in outside)
    modules = {name.partition(".")[0] for name in files if name.endswith(".so")}

    def is_needed(name: str) -> bool:
        if _is_installers(name) or (_is_test(name) and not keep_tests):
            return False
        if name.endswith(COMPILED_FROM):
            return name.rpartition(".")[0] not in modules
        if name.endswith(".pyi"):
            return name[:-1] in present and b"attach_stub" in read(name[:-1])
        return True

    return [name for name in files if is_needed(name)]


def _is_test(name: str) -> bool:
    return not TESTS.isdisjoint(name.split("/")[:-1])


def _is_installers(name: str) -> bool:
    """Whether a file serves an installer or a type checker, or is a script."""
    *folders, file = name.split("/")
    top = folders[0] if folders else ""
    return (
        file.endswith((".pyc", ".pyo"))
        or top == "bin"
        or top.endswith("-stubs")
        or (top.endswith(".dist-info") and file in DIST_INFO_DROPPED)
    )


def is_needed_of_okibi(file: str) -> bool:
    """Whether a file of okibi is needed on Lambda.

    Args:
        file: the path below the folder `okibi`.
    """
    return not (file.startswith(OKIBI_DROPPED) or file.endswith(OKIBI_DROPPED_ENDINGS))


def native_fits(elf: Elf | None, target: Target) -> bool:
    """Whether okibi's compiled module runs on the target. Any Python from 3.11 can load it."""
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
