"""Make the package that is deployed, or read one that has been made."""

import io
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from ..packaging.failed_start import UNLESS_LAYER, UNVERIFIED, WARNING
from ..packaging.size_limits import UNZIPPED
from ..packaging.targets import parse_target
from ..packaging.zip_check import NOT_A_ZIP, read_manifest
from ..project.bad_input import BadInput
from ..project.input_files import read_input
from ..project.settings import ProjectFunction

NO_PYTHON = (
    "runtime provided.al2023 has no Python: make a package that has one (okibi package --format"
    " bundled), and give it with --package FILE"
)
NOT_LOADED = "the function would not load; correct the error"
NOT_ANSWERED = (
    "--yes does not answer for a function that does not start here; correct the error, or, if the"
    " function starts on Lambda only, add --no-record, or give a zip of okibi package by --package"
)


@attrs.frozen
class Package:
    """A package to deploy.

    Args:
        content: the zip; empty for an image.
        warnings: lines of `okibi package` to print before the question.
    """

    content: bytes = b""
    warnings: Sequence[str] = ()


def choose_architecture(function: ProjectFunction, asked: str | None, *, emulated: bool) -> str:
    """Choose the function's processor.

    An emulator runs `provided.al2023` on this machine, so this machine's processor is the default
    there.

    Args:
        function: the function.
        asked: the value of --arch; None for the function's own processor.
        emulated: whether AWS is an emulator.

    Raises:
        BadInput: Lambda has no such processor.
    """
    if asked is not None:
        return parse_target(function.python, asked, "managed").architecture
    if emulated and function.runtime.kind == "provided.al2023":
        with suppress(BadInput):
            return parse_target(function.python, platform.machine().lower(), "managed").architecture
    return function.architecture


def make_package(
    function: ProjectFunction,
    made: str | None,
    tell: Callable[[str], object],
    *,
    emulated: bool,
    record: bool = True,
) -> Package:
    """Make a package with `okibi package`, or read one.

    Args:
        function: the function.
        made: the file of --package; None to make one.
        tell: writes a line of the report of `okibi package`.
        emulated: AWS is an emulator, which runs `provided.al2023` with this machine's Python.
        record: whether to run the function's init twice, for the start image.

    Raises:
        BadInput: the file cannot be read, or a package cannot be made.
    """
    if made is not None:
        return Package(_read_package(function, Path(made), emulated))
    if function.runtime.kind == "provided.al2023" and not emulated:
        raise BadInput(NO_PYTHON)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "function.zip"
        warnings = _run_package(function, output, tell, record)
        return Package(output.read_bytes(), warnings)


def explain_stop(function: ProjectFunction, package: Package, *, asks: bool) -> str:
    """Say why a package must not be deployed, whose function was started here; empty if it may be.

    Args:
        function: the function. A module that its package lacks may be in one of its layers.
        package: the package.
        asks: whether a question follows, above which the warnings stand.
    """
    for line in package.warnings:
        if line.startswith(WARNING) and not (function.layers and line.endswith(UNLESS_LAYER)):
            return NOT_LOADED
        if line.startswith(UNVERIFIED) and not asks:
            return NOT_ANSWERED
    return ""


def _read_package(function: ProjectFunction, path: Path, emulated: bool) -> bytes:
    """Read a package, and check that it was made for the function's runtime."""
    try:
        content = read_input(path, f"--package {path}", UNZIPPED)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            manifest = read_manifest(archive)
    except OSError as error:
        raise BadInput(
            f"--package {path}: cannot be read ({error.strerror}); give a zip that okibi package"
            " has written"
        ) from error
    except NOT_A_ZIP as error:
        raise BadInput(f"--package {path}: not a package ({error}); run okibi package") from error
    # Of a zip without okibi's manifest, only its maker knows what it is for.
    if manifest is not None and (wrong := _find_misfit(function, manifest, emulated)):
        raise BadInput(f"--package {path}: {wrong}")
    return content


def _find_misfit(function: ProjectFunction, manifest: Mapping[str, Any], emulated: bool) -> str:
    """Describe why a package would not start; empty if it would.

    The Python is known of managed functions only: a bundled package has one, and a customer-managed
    runtime and an emulator have theirs.
    """
    python, architecture = manifest.get("python"), manifest.get("architecture")
    kind = function.runtime.kind
    if kind == "provided.al2023" and manifest.get("format") != "bundled" and not emulated:
        return f"made without a Python, and {NO_PYTHON}"
    if kind == "managed" and (python, architecture) != (function.python, function.architecture):
        return (
            f"made for Python {python} on {architecture}, and the function"
            f" has Python {function.python} on {function.architecture}; run okibi package again"
            f" with --python {function.python} --arch {function.architecture}"
        )
    if architecture != function.architecture:
        return (
            f"made for {architecture}, and the function has {function.architecture}; run okibi"
            f" package again with --arch {function.architecture}, or add --arch {architecture}"
        )
    return ""


def _run_package(
    function: ProjectFunction, output: Path, tell: Callable[[str], object], record: bool
) -> list[str]:
    """Run `okibi package`; return its warnings. Tell the rest of its report.

    A customer-managed runtime brings okibi, and ignores the one in the package.
    """
    command = [
        *(sys.executable, "-P", "-m", "okibi.cli", "package", function.package_argument),
        *("--python", function.python, "--arch", function.architecture),
        *("--output", str(output)),
        *(() if record else ("--no-record",)),
    ]
    warnings = list[str]()
    with subprocess.Popen(
        command, stdout=sys.stderr.fileno(), stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith((WARNING, UNVERIFIED)):
                warnings.append(line.rstrip("\n"))
            else:
                tell(line.rstrip("\n"))
    if process.returncode:
        for line in warnings:
            tell(line)
        raise BadInput("the package could not be made; nothing was deployed")
    return warnings
