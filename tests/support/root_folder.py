"""Folders that stand for the file system of a sandbox or of an image, and programs started in them.

A root holds a shell, the emulator and what these load: no Python. It needs the rights of root for
`chroot`, and nothing from the network.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from okibi.packaging.binaries import read_elf
from okibi.packaging.bundled_cpython import add_cpython, find_cpython
from okibi.packaging.targets import Target
from tests.support.emulator import Emulated, emulating

CHROOT = shutil.which("chroot") or ""
EMULATOR = "usr/local/bin/aws-lambda-rie"
AMAZON_LINUX_2023 = (2, 34)


def _system_pythons() -> list[tuple[tuple[int, int], Path]]:
    """The Pythons in /usr/bin that need a newer glibc than Amazon Linux 2023 has."""
    found: list[tuple[tuple[int, int], Path]] = []
    for path in sorted(Path("/usr/bin").glob("python3.*")):
        name = re.fullmatch(r"python3\.(\d+)", path.name)
        if name and (elf := read_elf(path.read_bytes())) and elf.glibc > AMAZON_LINUX_2023:
            found.append(((3, int(name[1])), path))
    return found


SYSTEM_PYTHON = _system_pythons()


def why_no_chroot() -> str:
    """Return the reason why no program can start in a root; empty if one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux can start a program in another root folder"
    if not CHROOT or shutil.which("ldd") is None:
        return "chroot or ldd is not installed"
    return ""


def make_root(root: Path, emulator: Path) -> None:
    """Make a root with /bin/sh and the emulator, and without any Python."""
    for name in ("bin", "dev", "opt", "tmp", "usr/local/bin", "var/task", "var/runtime"):
        (root / name).mkdir(parents=True)
    for device, minor in (("null", 3), ("urandom", 9)):
        os.mknod(root / "dev" / device, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    copy_program(root, Path("/bin/sh"), root / "bin" / "sh")
    # Libraries of the C library that any program may expect, in a system without a Python.
    for library in ("libm.so.6", "libdl.so.2", "libpthread.so.0", "libutil.so.1", "librt.so.1"):
        for folder in (Path("/lib") / f"{os.uname().machine}-linux-gnu", Path("/lib64")):
            if (folder / library).exists():
                copy_file(root, folder / library)
                break
    shutil.copy(emulator, root / EMULATOR)


# What the image has that AWS publishes for each Python.
BASE_IMAGE = {
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task"
    ":/var/task/lib:/opt/lib",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
}
RUNTIME_BOOTSTRAP = """\
#!/bin/sh
# What AWS's image does: an exec wrapper gets the command of AWS's client.
set -- /var/lang/bin/python3 /var/runtime/bootstrap.py
if [ -n "$AWS_LAMBDA_EXEC_WRAPPER" ]; then set -- "$AWS_LAMBDA_EXEC_WRAPPER" "$@"; fi
exec "$@"
"""


def add_base_image(root: Path, target: Target) -> None:
    """Add what AWS's image of a Python has: this machine's Python, where Lambda has its own."""
    lang = root / "var" / "lang"
    add_cpython(find_cpython(Path(sys.executable), target), lang)
    bootstrap = root / "var" / "runtime" / "bootstrap"
    bootstrap.write_text(RUNTIME_BOOTSTRAP)
    bootstrap.chmod(0o755)


def build_image(root: Path, context: Path) -> list[str]:
    """Do what a Dockerfile says, in a root that has the base image; return entry point and CMD."""
    started: dict[str, list[str]] = {}
    for line in (context / "Dockerfile").read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "COPY":
            source, place = rest.split()
            (root / place.strip("/")).parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(
                ["cp", "-pr", f"{context}/{source}" + ("." if source.endswith("/") else ""),
                 str(root / place.strip("/"))],
                check=True,
            )  # fmt: skip
        elif word in ("ENTRYPOINT", "CMD"):
            started[word] = json.loads(rest)
        elif word and not word.startswith(("#", "FROM")):
            raise ValueError(f"an instruction that the tests do not know: {line}")
    return [*started["ENTRYPOINT"], *started.get("CMD", [])]


def copy_program(root: Path, program: Path, place: Path) -> None:
    """Copy a program, and the libraries that it loads to the same paths in the root."""
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(program.resolve(), place)
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+) \(0x", told):
        copy_file(root, Path(library))


def copy_file(root: Path, file: Path) -> None:
    """Copy a file, not a link, to the same path in the root."""
    place = root / file.relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file.resolve(), place)


@contextmanager
def emulated_in(
    root: Path,
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    folder: str = "/var/task",
) -> Iterator[Emulated]:
    """Start the emulator in a root, as AWS documents it: with entry point and command.

    Args:
        root: made by `make_root`.
        command: the arguments of the emulator after its own; none lets it look for `bootstrap`.
        log: the file for all output.
        environment: the variables of the sandbox.
        folder: the working directory.
    """
    # The emulator's flags come between the shell's name and the command.
    start = 'cd "$0" && exec "$@"'
    with (
        log.open("wb") as output,
        emulating(
            Path(EMULATOR),
            command,
            root,
            {"PATH": "/usr/local/bin:/usr/bin/:/bin", **environment},
            output,
            # A sandbox has no rights of root: all files must be readable for others.
            before=[
                CHROOT,
                "--userspec=65534:65534",
                str(root),
                "/bin/sh",
                "-c",
                start,
                folder,
                f"/{EMULATOR}",
            ],
        ) as (port, _),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        yield Emulated(client, log)
