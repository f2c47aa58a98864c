"""`okibi package`: build the zip of a function, or check a zip that was made otherwise."""

import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import cast

import attrs
import trio

from ..arguments import BadInput, check_handler
from ..output import write_err, write_text
from ..until_signal import run_command
from .archive import list_files, write_zip
from .limits import format_mb
from .project import Requirements, find_project
from .refusals import check_zip, upload_note
from .size_report import make_parts, render_table
from .staging import Staged, StagedPackage, stage
from .targets import PREFERRED, PYTHONS, Target, parse_target

__all__ = ["PackageOptions", "RawOptions", "package", "parse_options"]

GOOD, REFUSED = 0, 1
OUTPUT = "the report"
DEFAULT_OUTPUT = "function.zip"


@attrs.frozen
class RawOptions:
    """The options of `okibi package` as typed."""

    python: str | None = None
    architecture: str = "x86_64"
    format: str = "managed"
    output: str | None = None
    record: bool = True
    check: str | None = None


@attrs.frozen
class PackageOptions:
    """The parsed arguments of `okibi package`.

    Args:
        handler: `module.name`; "" if none was given.
        folder: the folder of the function.
        target: what the package runs on.
        output: the file to write.
        record: whether to run the function's init once, for the start image.
        check: a zip to check; None to build one.
    """

    handler: str
    folder: Path
    target: Target
    output: Path
    record: bool
    check: Path | None


def package(handler: str | None, raw: RawOptions) -> int:
    """Build the package of the current folder's function, or check a zip.

    Args:
        handler: `module.name`, as in `_HANDLER`; None for a package without a start image.
        raw: the options as typed.

    Returns:
        The exit code: 0 if the package is good, 1 if a checked zip would not work, 2 if no package
        can be built, 130 after Ctrl-C.
    """
    return run_command(OUTPUT, lambda: partial(_run, parse_options(handler, raw)))


def parse_options(handler: str | None, raw: RawOptions) -> PackageOptions:
    """Parse the arguments of `okibi package`.

    Raises:
        BadInput: an argument is wrong.
    """
    target = parse_target(raw.python or default_python(), raw.architecture, raw.format)
    try:
        folder = Path.cwd()
    except FileNotFoundError as error:
        raise BadInput(
            "the current folder has been removed; run cd to the folder of the function"
        ) from error
    output = folder / (raw.output or DEFAULT_OUTPUT)
    if not output.parent.is_dir():
        raise BadInput(f"--output {raw.output}: there is no folder {output.parent}; make it first")
    if output.is_dir():
        raise BadInput(f"--output {raw.output}: is a folder; name a file, as in -o function.zip")
    return PackageOptions(
        handler="" if handler is None else check_handler(handler),
        folder=folder,
        target=target,
        output=output,
        record=raw.record,
        check=None if raw.check is None else Path(raw.check),
    )


async def _run(options: PackageOptions) -> int:
    # In a thread, so that a signal ends the command at once.
    if options.check is not None:
        work = partial(_check, options.check, options.target)
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True)
    with tempfile.TemporaryDirectory(prefix="okibi-package-", ignore_cleanup_errors=True) as folder:
        build = partial(_build, options, Path(folder))
        return await trio.to_thread.run_sync(build, abandon_on_cancel=True)


def _check(file: Path, target: Target) -> int:
    wrong, notes = check_zip(file, target)
    for sentence in (*wrong, *notes):
        write_err(f"{file}: {sentence}")
    if not wrong:
        where = f"Python {target.python_version} on {target.architecture}"
        write_text(f"{file} would load on {where}\n", OUTPUT)
    return REFUSED if wrong else GOOD


def _build(options: PackageOptions, work: Path) -> int:
    work = work.resolve()  # macOS has its temporary folder behind a link
    project = find_project(options.folder, options.output)
    if not project.files:
        raise BadInput(f"{options.folder} has no files; run okibi package in the function's folder")
    made = stage(project, options.handler, options.target, work)
    image = add_start_image(made.staged, record=options.record)
    try:
        zipped = write_zip(made.staged.folder, options.output)
    except OSError as error:
        raise BadInput(f"{options.output}: cannot be written ({error.strerror})") from error
    write_text(_table(made, zipped), OUTPUT)
    size = options.output.stat().st_size
    notes = [
        f"requirements: {_describe(project.requirements, options.folder)}",
        f"start image: {image}",
        *made.notes,
        upload_note(size),
    ]
    for note in notes:
        if note:
            write_err(note)
    target = options.target
    write_text(
        f"{options.output.name}: {format_mb(size)}, for Python {target.python_version} on"
        f" {target.architecture}\n",
        OUTPUT,
    )
    return GOOD


def default_python() -> str:
    """Return the version of this Python if Lambda has it, else the one that okibi prefers."""
    version = sys.version_info[:2]
    return "{}.{}".format(*(version if version in PYTHONS else PREFERRED))


def add_start_image(staged: Staged, *, record: bool) -> str:
    """Add a start image if this okibi can make one; return one line for the report."""
    name = f"{__package__}.start_image"
    if importlib.util.find_spec(name) is None:
        return "none"
    add = cast("Callable[..., str]", importlib.import_module(name).add_start_image)
    return add(staged, record=record)


def _table(made: StagedPackage, zipped: Mapping[str, int]) -> str:
    folder = made.staged.folder
    unzipped = {name: (folder / name).stat().st_size for name in list_files(folder)}
    return render_table(make_parts(made.owners, unzipped, zipped))


def _describe(requirements: Requirements, folder: Path) -> str:
    if requirements.file is None:
        return "none (no uv.lock, pyproject.toml or requirements.txt)"
    return os.path.relpath(requirements.file, folder)
