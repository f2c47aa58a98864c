"""Make the package that is deployed, or read one that has been made."""

import subprocess
import sys
import tempfile
from pathlib import Path

from ..arguments import BadInput
from ..project_settings import ProjectFunction

__all__ = ["make_package"]

FORMATS = {"managed": "managed", "provided.al2023": "managed", "custom": "runtime"}
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
        try:
            return Path(made).read_bytes()
        except OSError as error:
            raise BadInput(f"--package {made}: cannot be read ({error.strerror})") from error
    if function.runtime.kind == "provided.al2023" and not emulated:
        raise BadInput(NO_PYTHON)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "function.zip"
        _run_package(function, output)
        return output.read_bytes()


def _run_package(function: ProjectFunction, output: Path) -> None:
    """Run `okibi package`; its report goes to stderr."""
    command = [
        *(sys.executable, "-P", "-m", "okibi.cli", "package", function.handler),
        *("--python", function.python, "--arch", function.architecture),
        *("--format", FORMATS[function.runtime.kind], "--output", str(output)),
    ]
    done = subprocess.run(command, stdout=sys.stderr.fileno())
    if done.returncode:
        raise BadInput("the package could not be made; nothing was deployed")
