"""`okibi package`: build the zip of a function, or check a zip that was made otherwise."""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import attrs
import trio

from ..packaging.archive import list_files, write_zip
from ..packaging.bundled_cpython import PROGRAM
from ..packaging.layouts.image import write_image
from ..packaging.layouts.image_context import check_context
from ..packaging.layouts.layer import arrange_layer, place_in_layer
from ..packaging.layouts.runtime import write_runtime
from ..packaging.project import Project, Requirements, find_project
from ..packaging.refusals import upload_note
from ..packaging.sbom import write_sbom
from ..packaging.secret_files import find_secrets, secrets_note
from ..packaging.size_limits import format_mb
from ..packaging.size_report import check_sizes, make_parts, render_table
from ..packaging.staging import Staged, StagedPackage, measure_files, stage
from ..packaging.start_files import seal_image
from ..packaging.start_image import add_start_image
from ..packaging.targets import Target, parse_target
from ..packaging.zip_check import check_zip
from ..project.arguments import find_current_folder
from ..project.bad_input import BadInput
from ..project.local_settings import make_environment
from ..project.reader import read_project
from ..project.settings import ProjectFunction, ProjectSettings, check_handler, choose_function
from .output import write_err, write_text

GOOD, REFUSED = 0, 1
OUTPUT = "the report"
DEFAULT_OUTPUT = "function.zip"
DEFAULT_OUTPUTS = {"layer": "layer.zip", "image": "image", "runtime": "okibi-runtime"}
FOLDERS = ("image", "runtime")
WITHOUT_FUNCTION = ("layer", "runtime")
# The bytes of a file in which a private key is looked for.
BEGINNING = 16_384


@attrs.frozen
class PackagePlan:
    """The function to package, and the target.

    Args:
        folder: the folder of the function.
        handler: `module.name`; "" for a package without a handler.
        target: the Lambda runtime that the package is for.
        cpython: the program of the CPython to bundle; None for all other formats.
        environment: the function's own environment variables, for the recorded start.
    """

    folder: Path
    handler: str
    target: Target
    cpython: Path | None = None
    environment: Mapping[str, str] = MappingProxyType({})


def plan_package(
    asked: str | None,
    python: str | None,
    architecture: str | None,
    layout: str,
    interpreter: Path | None,
) -> PackagePlan:
    """Plan a package of the current folder. The arguments win over [tool.okibi].

    Args:
        asked: `module.name`, as in `_HANDLER`, or a name in [tool.okibi.functions]; None for the
            only function there, or for a package without a handler.
        python, architecture: the target; None: as in pyproject.toml.
        layout: the format of the package.
        interpreter: the program of the CPython to bundle.

    Raises:
        BadInput: an argument, or pyproject.toml, is wrong.
    """
    folder = find_current_folder()
    project = read_project(folder)
    function = find_function(project, asked)
    of_table = project if function is None else function
    cpython = None if interpreter is None else interpreter.absolute()
    target = parse_target(
        python or python_in_name(cpython) or of_table.python,
        architecture or of_table.architecture,
        layout,
    )
    if asked is None and target.format in WITHOUT_FUNCTION:
        function = None
    if function is None:
        return PackagePlan(folder, "", target, cpython)
    handler = check_handler(function.handler)
    return PackagePlan(folder, handler, target, cpython, make_environment(function))


def choose_output(folder: Path, output: Path | None, target: Target) -> Path:
    """Choose the file to write; the folder, for an image and a runtime.

    Raises:
        BadInput: nothing can be written there.
    """
    chosen = folder / (output or DEFAULT_OUTPUTS.get(target.format, DEFAULT_OUTPUT))
    if not chosen.parent.is_dir():
        raise BadInput(f"--output {output}: there is no folder {chosen.parent}; make it first")
    if target.format in FOLDERS:
        check_context(chosen)
    elif chosen.is_dir():
        raise BadInput(f"--output {output}: is a folder; name a file, as in -o function.zip")
    return chosen


def find_function(project: ProjectSettings, asked: str | None) -> ProjectFunction | None:
    """Find the function to package: the one asked for, else the only one of the project.

    Raises:
        BadInput: there is no such function.
    """
    if asked is None and len(project.functions) != 1:
        return None
    return choose_function(project, asked)


def check_format(plan: PackagePlan) -> None:
    """Check that handler and interpreter are given exactly where the format needs them.

    Raises:
        BadInput: the handler or the interpreter is missing, or is of no use.
    """
    target, handler, cpython = plan.target, plan.handler, plan.cpython
    name = target.format
    if name == "bundled" and cpython is None:
        raise BadInput(
            "--format bundled needs the CPython to bundle; add --interpreter"
            f" /opt/python{target.python_version}/bin/python{target.python_version}"
        )
    if name != "bundled" and cpython is not None:
        raise BadInput(f"--interpreter is for --format bundled, and this is {name}; leave it out")
    if name == "image" and not handler:
        raise BadInput("--format image needs the handler for the image's CMD; add app.handler")
    if name in WITHOUT_FUNCTION and handler:
        raise BadInput(
            f"--format {name} has no function in it, so leave out {handler}: functions name their"
            " handlers themselves"
        )


