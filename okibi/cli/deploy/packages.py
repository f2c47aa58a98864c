"""Make the package that is deployed, or read one that has been made."""

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ..arguments import BadInput
from ..package.start_files import MANIFEST
from ..project_settings import ProjectFunction

__all__ = ["make_package"]

NO_PYTHON = (
    "runtime provided.al2023 has no Python: make a package that has one (okibi package --format"
    " bundled), and give it with --package FILE"
)


def make_package(function: ProjectFunction, made: str | None, emulated: bool) -> bytes:
    """Make a package with `okibi package`, or read one.

    Args:
        function: the function.
        made: the file of --package; None to make one.
        emulated: AWS is an emulator, which runs `provided.al2023` with this machine's Python.

    Raises:
        BadInput: the file cannot be read, or a package cannot be made.
    """
    if made is not None:
        return _read_package(function, Path(made))
    if function.runtime.kind == "provided.al2023" and not emulated:
        raise BadInput(NO_PYTHON)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "function.zip"
        _run_package(function, output)
        return output.read_bytes()


def _read_package(function: ProjectFunction, path: Path) -> bytes:
    """Read a package, and check that it was made for the function's Python and processor."""
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            # Of a zip without okibi's manifest, only its maker knows what it is for.
            if f"lib/{MANIFEST}" not in archive.namelist():
                return content
            manifest = json.loads(archive.read(f"lib/{MANIFEST}"))
    except OSError as error:
        raise BadInput(f"--package {path}: cannot be read ({error.strerror})") from error
    except (zipfile.BadZipFile, ValueError) as error:
        raise BadInput(f"--package {path}: not a package ({error}); run okibi package") from error
    made_for = (manifest.get("python"), manifest.get("architecture"))
    # A Python in the package is any; a customer-managed runtime has its own.
    if function.runtime.kind == "managed" and made_for != (function.python, function.architecture):
        raise BadInput(
            f"--package {path}: made for Python {made_for[0]} on {made_for[1]}, and the function"
            f" has Python {function.python} on {function.architecture}; run okibi package again"
            f" with --python {function.python} --arch {function.architecture}"
        )
    return content


def _run_package(function: ProjectFunction, output: Path) -> None:
    """Run `okibi package`; its report goes to stderr.

    A customer-managed runtime brings okibi, and ignores the one in the package.
    """
    command = [
        *(sys.executable, "-P", "-m", "okibi.cli", "package", function.handler),
        *("--python", function.python, "--arch", function.architecture),
        *("--output", str(output)),
    ]
    done = subprocess.run(command, stdout=sys.stderr.fileno())
    if done.returncode:
        raise BadInput("the package could not be made; nothing was deployed")
