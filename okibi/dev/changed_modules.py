"""Prepare the start of changed Python files: find syntax errors, delete old byte code."""

import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path

from ..local.settings import FunctionSettings
from .invocation_events import FunctionFailure


def delete_bytecode(files: Sequence[Path]) -> None:
    """Delete the cached byte code of changed Python files.

    Python compares only size and whole seconds (PEP 552). A file that is saved twice within a
    second, with the same size, would be imported as it was.

    Args:
        files: changed files, of any kind.
    """
    for file in files:
        if file.suffix == ".py":
            cached = Path(cache_from_source(str(file)))
            # Another Python's cache has another tag: app.cpython-313.pyc.
            for each in cached.parent.glob(f"{file.stem}.*.pyc"):
                with suppress(OSError):
                    each.unlink()


def find_syntax_error(files: Sequence[Path], settings: FunctionSettings) -> FunctionFailure | None:
    """Return the first syntax error in changed Python files, or None.

    Args:
        files: changed files; some may be deleted, or no Python.
        settings: the function. Its command may run another Python, whose syntax is not known here;
            the start of the sandbox shows the error then.
    """
    if settings.command[0] != sys.executable:
        return None
    for file in files:
        if file.suffix == ".py":
            try:
                source = file.read_bytes()
            except OSError:
                # Deleted, or unreadable: the start of the sandbox shows whether that matters.
                continue
            if failure := _compile(source, file):
                return failure
    return None


def _compile(source: bytes, file: Path) -> FunctionFailure | None:
    with warnings.catch_warnings():
        # The function's own log shows its warnings.
        warnings.simplefilter("ignore")
        try:
            compile(source, str(file), "exec", dont_inherit=True)
        except SyntaxError as error:
            return _describe(error, file)
        except ValueError as error:
            # A null byte, before Python 3.12.
            return FunctionFailure("SyntaxError", str(error), (), str(file))
    return None


def _describe(error: SyntaxError, file: Path) -> FunctionFailure:
    line = error.lineno or 0
    frame = f'  File "{file}", line {line}'
    if error.text:
        code = error.text.rstrip()
        frame += f"\n    {code.lstrip()}"
        if error.offset is not None and error.offset > 0:
            indent = len(code) - len(code.lstrip())
            frame += "\n    " + " " * max(error.offset - 1 - indent, 0) + "^"
    return FunctionFailure(type(error).__name__, error.msg, (frame,), str(file), line)
