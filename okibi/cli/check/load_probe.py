"""Load a handler as a bootstrap does, in a process of its own, and write what was found as JSON.

    python -P -m okibi.cli.check.load_probe HANDLER REPORT_FILE [lines]

`okibi check` starts this process in the function's folder. With `lines` the report names the lines
that import; without, `-X importtime` can measure undisturbed.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Mapping
from types import FrameType, FunctionType, ModuleType
from typing import Any

from ...runtime.__main__ import import_okibi

# First, as in a bootstrap: the imports below would import all of trio.
# ruff: noqa: E402
import_okibi()

from ...runtime.errors.error_response import error_json
from ...runtime.errors.exceptions import InitError
from ...runtime.errors.user_code import is_written_by_user
from ...runtime.handlers.function import Function
from ...runtime.handlers.handler import is_async, is_handler, streams, yields
from ...runtime.startup.find_function import load

__all__ = ["USER_CODE_BEGINS", "describe_function"]

USER_CODE_BEGINS = "okibi check: the user's code begins"
"""The line on stderr between the imports of okibi and those of the user's code."""


class ImportLines:
    """A finder that finds nothing, and notes which of the user's lines asks for a package first.

    Args:
        folder: the lines' files are relative to it.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.lines: dict[str, str] = {}

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Note the line that imports a module, if the module's package is new."""
        package = name.partition(".")[0]
        if package not in self.lines:
            self.lines[package] = _users_line(sys._getframe(1), self._folder)


def _users_line(frame: FrameType | None, folder: str) -> str:
    """Return the innermost line of the user's code as `file:line`; empty if there is none."""
    while frame is not None:
        file = frame.f_code.co_filename
        if is_written_by_user(file):
            return f"{os.path.relpath(file, folder)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _import_module(name: str, package: str | None = None) -> ModuleType:
    """Replace `importlib.import_module`, whose imports `-X importtime` does not report."""
    name = importlib.util.resolve_name(name, package) if name.startswith(".") else name
    __import__(name)
    return sys.modules[name]


def describe_function(function: Function) -> str:
    """Describe a function in a few words: its kind of handler and its children."""
    target: Any = function.handler.handler
    if is_handler(target):
        kind = "Handler class"
    elif streams(target):
        kind = "streaming handler"
    elif yields(target):
        kind = "generator"
    elif is_async(target):
        kind = "async def"
    else:
        kind = "plain def" if isinstance(target, FunctionType) else "callable"
    count = len(function.children)
    return kind + (f", {count} {'child' if count == 1 else 'children'}" if count else "")


def _users_files(modules: Iterable[ModuleType | None]) -> list[str]:
    files = [getattr(module, "__dict__", {}).get("__file__") for module in modules]
    return [
        file
        for file in files
        if isinstance(file, str) and file.endswith(".py") and is_written_by_user(file)
    ]


def _load(handler: str, folder: str, lines: ImportLines) -> Mapping[str, object]:
    try:
        function = load(handler, folder)
    except InitError as error:
        return {"error": json.loads(error_json(error.kind, error.message, error.stack))}
    return {
        "kind": describe_function(function),
        "lines": lines.lines,
        "files": [os.path.relpath(file, folder) for file in _users_files([*sys.modules.values()])],
    }


def main(handler: str, report_file: str, find_lines: str = "") -> None:
    """Load the handler, write the report, and end the process."""
    # The user's code may change the current folder.
    folder = os.getcwd()
    lines = ImportLines(folder)
    importlib.import_module = _import_module
    if find_lines:
        sys.meta_path.insert(0, lines)
    os.write(2, f"\n{USER_CODE_BEGINS}\n".encode())
    report = _load(handler, folder, lines)
    with open(report_file, "w", encoding="utf-8") as file:
        json.dump(report, file)
    # Threads and exit handlers of the user's code must not delay the check.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
