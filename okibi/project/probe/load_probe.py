"""Load a handler as a bootstrap does, in a process of its own, and write what was found as JSON.

    python -P -m okibi.project.probe.load_probe HANDLER REPORT_FILE [all]

`load_function` starts this process in the function's folder. With `all` the report has the tree,
the mistakes, and the lines that import; without, `-X importtime` can measure undisturbed.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from types import FrameType, FunctionType, ModuleType
from typing import Any

from ...runtime.__main__ import import_okibi

# First, as in a bootstrap: the imports below would import all of trio.
# ruff: noqa: E402
import_okibi()

from ...runtime.errors.error_response import error_json
from ...runtime.errors.exceptions import InitError
from ...runtime.errors.user_code import is_written_by_user
from ...runtime.handlers.function import Function, find_warnings
from ...runtime.handlers.handler import is_async, is_handler, streams, yields
from ...runtime.startup.find_function import load

# The line on stderr between the imports of okibi and those of the user's code.
USER_CODE_BEGINS = "okibi check: the user's code begins"


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
    if type(target).__module__.startswith("okibi.runtime.adapters."):
        kind = _describe_adapter(target)
    elif is_handler(target):
        kind = "Handler class"
    elif streams(target):
        kind = "streaming handler"
    elif yields(target):
        kind = "generator"
    elif is_async(target):
        kind = "async def"
    else:
        kind = "plain def" if isinstance(target, FunctionType) else "callable"
    words = [kind]
    if count := len(function.applications):
        words.append(f"{count} application{'' if count == 1 else 's'}")
    if count := len(function.children):
        words.append(f"{count} {'child' if count == 1 else 'children'}")
    return ", ".join(words)


def _describe_adapter(adapter: Any) -> str:
    name = type(adapter).__name__
    application = getattr(adapter, "app", None)
    if application is not None:
        return f"{name} application, {type(application).__name__}"
    return f"{name}, {adapter.kind}"


def _users_modules(modules: Mapping[str, ModuleType]) -> list[tuple[str, ModuleType]]:
    """Return the user's modules with the files of their sources."""
    # A module of sys.modules may be None or another object.
    found = [
        (getattr(module, "__dict__", {}).get("__file__"), module) for module in [*modules.values()]
    ]
    return [
        (file, module)
        for file, module in found
        if isinstance(file, str) and file.endswith(".py") and is_written_by_user(file)
    ]


def _load(handler: str, folder: str) -> "Function | InitError":
    try:
        return load(handler, folder)
    except InitError as error:
        return error


def _describe(function: Function, folder: str) -> Mapping[str, object]:
    """Describe a function, its tree and its mistakes."""
    # Imported after the user's code, which a start imports without them.
    import attrs

    from .connections import find_connections
    from .entity_stores import needs_table
    from .mistakes import Mistake, find_mistakes, find_unused_names
    from .static_tree import build_function_tree, find_nodes

    modules = {
        os.path.relpath(file, folder): module for file, module in _users_modules(sys.modules)
    }
    tree = build_function_tree(function, os.environ)
    warnings = map(Mistake, find_warnings(function.handler.handler))
    return {
        "kind": describe_function(function),
        "tree": attrs.asdict(find_nodes(tree)),
        "mistakes": [attrs.asdict(each) for each in find_mistakes(function, tree, folder)],
        "warnings": [attrs.asdict(each) for each in [*warnings, *find_unused_names(tree, modules)]],
        "connections": [attrs.asdict(each) for each in find_connections(tree)],
        "needs_entity_table": needs_table(tree),
        "files": [*modules],
    }


def main(handler: str, report_file: str, find_all: str = "") -> None:
    """Load the handler, write the report, and end the process."""
    # The user's code may change the current folder.
    folder = os.getcwd()
    lines = ImportLines(folder)
    importlib.import_module = _import_module
    if find_all:
        sys.meta_path.insert(0, lines)
    os.write(2, f"\n{USER_CODE_BEGINS}\n".encode())
    loaded = _load(handler, folder)
    report: Mapping[str, object] = {"kind": "loaded"}
    try:
        if isinstance(loaded, InitError):
            raise loaded
        if find_all:
            # Before okibi's own further imports.
            sys.meta_path.remove(lines)
            report = {**_describe(loaded, folder), "lines": lines.lines}
    except InitError as error:
        # Also a variable that okibi reads, with a bad value.
        report = {"error": json.loads(error_json(error.kind, error.message, error.stack))}
    with open(report_file, "w", encoding="utf-8") as file:
        json.dump(report, file)
    # Threads and exit handlers of the user's code must not delay the check.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
