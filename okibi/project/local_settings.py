"""Make the settings of a local sandbox from a function of the current folder."""

import os
from pathlib import Path

import attrs

from ..local import FunctionSettings
from ..local.settings import ACCOUNT_ID
from .arguments import check_platform, find_current_folder
from .bad_input import BadInput
from .reader import read_project
from .settings import (
    ProjectFunction,
    check_handler,
    choose_function,
    choose_functions,
    find_function,
)


def function_settings(function: ProjectFunction, folder: Path) -> FunctionSettings:
    """Return the settings of a sandbox of a project's function.

    Args:
        function: the function.
        folder: the folder of the project.

    Raises:
        BadInput: the table sets a variable that Lambda sets, or combines what Lambda does not.
    """
    capacity = function.capacity_provider
    try:
        return FunctionSettings(
            function.handler,
            name=function.name,
            task_root=folder,
            timeout=float(function.timeout),
            memory=function.memory,
            environment=function.environment,
            max_concurrency=None if capacity is None else capacity.concurrency,
            snap_start=function.snapstart,
        )
    except ValueError as error:
        raise BadInput(f"pyproject.toml: [tool.okibi.functions.{function.name}] {error}") from error


def make_environment(function: ProjectFunction) -> dict[str, str]:
    """Return the variables that a function has on Lambda by its table.

    The template names resources in some. Here these have values that lead nowhere.
    """
    variables = dict[str, str]()
    if function.table:
        variables["TABLE_NAME"] = "table"
    if function.entities:
        arn = f"arn:aws:iam::{ACCOUNT_ID}:role/local"
        variables |= {"OKIBI_ENTITIES": "table", "OKIBI_ENTITIES_ROLE": arn}
    if function.vpc and function.vpc.cache:
        variables |= {"CACHE_HOST": "127.0.0.1", "CACHE_PORT": "9"}
    return {**variables, **function.environment}


def read_function(asked: str | None) -> FunctionSettings:
    """Read the settings of a function that is loaded, and not invoked.

    Args:
        asked: `module.name`, or a name in [tool.okibi.functions]; None: the only one there.

    Raises:
        BadInput: there is no such function, pyproject.toml is wrong, or the system is Windows.
    """
    check_platform()
    folder = find_current_folder()
    return _loaded_settings(choose_function(read_project(folder), asked), folder)


def read_functions(asked: str | None) -> list[FunctionSettings]:
    """Read the settings of one function, or of all in [tool.okibi.functions] for None.

    The errors are those of `read_function`.
    """
    check_platform()
    folder = find_current_folder()
    chosen = choose_functions(read_project(folder), asked)
    return [_loaded_settings(function, folder) for function in chosen]


def _loaded_settings(function: ProjectFunction, folder: Path) -> FunctionSettings:
    settings = function_settings(function, folder)
    return attrs.evolve(settings, environment=make_environment(function))


def read_settings(
    asked: str, timeout: float | None = None, memory: int | None = None
) -> FunctionSettings:
    """Read the settings of the function that `okibi invoke` or `okibi bench` starts.

    Args:
        asked: `module.name`, or a name in [tool.okibi.functions]. A function with a table there has
            its settings, SnapStart excepted: `--snap-start` asks for a snapshot. Entities are those
            of `okibi dev`, if neither the table nor the shell sets OKIBI_ENTITIES.
        timeout: seconds > 0 in place of its own.
        memory: MB in place of its own.

    Raises:
        BadInput: an argument or pyproject.toml is wrong, or the current folder has been removed.
    """
    folder = find_current_folder()
    function = find_function(read_project(folder), asked)
    try:
        settings = (
            FunctionSettings(check_handler(asked), task_root=folder)
            if function is None
            else function_settings(function, folder)
        )
        entities = {"OKIBI_ENTITIES": f"sqlite:{folder / '.okibi' / 'entities.sqlite'}"}
        return attrs.evolve(
            settings,
            environment={
                **({} if "OKIBI_ENTITIES" in os.environ else entities),
                **settings.environment,
            },
            timeout=timeout or settings.timeout,
            memory=memory or settings.memory,
            snap_start=False,
        )
    except ValueError as error:
        raise BadInput(str(error)) from error
