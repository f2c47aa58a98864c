"""Write the start image of a package: `lib/okibi.image`.

The image has the modules that a recorded start imported from the package, all modules of okibi,
what attrs, `re`, `namedtuple` and `typing` made, and the names of the files that the start read
from the standard library. `okibi.runtime.startup.start_image` imports from it.
"""

import csv
import json
import marshal
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from ..project.bad_input import BadInput
from ..runtime.startup.start_image import FORMAT, IMAGE, MANIFEST
from .failed_start import FailedStart, find_missing
from .project import Project
from .recipe_recorder import PACKAGES
from .recording import RecordedModule, Recording, in_environment, in_package, record_start
from .size_limits import format_mb
from .staging import Staged

COMPILER = Path(__file__).with_name("image_compiler.py")
COMPILE_LIMIT = 300.0
TASK_ROOT = "/var/task"
EMPTY_HANDLER = "def handler(event, context):\n    return None\n"
# Classes that load a source: Python's, and okibi's for the standard library.
LOADERS = ("SourceFileLoader", "LibraryLoader")
# Beginnings of the names of variables that Lambda sets.
OF_LAMBDA = ("AWS_", "LAMBDA_", "_")
SHORTENED = (*PACKAGES, "sniffio", "sortedcontainers")
# The formats that run on AWS's own Python, which has boto3.
AWS_FORMATS = ("managed", "image")


@attrs.frozen
class Parts:
    """The parts of an image. Benchmarks leave parts out.

    Args:
        modules: whether the image has the code of modules.
        attrs: whether the image has the recipes of attrs' classes.
        patterns: whether the image has the programs of patterns, and the code of texts that
            `namedtuple` and `typing` compile.
        others: whether the image has modules of packages that okibi does not need.
    """

    modules: bool = True
    attrs: bool = True
    patterns: bool = True
    others: bool = True


@attrs.frozen
class ImageReport:
    """The lines about a start image in the report.

    Args:
        line: the size of the image, or the reason for a package without one.
        import_times: milliseconds by top-level module; None if the function was not started.
        warning: an error that the function has on Lambda too, in one line; "" without one.
        unset: the variables that the start needs, and that neither Lambda nor the project sets.
    """

    line: str
    import_times: Mapping[str, float] | None = None
    warning: str = ""
    unset: Sequence[str] = ()


@attrs.frozen
class ImageModule:
    """A module for the image.

    Args:
        file: the path in the package.
        is_checked: whether the source is compared at each start.
        is_grouped: whether a start reads it together with others.
    """

    file: str
    is_checked: bool
    is_grouped: bool

    @property
    def place(self) -> tuple[str, str]:
        """The folder in which the module is found, and the last part of its name."""
        path = self.file.removesuffix("/__init__.py").removesuffix(".py")
        folder, _, name = path.rpartition("/")
        return folder, name


def add_start_image(
    staged: Staged,
    *,
    record: bool,
    project: Project | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
    parts: Parts | None = None,
) -> ImageReport:
    """Write the start image of a package, and note its checksum in the manifest.

    The start is recorded from the package. If this machine cannot run the package (another
    processor or system), the start of a copy of the user's files in this environment is recorded.
    The image then has each module whose source is the same in the package.

    Args:
        staged: the package, with its manifest.
        record: whether to start `staged.handler`. Otherwise the image has what okibi imports.
        project: the user's files and requirements.
        environment: the function's own environment variables.
        parts: the parts to write; None for all.

    Returns:
        The lines for the report.

    Raises:
        BadInput: the start has changed or removed a file of the package.
    """
    # A recorded start would use an earlier image.
    (staged.lib / IMAGE).unlink(missing_ok=True)
    if staged.interpreter is None:
        return ImageReport(f"none: this machine has no Python {staged.target.python_version}")
    runs_here = (staged.target.machine, "Linux") == (platform.machine(), platform.system())
    is_started = record and staged.handler != "" and (runs_here or project is not None)
    with tempfile.TemporaryDirectory(prefix="okibi-start-") as folder:
        root, handler = Path(folder), staged.handler
        place = in_package(staged) if runs_here else in_environment(root)
        if not is_started:
            (root / "okibi_empty.py").write_text(EMPTY_HANDLER)
            place, handler = attrs.evolve(place, task_root=root), "okibi_empty.handler"
        elif not runs_here and project is not None:
            copy_files(project, root)
        try:
            with unchanged(staged.folder):
                recording = record_start(place, handler, environment=environment)
        except OSError as error:
            return ImageReport(f"none: {place.python[0]} does not start: {error}")
        # The copy of the user's files still exists here: their sources are compared.
        line = write_image(staged, recording, parts or Parts())
    if not is_started:
        return ImageReport(line)
    times = recording.import_times()
    unset = sorted(name for name in recording.unset if not name.startswith(OF_LAMBDA))
    if recording.early_end:
        line = f"{line}: patterns and classes until the start with placeholders failed"
        return ImageReport(f"{line} ({recording.early_end})", times, unset=unset)
    if not recording.problem:
        return ImageReport(line, times, unset=unset)
    failed = describe_failure(staged, recording.problem, project, is_elsewhere=not runs_here)
    return ImageReport(f"{line}: {failed.note()}", times, failed.warning(), unset)


