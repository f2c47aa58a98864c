"""Find the files and the requirements of a function, and read `[tool.okibi.package]`."""

import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

import attrs

from ..project.bad_input import BadInput
from ..project.reader import read_pyproject
from ..project.toml_tables import find_table, list_of, read_table, refuse_mistakes, text
from .start_files import MANIFEST

# Folders that no pattern brings back.
NEVER = frozenset({"__pycache__", "node_modules", ".git"})
# Patterns for names of files and folders that are left out at any depth.
#
# Terraform writes secrets into its state.
LEFT_OUT = (
    ".*", "tests", "build", "dist", "*.egg-info", "*.pyc",
    "pyproject.toml", "uv.lock", "requirements*.txt", "cdk.out", "*.tfstate", "*.tfstate.*",
)  # fmt: skip
# The same, for files directly in the folder: results of earlier builds.
LEFT_OUT_OF_TOP = ("*.zip", "*.whl", "*.cdx.json")
# The first line of the Dockerfile in a folder for `docker build`.
RESULT = "# Made by okibi package, which replaces all of this folder."
TABLE = "[tool.okibi.package]"


@attrs.frozen
class PackageSettings:
    """The table `[tool.okibi.package]` of pyproject.toml.

    Args:
        include: patterns of the user's files to add, although they are left out by default.
        exclude: patterns of files of the package to leave out, such as "*.md" or
            "botocore/data/ec2". Folders match with all that is in them.
        wrapper: the wrapper of a layer that starts okibi, such as "/opt/otel-instrument".
    """

    include: Annotated[Sequence[str], list_of("a list of patterns")] = ()
    exclude: Annotated[Sequence[str], list_of("a list of patterns")] = ()
    wrapper: Annotated[str, text("a path in the layer")] = ""


@attrs.frozen
class Requirements:
    """The list of the function's requirements.

    Args:
        kind: "lock" for a uv.lock, "pyproject", "requirements" for a requirements.txt, or "none".
        file: the file; None for "none".
    """

    kind: Literal["lock", "pyproject", "requirements", "none"] = "none"
    file: Path | None = None


@attrs.frozen
class Project:
    """A function's files, requirements and settings.

    Args:
        folder: the folder of the handler's module.
        files: the user's files, relative to the folder, sorted.
        requirements: the list of requirements.
        settings: the settings of the package.
        unmatched: patterns of `exclude` that match none of the user's files.
    """

    folder: Path
    files: Sequence[str]
    requirements: Requirements
    settings: PackageSettings
    unmatched: Sequence[str] = ()


def find_project(folder: Path, output: Path | None = None) -> Project:
    """Find what belongs to the function of a folder.

    Args:
        folder: the folder of the handler's module.
        output: the file that the command writes; left out of the package.

    Raises:
        BadInput: pyproject.toml or a setting is wrong, or a file cannot be read.
    """
    requirements = find_requirements(folder)
    settings = _read_settings(folder, requirements)
    found = list(_walk(folder, settings))
    files = [name for name in found if is_included(name, settings) and folder / name != output]
    unmatched = [pattern for pattern in settings.exclude if not _is_matched(pattern, found)]
    return Project(folder, sorted(files), requirements, settings, unmatched)


def _is_matched(pattern: str, found: Iterable[str]) -> bool:
    # A folder that another pattern excludes was not entered.
    return any(matches(name, [pattern]) or pattern.startswith(f"{name}/") for name in found)


# -- files


