"""okibi's one compiled part is made where a compiler is; elsewhere okibi does without.

`okibi/runtime/codec/encoder.c` is of Python's stable ABI: one file serves 3.11 and later. A wheel
with it is one for this platform. `HATCH_BUILD_NO_HOOKS=true` makes the wheel without it, for any.

The compiler's flags, in this order. A later flag overrides an earlier one:

    those of the interpreter's build   its code generation (`-f...`) only. Its processor and its
                                       folders are those of the machine that built it.
    hardening                          stack protector, checked copies, read-only relocations
    FLAGS                              what the encoder needs
    CPPFLAGS, CFLAGS, LDFLAGS          the environment's, as make takes them

Of the first two groups, flags that the compiler refuses are left out.

Rejected: `customize_compiler` of setuptools. It adds no hardening, it writes the library folders of
the interpreter's build into the wheel (RPATH), and `setuptools._distutils` is private.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

SOURCE = "okibi/runtime/codec/encoder.c"
MADE = "okibi/runtime/codec/encoder.abi3.so"
FLAGS = ("-std=c11", "-O2", "-g0", "-fPIC", "-shared")
# Level 3 of FORTIFY checks nothing more here: it takes 2 % more instructions, and no call is added.
HARDENED = (
    "-fstack-protector-strong", "-fstack-clash-protection",
    "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2",
)  # fmt: skip
# For the linker of ELF; macOS has another, and other means.
HARDENED_ELF = ("-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack")


class Compile(BuildHookInterface[Any]):
    """Makes the encoder before hatchling looks for files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile it into the source tree, and into the wheel."""
        source, made = Path(self.root, SOURCE), Path(self.root, MADE)
        if why := compiled(source, made):
            self.app.display_warning(f"okibi goes without its compiled encoder: {why}")
            return
        build_data["artifacts"].append(MADE)
        if version != "editable":
            build_data["pure_python"] = False
            build_data["tag"] = f"cp311-abi3-{platform()}"


def platform() -> str:
    """What this Python's installers call the platform.

    `sysconfig` may call it otherwise, and a wheel of that they refuse: a Python of 32 bits by the
    64 of the machine, one on macOS by the minor version.
    """
    promised = ("manylinux", "musllinux")  # that it runs with each C library so old or newer
    return next(tag for tag in platform_tags() if not tag.startswith(promised))


def compiler() -> list[str]:
    """The C compiler's command, as make takes it from `CC`: with arguments, maybe; or none."""
    try:
        command = shlex.split(os.environ.get("CC", "")) or ["cc"]
    except ValueError:  # a quotation that does not end
        return []
    return command if shutil.which(command[0]) else []


def optional_flags() -> list[str]:
    """The flags that the compiler may refuse, in their order."""
    interpreters = shlex.split(sysconfig.get_config_var("CFLAGS") or "")
    elf = () if sys.platform == "darwin" else HARDENED_ELF
    return [*(each for each in interpreters if each.startswith("-f")), *HARDENED, *elf]


def environment_flags() -> list[str]:
    """The flags that the user has set for the compiler and the linker.

    Raises:
        ValueError: a quotation does not end.
    """
    flags: list[str] = []
    for name in ("CPPFLAGS", "CFLAGS", "LDFLAGS"):
        try:
            flags += shlex.split(os.environ.get(name, ""))
        except ValueError as error:
            raise ValueError(f"{name}={os.environ[name]!r} cannot be read: {error}") from error
    return flags


def compiled(source: Path, made: Path, *more: str) -> str:
    """Compile the encoder; why it cannot be, else nothing.

    Args:
        source: of it.
        made: where it goes. One that is older than its source goes if there will be none.
        more: flags of the compiler's, before those of the environment.
    """
    try:
        why = _compiled(source, made, more)
    except OSError as error:
        # A folder that is read only, a compiler that does not start.
        why = str(error)
    if why and made.exists() and made.stat().st_mtime < source.stat().st_mtime:
        with suppress(OSError):
            made.unlink()
    return why


def _compiled(source: Path, made: Path, more: tuple[str, ...]) -> str:
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "it is for CPython with its lock"
    headers = sysconfig.get_path("include")
    if not Path(headers, "Python.h").exists():
        return f"there is no {headers}/Python.h (Debian: python3-dev)"
    command = compiler()
    if not command:
        return "there is no C compiler"
    try:
        last = [*more, *environment_flags()]
    except ValueError as error:
        return str(error)
    if sys.platform == "darwin":
        last = ["-undefined", "dynamic_lookup", *last]
    # Beside it, then in its place: a process that has the old one open keeps that, and of two
    # builds at once neither has what the other has half written.
    with tempfile.TemporaryDirectory(prefix="encoder.abi3.", dir=made.parent) as folder:
        new = Path(folder, made.name)

        def compile_with(flags: list[str]) -> "subprocess.CompletedProcess[str]":
            command_line = [*command, *flags, *FLAGS, *last, f"-I{headers}", str(source)]
            return subprocess.run(
                [*command_line, "-o", str(new)],
                capture_output=True,
                text=True,
                errors="backslashreplace",  # the locale of what a compiler says may be another
            )

        wanted = optional_flags()
        done = compile_with(wanted)
        if done.returncode:
            done = compile_with([])
            if done.returncode == 0:
                done = compile_with(_accepted(wanted, compile_with))
        if done.returncode:
            return f"{shlex.join(command)} says {done.stderr.strip()[-500:] or done.returncode}"
        new.replace(made)
    return ""


def _accepted(
    flags: list[str], compile_with: Callable[[list[str]], "subprocess.CompletedProcess[str]"]
) -> list[str]:
    """The flags with which it can be compiled."""
    accepted: list[str] = []
    for flag in flags:
        if compile_with([*accepted, flag]).returncode == 0:
            accepted.append(flag)
    return accepted
