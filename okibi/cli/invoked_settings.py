"""The settings of the function that `okibi invoke` or `okibi bench` starts."""

import attrs

from ..local import FunctionSettings
from .arguments import find_current_folder, parse_seconds
from .bad_input import BadInput
from .function_settings import function_settings
from .project_reader import read_project
from .project_settings import check_handler, find_function

__all__ = ["read_settings"]


def read_settings(
    asked: str, timeout: str | None = None, memory: int | None = None
) -> FunctionSettings:
    """Read the settings of a function of the current folder.

    Args:
        asked: `module.name`, or a name in [tool.okibi.functions]. A function with a table there has
            its settings, SnapStart excepted: `--snap-start` asks for a snapshot.
        timeout: seconds > 0 in place of its own.
        memory: MB in place of its own.

    Raises:
        BadInput: an argument or pyproject.toml is wrong, or the current folder has been removed.
    """
    seconds = None if timeout is None else parse_seconds("--timeout", timeout, example="3")
    folder = find_current_folder()
    function = find_function(read_project(folder), asked)
    try:
        settings = (
            FunctionSettings(check_handler(asked), task_root=folder)
            if function is None
            else function_settings(function, folder)
        )
        return attrs.evolve(
            settings,
            timeout=seconds or settings.timeout,
            memory=memory or settings.memory,
            snap_start=False,
        )
    except ValueError as error:
        raise BadInput(str(error)) from error