def copy_files(project: Project, into: Path) -> None:
    """Copy the user's files of a package: a start may write beside them."""
    for name in project.files:
        to = into / name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project.folder / name, to)


def describe_failure(
    staged: Staged, problem: str, project: Project | None, *, is_elsewhere: bool
) -> FailedStart:
    """Find out whether a start that failed here fails on Lambda too.

    Args:
        staged: the package.
        problem: the reason for the failed start.
        project: the user's files and requirements.
        is_elsewhere: whether the start was not recorded from the package.
    """
    missing, listed = find_missing(problem), "requirements.txt"
    if project is not None and (file := project.requirements.file) is not None:
        listed = "pyproject.toml" if project.requirements.kind == "lock" else file.name
    is_packaged = any(has_module(folder, missing) for folder in (staged.folder, staged.lib))
    return FailedStart(
        staged.handler,
        problem,
        requirements=listed,
        is_elsewhere=is_elsewhere,
        has_aws_modules=staged.target.format in AWS_FORMATS,
        is_packaged=is_packaged,
        is_left_out=(
            project is not None and not is_packaged and has_module(project.folder, missing)
        ),
    )


def has_module(folder: Path, name: str) -> bool:
    """Whether a folder has a top-level module: a package, a source or a compiled file."""
    files = folder.glob(f"{name}.*") if name else ()
    is_file = any(file.suffix in (".py", ".so") for file in files)
    return is_file or (name != "" and (folder / name).is_dir())


@contextmanager
def unchanged(folder: Path) -> Generator[None]:
    """Remove the files that a start writes into its package: they may hold secrets.

    Raises:
        BadInput: the start has changed or removed a file of the package.
    """
    before = list_states(folder)
    try:
        yield
    finally:
        after = list_states(folder)
        for path in sorted(after.keys() - before.keys(), reverse=True):
            if after[path] is None:
                path.rmdir()
            else:
                path.unlink()
    if changed := sorted(path for path in before if after.get(path, ()) != before[path]):
        raise BadInput(
            f"the function's start changes {changed[0].relative_to(folder)}, which it cannot on"
            " Lambda; correct that, or add --no-record"
        )


def list_states(folder: Path) -> dict[Path, tuple[int, ...] | None]:
    """Return mode, size and time of each file, by path; None for a folder."""
    found: dict[Path, tuple[int, ...] | None] = {}
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(top, name)
            state = path.lstat()
            is_folder = stat.S_ISDIR(state.st_mode)
            key = (state.st_mode, state.st_size, state.st_mtime_ns)
            found[path] = None if is_folder else key
    return found


def write_image(staged: Staged, recording: Recording, parts: Parts) -> str:
    """Compile an image for a recording.

    Args:
        staged: the package.
        recording: a recorded start.
        parts: the parts to write.

    Returns:
        The size of the image, or why there is no image; one line.
    """
    modules = choose_modules(staged, recording, parts)
    manifest = staged.lib / MANIFEST
    lib = staged.lib.relative_to(staged.folder).as_posix()
    described: dict[str, Any] = json.loads(manifest.read_bytes())
    order = {
        "format": FORMAT,
        "machine": staged.target.machine,
        "package": described["hash"],
        "folder": str(staged.folder),
        "root": TASK_ROOT,
        "modules": [(*each.place, each.file, each.is_checked, each.is_grouped) for each in modules],
        "shortened": [f"{lib}/{name}/" for name in SHORTENED],
        "library": list_library(staged, recording) if parts.modules else [],
        **list_compiled(keep_recipes(staged, recording), parts),
    }
    image = staged.lib / IMAGE
    done = subprocess.run(
        [str(staged.interpreter), "-S", "-P", "-B", str(COMPILER), str(image)],
        # Format 2 is the same in every Python.
        input=marshal.dumps(order, 2),
        env={"PYTHONHASHSEED": "0"},
        capture_output=True,
        timeout=COMPILE_LIMIT,
    )
    if done.returncode != 0:
        image.unlink(missing_ok=True)
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return f"none: {staged.interpreter} failed: {said[-1] if said else ''}"
    result = json.loads(done.stdout)
    described["start_image"] = result["checksum"]
    manifest.write_text(json.dumps(described, indent=2) + "\n")
    return f"{result['modules']} modules, {format_mb(image.stat().st_size)}"


