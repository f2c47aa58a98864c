"""Read [tool.okibi] of pyproject.toml.

A mistake is one sentence that names the table, the key, and what was expected; one run reports all
mistakes.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import attrs

from .bad_input import BadInput
from .input_files import read_text
from .pythons import default_python
from .settings import (
    RUNTIMES,
    AuthorizerSettings,
    ProjectFunction,
    ProjectSettings,
    RuntimeSettings,
    as_stack_name,
)
from .toml_tables import (
    add_broken_rules,
    find_table,
    one_of,
    read_keys,
    read_table,
    refuse_mistakes,
    text,
)

TABLE = "tool.okibi"
VARIABLE = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")
RUNTIME_KEYS = ("runtime", "image", "runtime_config")


def read_project(folder: Path) -> ProjectSettings:
    """Read pyproject.toml of a folder; a folder without one is a project without functions.

    Raises:
        BadInput: the file cannot be read, or has mistakes: one line each.
    """
    path = folder / "pyproject.toml"
    content = read_pyproject(path) if path.exists() else {}
    project, mistakes = parse_project(content, folder.resolve().name, default_python())
    refuse_mistakes(path.name, mistakes)
    return project


def read_pyproject(path: Path) -> dict[str, Any]:
    """Read a pyproject.toml.

    Raises:
        BadInput: the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(read_text(path, str(path)))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: not TOML ({error}); correct the file there") from error
    except RecursionError as error:
        raise BadInput(f"{path}: nested too deeply; correct the file") from error


def parse_project(
    content: Mapping[str, object], folder: str, python: str = "3.13"
) -> tuple[ProjectSettings, list[str]]:
    """Parse the content of pyproject.toml.

    Args:
        content: the content, read by `tomllib`.
        folder: the folder's name, for a project without a name.
        python: the Python version of functions that name none.

    Returns:
        The settings, and a sentence for each mistake.
    """
    mistakes = list[str]()
    project, tool = (find_table("", content, key, mistakes) for key in ("project", "tool"))
    table = find_table("tool", tool, "okibi", mistakes)
    # `okibi.packaging.project` reads the table of the package.
    values = read_keys(ProjectSettings, TABLE, table, mistakes, ("functions", "package"))
    name = as_stack_name(str(project.get("name") or folder))
    keys: dict[str, Any] = {"python": python, **values}
    settings = ProjectSettings(name, **keys)
    tables = find_table(TABLE, table, "functions", mistakes)
    functions = {
        each: _read_function(
            each, find_table(f"{TABLE}.functions", tables, each, mistakes), settings, mistakes
        )
        for each in tables
    }
    return attrs.evolve(settings, functions=functions), mistakes


# -- one function


def _read_function(
    name: str, table: Mapping[str, object], project: ProjectSettings, mistakes: list[str]
) -> ProjectFunction:
    title = f"{TABLE}.functions.{name}"
    others = {"environment", *RUNTIME_KEYS}
    defaults: dict[str, Any] = {
        "handler": "", "python": project.python, "architecture": project.architecture
    }  # fmt: skip
    if table.get("authorizer") == "aws_iam":
        others.add("authorizer")
        defaults["authorizer"] = AuthorizerSettings()
    values = read_keys(ProjectFunction, title, table, mistakes, others)
    if values.get("capacity_provider"):
        defaults |= {"memory": 2048, "log_format": "json"}
    function = ProjectFunction(
        name=name,
        in_project=True,
        runtime=_read_runtime(title, table, mistakes),
        environment=_read_environment(title, table, mistakes),
        **{**defaults, **values},
    )
    add_broken_rules(function, title, table.keys() - values.keys() - others, mistakes)
    return function


@attrs.frozen
class _RuntimeConfig:
    """A customer-managed runtime."""

    arn: Annotated[
        str,
        text(
            "an ARN, as in 'arn:aws:lambda:REGION:ACCOUNT:runtime/NAME'",
            r"arn:[a-z-]+:lambda:[a-z0-9-]+:\d{12}:runtime/.+",
        ),
    ]
    alias: Annotated[
        str,
        text("the name of a runtime alias", r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,126}[A-Za-z0-9_])?"),
    ]


@attrs.frozen
class _RuntimeTable:
    """The keys of a function that say what starts it."""

    runtime: Annotated[str, one_of(RUNTIMES)] = ""
    image: Annotated[str, text("the URI of a container image")] = ""
    runtime_config: _RuntimeConfig | None = None

    def find_mistakes(self) -> Iterator[str]:
        """Yield keys that do not go together."""
        if self.runtime == "custom" and self.runtime_config is None:
            yield "runtime_config: runtime = 'custom' needs {arn = '...', alias = '...'}"
        if self.runtime != "custom" and self.runtime_config is not None:
            yield "runtime_config: needs runtime = 'custom'"
        if self.image and self.runtime:
            yield "image: an image has its own runtime; remove runtime, or image"


def _read_runtime(title: str, table: Mapping[str, object], mistakes: list[str]) -> RuntimeSettings:
    given = {key: table[key] for key in RUNTIME_KEYS if key in table}
    read = read_table(_RuntimeTable, title, given, mistakes)
    assert read is not None, "each key has a default"
    arn, alias = ("", "") if read.runtime_config is None else attrs.astuple(read.runtime_config)
    return RuntimeSettings(read.runtime or "managed", arn, alias, read.image)


def _read_environment(
    title: str, table: Mapping[str, object], mistakes: list[str]
) -> dict[str, str]:
    """Read the variables. A mistake does not quote a value, which may be a secret."""
    variables = find_table(title, table, "environment", mistakes)
    for name, value in variables.items():
        if not VARIABLE.fullmatch(name):
            mistakes.append(
                f"[{title}.environment] {name}: a variable's name has at least two characters: a"
                " letter first, then letters, digits and _"
            )
        if not isinstance(value, str):
            mistakes.append(f"[{title}.environment] {name}: must be a text; write it in quotes")
    return {name: value for name, value in variables.items() if isinstance(value, str)}
