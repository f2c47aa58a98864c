"""Add a CPython to a package, for a runtime without a language (`provided.al2023`).

    bootstrap
    bin/python3              the program
    lib/python3.13/          its standard library, without what no function uses
    lib/libssl.so.3 …        shared libraries that these load, except the C library's own
    lib/okibi …              okibi and what it needs, as in every package

CPython finds its standard library by its own place: `bin/..` has `lib/python3.13/os.py`. The
package therefore works wherever it is unpacked.

Everything is read from the files' ELF headers, and the program is never started: a CPython for
another processor can be bundled too.
"""

import platform
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from ..project.bad_input import BadInput
from .binaries import Elf, read_elf
from .targets import Target

# `python3.13`, `python3.13t` (free-threaded), `python3.13d` (debug).
PROGRAM = re.compile(r"python(\d+)\.(\d+)([td]*)")
VERSION = re.compile(r'#define PY_VERSION\s+"(.+)"')
FOLDERS_LEFT_OUT = frozenset(
    {"__pycache__", "ensurepip", "idlelib", "lib2to3", "site-packages", "dist-packages", "test",
     "pydoc_data", "tkinter", "turtledemo"}
)  # fmt: skip
FILES_LEFT_OUT = frozenset({"EXTERNALLY-MANAGED", "sitecustomize.py", "turtle.py"})
# Static libraries and headers' settings; compiled modules for tests, windows, terminals, and NIS.
LEFT_OUT = re.compile(
    r"config-\d.*|.*\.a"
    r"|(_test|_ctypes_test|_xxtest|xxlimited|xxsubtype|_tkinter|readline|nis)\w*\.(.*\.)?so"
)
# The C library of the target serves; another one beside it would crash the process.
C_LIBRARY = re.compile(
    r"(ld-linux.*|libc|libm|libdl|librt|libpthread|libutil|libresolv|libanl|libnss_\w+)\.so(\..*)?"
)
BUILD = (
    "build this Python on Amazon Linux 2023, or name one that runs on older systems, such as that"
    " of `uv python install`"
)


@attrs.frozen
class Cpython:
    """The files of a CPython.

    Args:
        program: the interpreter itself.
        library: the folder of the standard library.
        files: the files on this machine, by their names in the package.
        elves: the requirements of the compiled files, by name.
    """

    program: Path
    library: Path
    files: Mapping[str, Path]
    elves: Mapping[str, Elf]

    @property
    def runs_here(self) -> bool:
        """Whether it was built for this machine's system and processor."""
        here = (platform.system(), platform.machine())
        return here == ("Linux", self.elves["bin/python3"].machine)


def add_cpython(cpython: Cpython, folder: Path) -> dict[str, str]:
    """Copy a CPython into a package.

    Args:
        cpython: the files.
        folder: the package's folder.

    Returns:
        The owner of each file, for the table of sizes.
    """
    for name, file in cpython.files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    (folder / "bin" / "python3").chmod(0o755)
    return dict.fromkeys(cpython.files, "CPython")


def find_version(cpython: Cpython, target: Target) -> str:
    """Return the version in a CPython's headers, such as 3.13.1; without headers, 3.13."""
    headers = cpython.program.parent.parent / "include" / f"python{target.python_version}"
    try:
        found = VERSION.search((headers / "patchlevel.h").read_text("utf-8"))
    except OSError:
        found = None
    return target.python_version if found is None else found[1]


def find_cpython(interpreter: Path, target: Target) -> Cpython:
    """Find the files of a CPython.

    Args:
        interpreter: the CPython's program. Links are followed.
        target: the Lambda runtime that the package is for.

    Raises:
        BadInput: the program is no CPython or does not fit the target, or files are missing.
    """
    program = interpreter.resolve()
    elf = _read(program, interpreter)
    version = target.python_version
    found = PROGRAM.fullmatch(program.name)
    if elf is None or found is None:
        raise BadInput(
            f"--interpreter {interpreter}: not the program of a CPython; name its file, such as"
            f" /opt/python{version}/bin/python{version}"
        )
    if (int(found[1]), int(found[2])) != target.python or found[3]:
        raise BadInput(
            f"--interpreter {interpreter}: this is {program.name}, and the package is for Python"
            f" {version}; name a python{version}, or give another --python"
        )
    if elf.machine != target.machine or elf.libc == "musl":
        built = "musl" if elf.libc == "musl" else elf.machine
        raise BadInput(
            f"--interpreter {interpreter}: it was built for {built}, and the package is for"
            f" {target.architecture} with glibc; name a Python that was built for that"
        )
    library = _find_library(program, interpreter, version)
    prefix = f"{library.parent.name}/{library.name}"
    files = {"bin/python3": program}
    files |= {f"{prefix}/{name}": file for name, file in _standard_library(library)}
    elves = {"bin/python3": elf}
    for name, file in files.items():
        if name.endswith(".so") and (module := _read(file, interpreter)) is not None:
            elves[name] = module
    _add_shared_libraries(files, elves, program, interpreter)
    if refusal := glibc_refusal(interpreter, elves, target):
        raise BadInput(refusal)
    return Cpython(program, library, dict(sorted(files.items())), elves)