def choose_modules(staged: Staged, recording: Recording, parts: Parts) -> list[ImageModule]:
    """Choose the modules of an image, sorted by file.

    Args:
        staged: the package.
        recording: a recorded start.
        parts: the parts to write.
    """
    lib = staged.lib.relative_to(staged.folder).as_posix()
    imported = {file for each in recording.modules if (file := find_file(staged, each))}
    okibis = {
        file.relative_to(staged.folder).as_posix() for file in (staged.lib / "okibi").rglob("*.py")
    }
    if not parts.modules:
        imported, okibis = set[str](), set[str]()
    if not parts.others:
        imported = {file for file in imported if file.startswith(f"{lib}/")}
    # A file is the user's if no installer has written it. The user may have a folder `lib` too.
    installed = installed_files(staged.folder)
    installed |= {f"{lib}/{name}" for name in installed_files(staged.lib)}
    library = f"lib/python{staged.target.python_version}/"
    found = list[ImageModule]()
    for file in sorted(imported | okibis):
        is_library = staged.target.format == "bundled" and file.startswith(library)
        is_checked = file not in installed and not is_library
        found.append(ImageModule(file, is_checked, file in imported and not is_checked))
    return found


def find_file(staged: Staged, module: RecordedModule) -> str:
    """Return a recorded module's file in the package; "" if the package has none, or another.

    Args:
        staged: the package.
        module: a module that was imported from the package, or in this environment.
    """
    if module.loader not in LOADERS or not module.file.endswith(".py"):
        return ""
    file = Path(module.file)
    if file.is_relative_to(staged.folder):
        return file.relative_to(staged.folder).as_posix() if file.is_file() else ""
    path = module.name.replace(".", "/") + ("/__init__.py" if module.is_package else ".py")
    for own in (staged.lib / path, staged.folder / path):
        if own.is_file() and file.is_file() and own.read_bytes() == file.read_bytes():
            return own.relative_to(staged.folder).as_posix()
    return ""


def list_library(staged: Staged, recording: Recording) -> list[str]:
    """Return the files of the standard library that a start reads, sorted.

    Args:
        staged: the staged package. Modules that it contains are skipped.
        recording: a recorded start.

    Returns:
        Bytecode and extension modules as the target's Python names them, relative to its library.
    """
    target = staged.target
    tag = "cpython-{}{}".format(*target.python)
    files = set[str]()
    for module in recording.modules:
        if module.name.partition(".")[0] not in sys.stdlib_module_names:
            continue
        folder, _, stem = module.name.replace(".", "/").rpartition("/")
        if module.is_package:
            folder, stem = f"{folder}/{stem}", "__init__"
        if module.loader in LOADERS and not find_file(staged, module):
            files.add(f"{folder}/__pycache__/{stem}.{tag}.pyc".removeprefix("/"))
        elif "/lib-dynload/" in module.file:
            files.add(f"lib-dynload/{stem}.{tag}-{target.machine}-linux-gnu.so")
    return sorted(files)


def installed_files(folder: Path) -> set[str]:
    """Return the files that an installer wrote into a folder, by the RECORD of each package."""
    found = set[str]()
    for record in folder.glob("*.dist-info/RECORD"):
        with record.open(newline="", encoding="utf-8") as file:
            found.update(row[0] for row in csv.reader(file) if row)
    return found


def keep_recipes(staged: Staged, recording: Recording) -> Recording:
    """Return a recording without the recipes that do not fit the package.

    A recipe fits the Python, the platform, the attrs and the class's module that were recorded.

    Args:
        staged: the package.
        recording: a recorded start.
    """
    files = {module.name: find_file(staged, module) for module in recording.modules}
    of_attrs = {name: file for name, file in files.items() if name.partition(".")[0] == "attr"}
    if recording.platform != ("linux", *staged.target.python) or not all(of_attrs.values()):
        return attrs.evolve(recording, attrs_texts=(), classes=())
    classes = tuple(each for each in recording.classes if files.get(each.module))
    return attrs.evolve(recording, classes=classes)


def list_compiled(recording: Recording, parts: Parts) -> dict[str, object]:
    """Return the entries of an order with what attrs, `re`, `namedtuple` and `typing` have made.

    Args:
        recording: a recorded start.
        parts: the parts to write.
    """
    # A second class of the same name may have other fields.
    count = Counter((each.module, each.name) for each in recording.classes)
    recipes = sorted(
        (each.module, each.name, each.recipe)
        for each in recording.classes
        if each.recipe is not None and count[each.module, each.name] == 1
    )
    texts = sorted((each.filename, each.source, each.flags) for each in recording.attrs_texts)
    return {
        "attrs": texts if parts.attrs else [],
        "recipes": recipes if parts.attrs else [],
        "expressions": sorted(recording.expressions) if parts.patterns else [],
        "patterns": sorted(recording.patterns, key=repr) if parts.patterns else [],
    }
