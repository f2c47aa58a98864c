"""Write the start image of a package: `lib/okibi.image`.

The image has the modules that a recorded start imported from the package, all modules of okibi, and
what attrs, `re` and `namedtuple` compiled. `okibi.runtime.startup.start_image` imports from it.
"""

import csv
import json
import os
import platform
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from ...runtime.startup.attrs_cache import stable_text
from ...runtime.startup.start_image import FORMAT, IMAGE, MANIFEST
from ..arguments import BadInput
from .recording import (
    AttrsText,
    RecordedModule,
    Recording,
    in_environment,
    in_package,
    record_start,
)
from .staging import Staged

__all__ = ["Parts", "add_start_image"]

COMPILER = Path(__file__).with_name("image_compiler.py")
COMPILE_LIMIT = 300.0
TASK_ROOT = "/var/task"
EMPTY_HANDLER = "def handler(event, context):\n    return None\n"
LOADER = "SourceFileLoader"


@attrs.frozen
class Parts:
    """What an image has; benchmarks leave parts out.

    Args:
        modules: the code of modules.
        attrs: the code of texts that attrs writes.
        patterns: the programs of patterns, and the constructors of namedtuples.
        others: the modules of other packages than okibi and what okibi needs.
    """

    modules: bool = True
    attrs: bool = True
    patterns: bool = True
    others: bool = True


@attrs.frozen
class ImageModule:
    """A module for the image.

    Args:
        file: relative to the package.
        is_checked: whether the source is compared at each start.
    """

    file: str
    is_checked: bool

    @property
    def place(self) -> tuple[str, str]:
        """The folder in which the module is found, and the last part of its name."""
        path = self.file.removesuffix("/__init__.py").removesuffix(".py")
        folder, _, name = path.rpartition("/")
        return folder, name


def add_start_image(
    staged: Staged, *, record: bool, source: Path | None = None, parts: Parts | None = None
) -> str:
    """Write the start image of a package, and note its checksum in the manifest.

    The start is recorded from the package. If this machine cannot run the package (another
    processor or system), the start of the function's own folder in this environment is recorded;
    the image then has each module whose source is the same in the package.

    Args:
        staged: the package, with its manifest.
        record: whether to start `staged.handler`. Otherwise the image has what okibi imports.
        source: the function's own folder.
        parts: what to leave out.

    Returns:
        A line for the report.
    """
    # An earlier image would be used by the start that is recorded.
    (staged.lib / IMAGE).unlink(missing_ok=True)
    if staged.interpreter is None:
        return f"none: this machine has no Python {staged.target.python_version}"
    runs_here = (staged.target.machine, "Linux") == (platform.machine(), platform.system())
    with tempfile.TemporaryDirectory(prefix="okibi-empty-") as empty:
        place = in_package(staged) if runs_here else in_environment(source or Path(empty))
        handler = staged.handler
        if not (record and handler) or (source is None and not runs_here):
            Path(empty, "okibi_empty.py").write_text(EMPTY_HANDLER)
            place, handler = attrs.evolve(place, task_root=Path(empty)), "okibi_empty.handler"
        try:
            with unchanged(staged.folder):
                recording = record_start(place, handler)
        except OSError as error:
            return f"none: {place.python[0]} does not start: {error}"
    return write_image(staged, recording, parts or Parts())


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
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
    """Return what changes when a file is written, by path; None for a folder."""
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
        recording: what a start imported.
        parts: what to leave out.

    Returns:
        A line for the report.
    """
    modules = choose_modules(staged, recording, parts)
    manifest = staged.lib / MANIFEST
    described: dict[str, Any] = json.loads(manifest.read_bytes())
    order = {
        "format": FORMAT,
        "machine": staged.target.machine,
        "package": described["hash"],
        "folder": str(staged.folder),
        "root": TASK_ROOT,
        "modules": [(*each.place, each.file, each.is_checked) for each in modules],
        "attrs": [
            (stable_text(each.source), each.filename, each.source, each.flags)
            for each in (unique_texts(recording) if parts.attrs else ())
        ],
        "namedtuples": sorted(recording.namedtuples) if parts.patterns else [],
        "patterns": sorted_patterns(recording) if parts.patterns else [],
    }
    image = staged.lib / IMAGE
    done = subprocess.run(
        [str(staged.interpreter), "-S", "-P", "-B", str(COMPILER), str(image)],
        input=json.dumps(order).encode(),
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
    size = image.stat().st_size / 1e6
    line = f"{result['modules']} modules, {size:.1f} MB"
    if recording.problem:
        line += (
            f": what was imported before the start failed here ({recording.problem}); --no-record "
            "does not start the function"
        )
    return line


def choose_modules(staged: Staged, recording: Recording, parts: Parts) -> list[ImageModule]:
    """Choose the modules of an image, sorted by file.

    Args:
        staged: the package.
        recording: what a start imported.
        parts: what to leave out.
    """
    lib = staged.lib.relative_to(staged.folder).as_posix()
    imported = {file for each in recording.modules if (file := find_file(staged, each))}
    okibis = {
        file.relative_to(staged.folder).as_posix() for file in (staged.lib / "okibi").rglob("*.py")
    }
    if not parts.modules:
        # attrs gets its cache when this module is imported from the image.
        imported, okibis = imported & {f"{lib}/attr/_make.py"}, set[str]()
    if not parts.others:
        imported = {file for file in imported if file.startswith(f"{lib}/")}
    # Whatever no installer has written is the user's, in a folder `lib` too.
    installed = installed_files(staged.folder)
    installed |= {f"{lib}/{name}" for name in installed_files(staged.lib)}
    return [ImageModule(file, file not in installed) for file in sorted(imported | okibis)]


def find_file(staged: Staged, module: RecordedModule) -> str:
    """Return a recorded module's file in the package; "" if the package has none, or another.

    Args:
        staged: the package.
        module: a module that was imported from the package, or in this environment.
    """
    if module.loader != LOADER or not module.file.endswith(".py"):
        return ""
    file = Path(module.file)
    if file.is_relative_to(staged.folder):
        return file.relative_to(staged.folder).as_posix() if file.is_file() else ""
    path = module.name.replace(".", "/") + ("/__init__.py" if module.is_package else ".py")
    for own in (staged.lib / path, staged.folder / path):
        if own.is_file() and file.is_file() and own.read_bytes() == file.read_bytes():
            return own.relative_to(staged.folder).as_posix()
    return ""


def installed_files(folder: Path) -> set[str]:
    """Return the files that an installer wrote into a folder, by the RECORD of each package."""
    found = set[str]()
    for record in folder.glob("*.dist-info/RECORD"):
        with record.open(newline="", encoding="utf-8") as file:
            found.update(row[0] for row in csv.reader(file) if row)
    return found


def sorted_patterns(recording: Recording) -> list[tuple[str, bool, int]]:
    """Return the recorded patterns as JSON takes them: text, whether it is of bytes, flags."""
    return sorted(
        (each, False, flags) if isinstance(each, str) else (each.decode("latin-1"), True, flags)
        for each, flags in recording.patterns
    )


def unique_texts(recording: Recording) -> Iterable[AttrsText]:
    """Return the texts that attrs compiled, each once, sorted."""
    texts = {(stable_text(each.source), each.filename): each for each in recording.attrs_texts}
    return [texts[key] for key in sorted(texts)]
