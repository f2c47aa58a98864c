"""Compile okibi's module in C if there is a C compiler, and make the page of PyPI from README.md.

okibi works without the module.

`okibi/runtime/system/native.c` uses Python's stable ABI: one file serves 3.11 and later. A wheel
with the module is for this platform. `HATCH_BUILD_NO_HOOKS=true` builds a wheel without the
module, for every platform.

The compiler's flags, in this order. A later flag overrides an earlier one:

    the interpreter's build     code generation (`-f...`) only; its processor and folders belong
                                to the machine that built it
    hardening                   stack protector, checked copies, read-only relocations
    FLAGS                       what the module needs
    CPPFLAGS, CFLAGS, LDFLAGS   from the environment, as for make

Flags of the first two groups that the compiler refuses are omitted.

Rejected: `customize_compiler` of setuptools. It adds no hardening, it writes the library folders of
the interpreter's build into the wheel (RPATH), and `setuptools._distutils` is private.
"""

import os
import re
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
from hatchling.metadata.plugin.interface import MetadataHookInterface
from packaging.tags import platform_tags

SOURCE = "okibi/runtime/system/native.c"
MADE = "okibi/runtime/system/native.abi3.so"
FLAGS = ("-std=c11", "-O2", "-g0", "-fPIC", "-shared")
# FORTIFY level 3 adds 2 % instructions and no check here.
HARDENED = (
    "-fstack-protector-strong", "-fstack-clash-protection",
    "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2",
)  # fmt: skip
# For ELF linkers. macOS has another linker.
HARDENED_ELF = ("-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack")


class Compile(BuildHookInterface[Any]):
    """Compiles the module before hatchling collects files."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile the module into the source tree, and add it to the wheel."""
        source, made = Path(self.root, SOURCE), Path(self.root, MADE)
        if why := compiled(source, made):
            self.app.display_warning(f"okibi is built without its compiled module: {why}")
            return
        build_data["artifacts"].append(MADE)
        if version != "editable":
            build_data["pure_python"] = False
            build_data["tag"] = f"cp311-abi3-{platform()}"


class Readme(MetadataHookInterface):
    """Makes the links of README.md absolute: PyPI does not have the files that they name."""

    PLUGIN_NAME = "custom"

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the long description."""
        text = Path(self.root, "README.md").read_text("utf-8")
        files = f"{metadata['urls']['Source']}/blob/v{metadata['version']}"
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": absolute_links(text, files),
        }


def absolute_links(text: str, files: str) -> str:
    """Write the address of a repository's files before each relative link of a page.

    >>> absolute_links("[a](docs/a.md) [b](https://b.example) [c](#c)", "https://x.example")
    '[a](https://x.example/docs/a.md) [b](https://b.example) [c](#c)'
    """
    return re.sub(r"\]\((?!https?:|#)", f"]({files}/", text)


def platform() -> str:
    """Return the platform tag that this Python's installers accept.

    `sysconfig` may return another one, which installers refuse: for a 32-bit Python on a 64-bit
    machine, and on macOS with a minor version.
    """
    promised = ("manylinux", "musllinux")  # these promise compatibility with older C libraries
    return next(tag for tag in platform_tags() if not tag.startswith(promised))


def compiler() -> list[str]:
    """Return the C compiler's command from `CC`, with its arguments; empty if there is none."""
    try:
        command = shlex.split(os.environ.get("CC", "")) or ["cc"]
    except ValueError:  # an unclosed quotation
        return []
    return command if shutil.which(command[0]) else []


def optional_flags() -> list[str]:
    """Return the flags that the compiler may refuse, in order."""
    interpreters = shlex.split(sysconfig.get_config_var("CFLAGS") or "")
    elf = () if sys.platform == "darwin" else HARDENED_ELF
    return [*(each for each in interpreters if each.startswith("-f")), *HARDENED, *elf]


def environment_flags() -> list[str]:
    """Return the user's flags for compiler and linker.

    Raises:
        ValueError: a quotation is not closed.
    """
    flags: list[str] = []
    for name in ("CPPFLAGS", "CFLAGS", "LDFLAGS"):
        try:
            flags += shlex.split(os.environ.get(name, ""))
        except ValueError as error:
            raise ValueError(f"{name}={os.environ[name]!r} cannot be read: {error}") from error
    return flags


def compiled(source: Path, made: Path, *more: str) -> str:
    """Compile the module. Return why it cannot be compiled, or "".

    Args:
        source: the source of the module.
        made: the target. If compiling fails, a target older than the source is removed.
        more: flags to put before those of the environment.
    """
    try:
        why = _compiled(source, made, more)
    except OSError as error:
        # A read-only folder, or a compiler that does not start.
        why = str(error)
    if why and made.exists() and made.stat().st_mtime < source.stat().st_mtime:
        with suppress(OSError):
            made.unlink()
    return why


def _compiled(source: Path, made: Path, more: tuple[str, ...]) -> str:
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "it needs CPython with the GIL"
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
    # Write a new file, then replace the old one: a process that has loaded the old file keeps it,
    # and concurrent builds never see half a file.
    with tempfile.TemporaryDirectory(prefix="native.abi3.", dir=made.parent) as folder:
        new = Path(folder, made.name)

        def compile_with(flags: list[str]) -> "subprocess.CompletedProcess[str]":
            command_line = [*command, *flags, *FLAGS, *last, f"-I{headers}", str(source)]
            return subprocess.run(
                [*command_line, "-o", str(new)],
                capture_output=True,
                text=True,
                errors="backslashreplace",  # the compiler may use another encoding
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
    """Return the flags that the compiler accepts."""
    accepted: list[str] = []
    for flag in flags:
        if compile_with([*accepted, flag]).returncode == 0:
            accepted.append(flag)
    return accepted
