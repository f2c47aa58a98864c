"""Compile a package for the target's Python, and find out whether bytecode would be loaded.

The compiled files hold a hash of their source (PEP 552): the times of files, which a zip changes,
do not matter. Python checks the hash of the user's own files, which may be edited in an unpacked
package ("checked-hash"), and of no others. The names of files in tracebacks are those on Lambda.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import attrs

from ..project.bad_input import BadInput
from .resolve import find_uv
from .targets import Target

TASK_ROOT = "/var/task"
# The number with which the bytecode of each Python begins (`importlib.util.MAGIC_NUMBER`).
MAGIC_NUMBERS: Mapping[tuple[int, int], int] = MappingProxyType(
    {(3, 11): 3495, (3, 12): 3531, (3, 13): 3571, (3, 14): 3627}
)
# A process is started for every so many files, up to the number of processors.
FEW = 64

# Runs in the target's Python. It reads as JSON each file, its name on Lambda, and whether Python is
# to check its hash. It writes the files that do not compile, each with the error.
COMPILER = r"""
import importlib.util, json, marshal, os, sys, warnings
warnings.simplefilter("ignore")
failed = []
for file, name, is_checked in json.load(sys.stdin):
    with open(file, "rb") as opened:
        source = opened.read()
    try:
        code = compile(source, name, "exec", dont_inherit=True, optimize=0)
        # Marshal writes an object that something else holds in another way. A copy is held by
        # nothing else.
        body = marshal.dumps(marshal.loads(marshal.dumps(code)))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        failed.append([file, f"line {line}: {error.msg}" if line else str(error)])
        continue
    cached = importlib.util.cache_from_source(file, optimization="")
    os.makedirs(os.path.dirname(cached), exist_ok=True)
    with open(cached, "wb") as opened:
        flags = (3 if is_checked else 1).to_bytes(4, "little")  # PEP 552
        head = importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source)
        opened.write(head + body)
magic = int.from_bytes(importlib.util.MAGIC_NUMBER[:2], "little")
json.dump([list(sys.version_info[:2]), magic, failed], sys.stdout)
"""


@attrs.frozen
class NotCompiled:
    """A file that the target's Python cannot compile.

    Args:
        file: the path below the package's folder.
        why: the error.
    """

    file: str
    why: str


def find_interpreter(target: Target) -> Path:
    """Find a Python of the target's version on this machine.

    Raises:
        BadInput: there is none.
    """
    if sys.version_info[:2] == target.python and sys.implementation.name == "cpython":
        return Path(sys.executable)
    done = subprocess.run(
        [find_uv(), "python", "find", "--no-python-downloads", "--no-project",
         f"cpython@{target.python_version}"],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode or not done.stdout.strip():
        version = target.python_version
        here = "{}.{}".format(*sys.version_info[:2])
        raise BadInput(
            f"there is no Python {version} on this machine to compile the package; install it (uv"
            f" python install {version}), or give --python {here} if the function runs on that"
        )
    return Path(done.stdout.strip())


def compile_package(
    folder: Path,
    files: Sequence[str],
    interpreter: Path,
    processes: int = os.cpu_count() or 1,
    *,
    checked: Collection[str] = (),
) -> list[NotCompiled]:
    """Compile source files of a package, each beside its source.

    Args:
        folder: the package's folder; becomes /var/task.
        files: paths below the folder.
        interpreter: a Python of the target's version.
        processes: the number of processes that may run at once.
        checked: the files of which Python checks the source when it loads the bytecode.

    Returns:
        The files that do not compile. They have no bytecode.

    Raises:
        BadInput: the interpreter does not run, or is a pre-release.
    """
    wanted = max(1, min(processes, len(files) // FEW))
    orders = [(str(folder / file), f"{TASK_ROOT}/{file}", file in checked) for file in files]
    running = [
        subprocess.Popen(
            # Neither the user's variables nor packages change the result.
            [str(interpreter), "-I", "-S", "-B", "-X", "utf8", "-c", COMPILER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(wanted)
    ]
    failed: list[NotCompiled] = []
    try:
        for number, process in enumerate(running):
            assert process.stdin is not None
            process.stdin.write(json.dumps(orders[number::wanted]))
            process.stdin.close()
            process.stdin = None  # `communicate` would flush it
        for process in running:
            out, err = process.communicate()
            if process.returncode:
                raise BadInput(f"{interpreter} cannot compile the package: {err.strip()[-500:]}")
            python, magic, found = json.loads(out)
            if MAGIC_NUMBERS.get(tuple(python), magic) != magic:
                raise BadInput(
                    f"{interpreter} is a pre-release, whose bytecode Lambda's Python would not"
                    " load; install a release"
                )
            failed += [NotCompiled(os.path.relpath(file, folder), why) for file, why in found]
    finally:
        for process in running:
            process.kill()
    return sorted(failed, key=lambda each: each.file)


# -- reading


@attrs.frozen
class Pyc:
    """The header of a file of bytecode (PEP 552).

    Args:
        magic: the number of the Python that can load the file.
        kind: the check by which Python compares the file with its source.
        key: the hash of the source; or its modification time and size, for "timestamp".
    """

    magic: int
    kind: Literal["timestamp", "checked-hash", "unchecked-hash"]
    key: bytes


def read_pyc(data: bytes) -> Pyc | None:
    """Read the header of a file of bytecode; None if the file is too short, or is not bytecode."""
    if len(data) < 16 or data[2:4] != b"\r\n":
        return None
    flags = int.from_bytes(data[4:8], "little")
    kinds = {0: "timestamp", 1: "unchecked-hash", 3: "checked-hash"}
    if flags not in kinds:
        return None
    kind: Literal["timestamp", "checked-hash", "unchecked-hash"]
    kind = kinds[flags]  # type: ignore[assignment]
    return Pyc(int.from_bytes(data[:2], "little"), kind, data[8:16])


def source_hash(source: bytes, magic: int) -> bytes | None:
    """Hash a source as the Python with this magic number does.

    Returns:
        The hash; None if this Python cannot tell that of another one.
    """
    if magic == int.from_bytes(importlib.util.MAGIC_NUMBER[:2], "little"):
        return importlib.util.source_hash(source)
    try:
        # What `importlib.util.source_hash` calls, with this Python's number.
        import _imp

        return _imp.source_hash(magic | int.from_bytes(b"\r\n", "little") << 16, source)
    except (ImportError, AttributeError):
        return None
