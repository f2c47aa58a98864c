"""From a handler string to the Function it names (Runtime API: the official client's rules).

Each way in which that fails has the official client's type and words, so that alarms and
documentation written for it go on being right.
"""

import importlib
import os
import site
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, cast

from ...actors.exits import is_a
from ...actors.safe_repr import ALONE, said
from ..errors.error_response import init_error
from ..errors.exceptions import InitError
from ..errors.user_code import is_user_file
from ..handlers.function import Function
from ..handlers.handler import Handler

# Where layers put packages, in the order in which AWS's own Python runtime looks there.
LAYERS = (
    f"/opt/python/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages",
    "/opt/python",
)

# Libraries that replace parts of the standard one by their own: the module that knows of it, what
# tells there whether a part is replaced, what the threads are called, and what replaces them.
PATCHES = (
    ("gevent", "gevent.monkey", "is_module_patched", "threading", "monkey.patch_all"),
    ("eventlet", "eventlet.patcher", "is_monkey_patched", "thread", "monkey_patch"),
)


def load(handler: str, task_root: Path) -> Function:
    """Import the user's code and find what it is to serve.

    Args:
        handler: `module.name`; slashes in the module part stand for dots.
        task_root: the folder of the user's code; goes first on the path, before what layers bring.
            What is in neither is also looked for where the process was started.

    Raises:
        InitError: typed and worded as the official client does it, where that has words.
    """
    parts = handler.rsplit(".", 1)
    if len(parts) != 2:
        words = f"Bad handler '{handler}': not enough values to unpack (expected 2, got 1)"
        raise InitError("Runtime.MalformedHandlerName", words)
    # As it stands in the handler string, slashes and all, it is named in errors.
    module_name, name = parts
    if module_name.split(".")[0] in sys.builtin_module_names:
        words = f"Cannot use built-in module {module_name} as a handler module"
        raise InitError("Runtime.BuiltInModuleConflict", words)
    # An interpreter may live there itself, whose packages are not to hide those of an environment.
    theirs = () if sys.base_prefix.startswith("/opt/python") else LAYERS
    layers = [folder for folder in theirs if folder not in sys.path and os.path.isdir(folder)]
    roots = _roots(module_name, task_root, layers)
    sys.path[:0] = [*map(str, roots), *layers]
    module = _import(module_name, [str(task_root), *layers])
    refuse_patched()
    try:
        target: object = getattr(module, name)
    except AttributeError:
        words = f"Handler '{name}' missing on module '{module_name}'"
        hidden = _hidden(module_name, roots)
        raise InitError("Runtime.HandlerNotFound", words + hidden) from None
    except Exception as error:
        # A module's own `__getattr__`.
        raise init_error(error) from error
    function = as_function(target)
    patched = _patched()
    return function if patched is None else patched.served(function)


def as_function(target: object) -> Function:
    """What a handler string names, as a Function: itself, a Handler class, or any callable."""
    if isinstance(target, Function):
        return target
    try:
        return Function(cast("type[Handler[Any]] | Callable[..., Any]", target))
    except ValueError as wrong:
        raise InitError(type(wrong).__name__, str(wrong)) from wrong


def refuse_patched() -> None:
    """See that nobody has replaced what trio's loop and okibi's threads are made of.

    Raises:
        InitError: `Runtime.MonkeyPatchConflict`, with the cure.
    """
    for library, module, tells, threads, call in PATCHES:
        patched = getattr(sys.modules.get(module), tells, None)
        if patched is not None and (patched("select") or patched(threads)):
            words = (
                f"{library}'s {call}() replaces what okibi's loop stands on: leave that out, "
                f"{call}(thread=False, select=False)"
            )
            raise InitError("Runtime.MonkeyPatchConflict", words)


def _roots(module_name: str, task_root: Path, layers: Sequence[str]) -> list[Path]:
    """The folders of the user's code: the task root, and where the process was started if that
    lacks the handler.

    Lambda says /var/task to an image too, wherever its code is: in AWS's own example that is in
    /function, where the official client is started, and looks.
    """
    top = module_name.replace("/", ".").partition(".")[0]
    with suppress(OSError):  # it has been removed
        started_in = Path.cwd()
        if started_in != task_root and not PathFinder.find_spec(top, [str(task_root), *layers]):
            return [task_root, started_in]
    return [task_root]


def _hidden(module_name: str, roots: Sequence[Path]) -> str:
    """What to do if the user's file was not what was imported; else empty.

    Modules that okibi needs are there already when the user's folder goes first on the path.
    """
    top = module_name.replace("/", ".").partition(".")[0]
    imported = getattr(sys.modules.get(top), "__file__", None)
    for own in (root / name for root in roots for name in (f"{top}.py", f"{top}/__init__.py")):
        # Not `samefile`: in a zip there is none.
        if imported and own.is_file() and os.path.realpath(own) != os.path.realpath(imported):
            return f": it is {imported}, which had been imported, and hides {own}; rename that"
    return ""


def _read_paths(folder: str) -> None:
    """Read a folder's .pth files as AWS's own runtime does: setuptools has its `distutils` found by
    one. What has this ending and is no text is a neural network, which can be of any size.
    """
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for name in names:
        if name.endswith(".pth") and not name.startswith("."):
            with suppress(OSError), open(os.path.join(folder, name), "rb") as file:
                if b"\0" not in file.read(1024):
                    site.addpackage(folder, name, None)


def _import(name: str, folders: Sequence[str]) -> object:
    process = os.getpid()
    try:
        for folder in folders:
            _read_paths(folder)
        return importlib.import_module(name.replace("/", "."))
    except BaseException as error:
        # In a child that the module has forked, what ends it is no init error of its parent's.
        if isinstance(error, KeyboardInterrupt) or os.getpid() != process:
            raise
        wrong = _import_error(name, error)
        if (patched := _patched()) is not None:
            told = {"errorMessage": wrong.message, "errorType": wrong.kind}
            patched.LambdaRuntimeClient().post_init_error(told)
        raise wrong from error


def _patched() -> Any:
    """The module `official_client_names`, if a library has asked for it."""
    return sys.modules.get(f"{__package__}.official_client_names")


def _import_error(name: str, error: BaseException) -> InitError:
    if is_a(error, ImportError):
        from .wrong_build import wrong_build

        words = f"Unable to import module '{name}': {said(error, ALONE)}"
        if fault := wrong_build(error):
            words = f"{words}; {fault}"
        frames = traceback.extract_tb(error.__traceback__)
        # Of a module that is not there, all frames are the import system's, and okibi's above them.
        stack = init_error(error).stack if any(is_user_file(f.filename) for f in frames) else ()
        return InitError("Runtime.ImportModuleError", words, stack)
    if is_a(error, SyntaxError):
        line = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'
        return InitError(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{name}': {error}", (line,)
        )
    # SystemExit too: a `sys.exit` at import is an error of the user's like any other.
    return init_error(error)