def glibc_refusal(interpreter: Path, elves: Mapping[str, Elf], target: Target) -> str:
    """Describe why the target's glibc is too old for a CPython; empty if it is not.

    Args:
        interpreter: the CPython's program, for the text.
        elves: the requirements of the CPython's compiled files, by name.
        target: the Lambda runtime that the package is for.
    """
    newest = max((elf.glibc for elf in elves.values()), default=(0, 0))
    if newest <= target.glibc:
        return ""
    example = min(name for name, elf in elves.items() if elf.glibc == newest)
    return (
        f"--interpreter {interpreter}: it needs glibc {_text(newest)} ({example}), and the target"
        f" has {_text(target.glibc)}; {BUILD}"
    )


def _text(version: tuple[int, int]) -> str:
    return "{}.{}".format(*version)


def _read(file: Path, interpreter: Path) -> Elf | None:
    try:
        return read_elf(file.read_bytes())
    except OSError as error:
        raise BadInput(
            f"--interpreter {interpreter}: {file} cannot be read ({error.strerror})"
        ) from error


def _find_library(program: Path, interpreter: Path, version: str) -> Path:
    for folder in ("lib", "lib64"):
        library = program.parent.parent / folder / f"python{version}"
        if (library / "os.py").is_file():
            return library
    raise BadInput(
        f"--interpreter {interpreter}: {program.parent.parent}/lib/python{version} has no standard"
        " library; install all of that Python"
    )


def _standard_library(folder: Path, prefix: str = "") -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name not in FOLDERS_LEFT_OUT and not LEFT_OUT.fullmatch(path.name):
                yield from _standard_library(path, f"{prefix}{path.name}/")
            continue
        left_out = path.name in FILES_LEFT_OUT or LEFT_OUT.fullmatch(path.name)
        if path.is_file() and not left_out:
            yield prefix + path.name, path


def _add_shared_libraries(
    files: dict[str, Path], elves: dict[str, Elf], program: Path, interpreter: Path
) -> None:
    """Add all libraries that the files load, and those that these load."""
    machine = elves["bin/python3"].machine
    folders = _library_folders(program, machine)
    left = [(name, needed) for name, elf in elves.items() for needed in elf.needed]
    while left:
        name, needed = left.pop()
        place = f"lib/{needed}"
        if place in files or C_LIBRARY.fullmatch(needed):
            continue
        found, elf = _find_shared_library(needed, folders, machine)
        if found is None or elf is None:
            raise BadInput(
                f"--interpreter {interpreter}: {name} loads {needed}, which is in none of"
                f" {', '.join(map(str, folders))}; install that library"
            )
        files[place], elves[place] = found, elf
        left += [(place, further) for further in elf.needed]


def _library_folders(program: Path, machine: str) -> Sequence[Path]:
    own = program.parent.parent
    folders = [own / "lib", own / "lib64", Path("/usr/local/lib")]
    folders += [Path(f"{top}/{machine}-linux-gnu") for top in ("/lib", "/usr/lib")]
    folders += [Path(each) for each in ("/lib64", "/usr/lib64", "/lib", "/usr/lib")]
    return [folder for folder in folders if folder.is_dir()]


def _find_shared_library(
    name: str, folders: Sequence[Path], machine: str
) -> tuple[Path | None, Elf | None]:
    """Find a library for this processor; a folder may hold one for another."""
    for folder in folders:
        if (file := folder / name).is_file():
            elf = read_elf(file.read_bytes())
            if elf is not None and elf.machine == machine:
                return file.resolve(), elf
    return None, None
