"""Make the settings of a local sandbox from a function of pyproject.toml."""

from pathlib import Path

from ..local import FunctionSettings
from .bad_input import BadInput
from .project_settings import ProjectFunction

__all__ = ["function_settings"]


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
