"""The settings of the function that `okibi invoke` or `okibi bench` starts."""

import math
from pathlib import Path

import attrs

from ..local import FunctionSettings
from .arguments import BadInput, check_handler, parse_number
from .project_reader import read_project
from .project_settings import ProjectFunction, find_function

__all__ = ["read_settings"]

DEFAULT_TIMEOUT, DEFAULT_MEMORY = 3.0, 128


def read_settings(
    asked: str, timeout: str | None = None, memory: int | None = None
) -> FunctionSettings:
    """Read the settings of a function of the current folder.

    Args:
        asked: `module.name`, or a name in [tool.okibi.functions]. A function with a table there has
            its variables, time-out and memory.
        timeout: seconds > 0 in place of its own.
        memory: MB in place of its own.

    Raises:
        BadInput: an argument or pyproject.toml is wrong, or the current folder has been removed.
    """
    seconds = None if timeout is None else _parse_timeout(timeout)
    try:
        function = find_function(read_project(Path.cwd()), asked)
        settings = (
            FunctionSettings(check_handler(asked), timeout=DEFAULT_TIMEOUT, memory=DEFAULT_MEMORY)
            if function is None
            else _from_table(function)
        )
        return attrs.evolve(
            settings, timeout=seconds or settings.timeout, memory=memory or settings.memory
        )
    except ValueError as error:
        raise BadInput(str(error)) from error
    except FileNotFoundError as error:
        raise BadInput(
            "the current folder has been removed; run cd to the folder of the function"
        ) from error


def _from_table(function: ProjectFunction) -> FunctionSettings:
    return FunctionSettings(
        function.handler,
        name=function.name,
        timeout=float(function.timeout),
        memory=function.memory,
        environment=function.environment,
    )


def _parse_timeout(text: str) -> float:
    seconds = parse_number(text)
    if not 0 < seconds < math.inf:
        raise BadInput(f"--timeout {text}: must be seconds > 0, as in --timeout 3")
    return seconds