def is_included(name: str, settings: PackageSettings) -> bool:
    """Whether a file of the user's folder goes into the package.

    Args:
        name: the path relative to the folder, with slashes.
        settings: the patterns.
    """
    if matches(name, settings.exclude):
        return False
    return matches(name, settings.include) or not _is_left_out(name)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a path, or a folder above it, matches one of the patterns."""
    parts = name.split("/")
    above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
    return any(
        fnmatchcase(path, pattern.strip("/")) for pattern in patterns for path in reversed(above)
    )


def _is_left_out(name: str) -> bool:
    parts = name.split("/")
    if len(parts) == 1 and any(fnmatchcase(name, pattern) for pattern in LEFT_OUT_OF_TOP):
        return True
    return any(fnmatchcase(part, pattern) for part in parts for pattern in LEFT_OUT)


def _walk(folder: Path, settings: PackageSettings) -> Iterator[str]:
    """Yield all files that may belong to the package, and excluded folders, without the folder.

    Links are followed: a package has no links.
    """

    def walk(path: str, prefix: str, above: tuple[str, ...]) -> Iterator[str]:
        real = os.path.realpath(path)
        if real in above:
            raise BadInput(f"{path} links to a folder above it; exclude it in {TABLE}")
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
        for entry in entries:
            name = prefix + entry.name
            # Bytes that are not UTF-8 are surrogates in Python's text.
            if any("\ud800" <= letter <= "\udfff" for letter in entry.name):
                raise BadInput(f"{name!a}: the name is not UTF-8; rename the file")
            if entry.is_dir():
                if matches(name, settings.exclude):
                    yield name
                elif _is_entered(entry, name, settings):
                    yield from walk(entry.path, f"{name}/", (*above, real))
            elif entry.is_file():
                if not _is_package(entry.path):
                    yield name
            elif entry.is_symlink() and is_included(name, settings):
                raise BadInput(
                    f"{name} links to {os.readlink(entry.path)}, which does not exist; remove the"
                    f" link, or exclude it in {TABLE}"
                )

    return walk(str(folder), "", ())


def _is_entered(entry: os.DirEntry[str], name: str, settings: PackageSettings) -> bool:
    if entry.name in NEVER or os.path.exists(f"{entry.path}/pyvenv.cfg"):
        return False
    if is_result(entry.path):
        return False
    return not _is_left_out(name) or any(
        pattern.startswith(f"{name}/") or matches(name, [pattern]) for pattern in settings.include
    )


def _is_package(file: str) -> bool:
    """Whether a file is a zip that an earlier build has made."""
    if not file.endswith(".zip"):
        return False
    try:
        with zipfile.ZipFile(file) as opened:
            return any(name.endswith(f"lib/{MANIFEST}") for name in opened.namelist())
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def is_result(folder: str) -> bool:
    """Whether an earlier build has made a folder: an image's or a runtime's."""
    try:
        with open(f"{folder}/Dockerfile", encoding="utf-8", errors="replace") as opened:
            return opened.readline().rstrip("\n") == RESULT
    except OSError:
        return False


# -- requirements


def find_requirements(folder: Path) -> Requirements:
    """Find the requirements in a folder, or in the nearest folder above it that has some.

    The search ends at the top of the Git repository, or in the user's home.

    Raises:
        BadInput: a pyproject.toml cannot be read, or has its dependencies in a table of Poetry's.
    """
    for place in (folder, *folder.parents):
        if (found := _requirements_in(place)).file is not None:
            return found
        if (place / ".git").exists() or place == Path.home():
            break
    return Requirements()


def _requirements_in(folder: Path) -> Requirements:
    pyproject, listed = folder / "pyproject.toml", folder / "requirements.txt"
    tables = read_pyproject(pyproject) if pyproject.is_file() else {}
    project = tables.get("project")
    if isinstance(project, dict):
        if (folder / "uv.lock").is_file():
            return Requirements("lock", folder / "uv.lock")
        if "dependencies" in project or not listed.is_file():
            return Requirements("pyproject", pyproject)
    if listed.is_file():
        return Requirements("requirements", listed)
    tools = tables.get("tool")
    if isinstance(tools, dict) and "poetry" in tools:
        raise BadInput(
            f"{pyproject} lists its dependencies for Poetry only; run `poetry export -o"
            " requirements.txt`, or move them to [project]"
        )
    return Requirements()


# -- settings


def _read_settings(folder: Path, requirements: Requirements) -> PackageSettings:
    """Read the settings beside the function, or beside its requirements."""
    files = [folder / "pyproject.toml"]
    if requirements.file is not None:
        files.append(requirements.file.with_name("pyproject.toml"))
    for file in files:
        if file.is_file():
            return parse_settings(read_pyproject(file), str(file))
    return PackageSettings()


def parse_settings(tables: Mapping[str, object], file: str) -> PackageSettings:
    """Parse `[tool.okibi.package]`.

    Args:
        tables: the content of pyproject.toml.
        file: the file's name in errors.

    Raises:
        BadInput: the table has mistakes: one line each.
    """
    mistakes = list[str]()
    tool = find_table("", tables, "tool", mistakes)
    okibi = find_table("tool", tool, "okibi", mistakes)
    package = find_table("tool.okibi", okibi, "package", mistakes)
    settings = read_table(PackageSettings, "tool.okibi.package", package, mistakes)
    refuse_mistakes(file, mistakes)
    assert settings is not None, "each key has a default"
    return settings
