"""The folder that `docker build` reads, for images of functions and of runtimes."""

import os
import shutil
from pathlib import Path

from ...project.bad_input import BadInput
from ..project import is_result
from ..targets import Target

DATE = 315532800  # 1980-01-01, as in a zip


def base_image(target: Target) -> str:
    """Return the `FROM` line: AWS's image of the target's Python and processor.

    Lambda keeps this image at hand, and the image has the emulator for tests on your machine.
    """
    platform = "linux/arm64" if target.architecture == "arm64" else "linux/amd64"
    return f"FROM --platform={platform} public.ecr.aws/lambda/python:{target.python_version}"


def check_context(output: Path) -> None:
    """Check that a folder can be written: it is new, empty, or the result of an earlier build.

    Raises:
        BadInput: the folder has other content, or cannot be read.
    """
    try:
        if not output.exists() or (output.is_dir() and not any(output.iterdir())):
            return
        if is_result(str(output)):
            return
    except OSError as error:
        raise BadInput(f"--output {output}: cannot be read ({error.strerror})") from error
    raise BadInput(
        f"--output {output}: it exists, and okibi package has not made it; name a new folder, as in"
        " -o image"
    )


def open_context(output: Path) -> None:
    """Make the folder, without the files of an earlier build.

    Raises:
        BadInput: the folder holds something else, or cannot be made.
    """
    check_context(output)
    try:
        if output.exists():
            shutil.rmtree(output)
        output.mkdir()
    except OSError as error:
        raise BadInput(f"--output {output}: cannot be written ({error.strerror})") from error


def move_into(folder: Path, destination: Path) -> None:
    """Move the content of a folder."""
    destination.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        shutil.move(path, destination / path.name)


def close_context(output: Path) -> None:
    """Let everyone read the files, as the user of a sandbox must; and fix their times.

    Docker copies both into the image.
    """
    for path in (output, *output.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
        os.utime(path, (DATE, DATE))
