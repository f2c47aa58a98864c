"""`okibi new`: write a small tested project into a new folder."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from ...project.bad_input import BadInput

# A paragraph that starts with \b keeps its lines (click).
EXAMPLES = """\b
Examples:
  okibi new hello"""

OUTPUT = "the next steps"
PROJECT = Path(__file__).parent.parent / "new" / "project"
# The files are no Python files before they are rendered: pytest would collect their tests.
SUFFIX = ".template"

NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_-]{0,58}[A-Za-z0-9])?")
NEXT_STEPS = """\
{files}

Next:
  cd {name}
  okibi dev     # serves the function on http://127.0.0.1:9000, and reloads it when you save
  pytest        # runs its tests (pip install pytest)
"""


def parse_name(name: str) -> str:
    """Return the name of a project if it is one.

    Raises:
        BadInput: the name is none.
    """
    if not NAME.fullmatch(name):
        raise BadInput(
            f"name {name!r}: must be at most 60 letters, digits, - and _, a letter first and no -"
            " or _ last, as in okibi new hello"
        )
    if name.lower() == "okibi":
        raise BadInput(f"name {name!r}: the project depends on okibi; give another name")
    return name


ProjectName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", parser=parse_name, help="Folder, project and function, e.g. hello."
    ),
]


def new(name: ProjectName) -> int:
    """Write a small tested project into a new folder.

    It has a handler, an actor, their tree, a test, and a pyproject.toml that okibi dev, package,
    template and deploy read.

    Exit code: 0, or 2 for bad input.
    """
    from ..output import write_text
    from ..until_signal import run_command

    async def write() -> int:
        folder, project = Path(name), render_project(name)
        _write(folder, project)
        written = "\n".join(f"wrote {folder / path}" for path in project)
        write_text(NEXT_STEPS.format(files=written, name=name), OUTPUT)
        return 0

    return run_command(OUTPUT, lambda: write)


def render_project(name: str) -> dict[str, str]:
    """Return the files of a new project: each path with its content.

    Args:
        name: the project's name.

    Example:
        >>> sorted(render_project("my_app"))
        ['.gitignore', 'README.md', 'app.py', 'pyproject.toml', 'tests/test_app.py']
    """
    from ...project.settings import as_stack_name

    names = {"name": name, "function": as_stack_name(name)}
    return dict(_render(names))


def _render(names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for file in sorted(PROJECT.rglob(f"*{SUFFIX}")):
        path = file.relative_to(PROJECT).as_posix().removesuffix(SUFFIX)
        # A leading dot would hide the file from tools that build packages.
        path = ".gitignore" if path == "gitignore" else path
        yield path, Template(file.read_text("utf-8")).substitute(names)


def _write(folder: Path, project: Mapping[str, str]) -> None:
    """Write the files of a project.

    Raises:
        BadInput: the folder has files, or cannot be written.
    """
    try:
        if folder.is_symlink() or folder.exists():
            if not folder.is_dir():
                raise BadInput(f"{folder}: a file with this name exists; give another name")
            if any(folder.iterdir()):
                raise BadInput(f"{folder}: the folder has files already; give another name")
        for path, content in project.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as opened:
                opened.write(content)
    except OSError as error:
        raise BadInput(
            f"{error.filename}: cannot be written ({error.strerror}); run okibi new in a folder"
            " that you may write to"
        ) from error