def python_in_name(cpython: Path | None) -> str | None:
    """Return the version in the name of a CPython's program; None without one."""
    found = None if cpython is None else PROGRAM.fullmatch(cpython.resolve().name)
    return None if found is None else f"{found[1]}.{found[2]}"


async def check_package(file: Path, target: Target) -> int:
    """Check a zip, and print what would not work.

    Returns:
        The exit code: 0 if the zip would load, 1 if not.

    Raises:
        BadInput: the file cannot be read.
    """
    # In a thread, so that a signal ends the command at once.
    return await trio.to_thread.run_sync(_check, file, target, abandon_on_cancel=True)


async def build_package(
    plan: PackagePlan, output: Path, *, record: bool, sbom: Path | None = None
) -> int:
    """Build a package, and print its sizes.

    Args:
        plan: the function and the target.
        output: the file or folder to write.
        record: whether to run the function's init twice, for the start image.
        sbom: the file for a CycloneDX document of what the package contains.

    Returns:
        The exit code 0.

    Raises:
        BadInput: no package can be built.
    """
    with tempfile.TemporaryDirectory(prefix="okibi-package-", ignore_cleanup_errors=True) as folder:
        build = partial(_build, plan, output, record, Path(folder), sbom)
        return await trio.to_thread.run_sync(build, abandon_on_cancel=True)


def _check(file: Path, target: Target) -> int:
    wrong, notes = check_zip(file, target)
    for sentence in (*wrong, *notes):
        write_err(f"{file}: {sentence}")
    if not wrong:
        where = f"Python {target.python_version} on {target.architecture}"
        write_text(f"{file} would load on {where}\n", OUTPUT)
    return REFUSED if wrong else GOOD


def _build(
    plan: PackagePlan, output: Path, record: bool, work: Path, sbom: Path | None = None
) -> int:
    work = work.resolve()  # macOS has its temporary folder behind a link
    target = plan.target
    project = find_project(plan.folder, output)
    if target.format in WITHOUT_FUNCTION:
        project = attrs.evolve(project, files=())
    elif not project.files:
        raise BadInput(f"{plan.folder} has no files; run okibi package in the function's folder")
    made = stage(project, plan.handler, target, work, plan.cpython)
    image = add_start_image(
        made.staged, record=record, project=project, environment=plan.environment
    )
    seal_image(made.staged.lib)
    unzipped = measure_files(made.staged.folder, list_files(made.staged.folder))
    if too_large := check_sizes(make_parts(made.owners, unzipped, {}), target):
        raise BadInput(too_large)
    zipped, size = _write(made.staged, output, unzipped)
    if sbom is not None:
        _write_sbom(made, plan, sbom)
    parts = make_parts(made.owners, unzipped, zipped, image.import_times)
    write_text(render_table(parts), OUTPUT)
    notes = [
        f"requirements: {_describe(project.requirements, plan.folder)}",
        f"start image: {image.line}",
        describe_unset(image.unset),
        *made.notes,
        secrets_note(find_secrets(project.files, partial(_read_beginning, project))),
        "" if target.format in FOLDERS else upload_note(size),
        image.warning,
    ]
    for note in notes:
        if note:
            write_err(note)
    write_text(
        f"{output.name}: {format_mb(size)}, for Python {target.python_version} on"
        f" {target.architecture}\n",
        OUTPUT,
    )
    return GOOD


def _write_sbom(made: StagedPackage, plan: PackagePlan, file: Path) -> None:
    target = made.staged.target
    facts = {
        "okibi:format": target.format,
        "okibi:python": target.python_version,
        "okibi:architecture": target.architecture,
    }
    text = write_sbom(plan.handler or plan.folder.name, version("okibi"), made.components, facts)
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        raise BadInput(f"--sbom {file}: cannot be written ({error.strerror})") from error


def describe_unset(names: Sequence[str]) -> str:
    """Say which variables a start needs that nothing sets; "" without such a variable."""
    if not names:
        return ""
    return (
        f"variables: the start needs {', '.join(names)}; set each on Lambda, or in environment of"
        " the function's table in pyproject.toml"
    )


def _read_beginning(project: Project, name: str) -> bytes:
    # A certificate may stand before its key.
    with (project.folder / name).open("rb") as file:
        return file.read(BEGINNING)


def _write(
    staged: Staged, output: Path, unzipped: Mapping[str, int]
) -> tuple[Mapping[str, int], int]:
    """Write the package; return the compressed size of each file, and the size of all."""
    if staged.target.format == "image":
        write_image(staged, output)
        return {}, sum(unzipped.values())
    if staged.target.format == "runtime":
        write_runtime(staged, output)
        return {}, sum(unzipped.values())
    place: Callable[[str], str] = str
    if staged.target.format == "layer":
        arrange_layer(staged)
        place = place_in_layer
    try:
        zipped = write_zip(staged.folder, output)
    except OSError as error:
        raise BadInput(f"{output}: cannot be written ({error.strerror})") from error
    return {name: zipped[place(name)] for name in unzipped}, output.stat().st_size


def _describe(requirements: Requirements, folder: Path) -> str:
    if requirements.file is None:
        return "none (no uv.lock, pyproject.toml or requirements.txt)"
    return os.path.relpath(requirements.file, folder)
