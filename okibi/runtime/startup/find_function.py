"""Import the user's code and find the Function that a handler string names.

The rules are the official client's (Runtime API). Each failure has the official client's type and
text, so that existing alarms and documentation stay right.
"""

import importlib
import os
import site
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import PathFinder
from types import FunctionType
from typing import Any, cast

from ...actors.exits import is_a
from ...actors.safe_repr import TEXT_LIMIT, error_text
from ..codec.import_msgspec import import_if_shadowed
from ..errors.error_response import init_error
from ..errors.exceptions import InitError
from ..errors.user_code import is_user_file
from ..handlers.function import Function
from ..handlers.handler import Handler, is_handler

# The folders of layers, in the order in which AWS's own Python runtime searches them.
LAYERS = (
    f"/opt/python/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages",
    "/opt/python",
)

# Libraries that replace parts of the standard library: the name, the module, the module's function
# that tells whether a part is replaced, the part's name for threads, and the call that replaces.
PATCHES = (
    ("gevent", "gevent.monkey", "is_module_patched", "threading", "monkey.patch_all"),
    ("eventlet", "eventlet.patcher", "is_monkey_patched", "thread", "monkey_patch"),
)

# Libraries whose own handler is set in place of the user's. For each module of such a handler
# setting: the variable that names the user's handler, the library's name, and okibi's adapter (by
# name, because the runtime does not import what stands above it).
WRAPPERS = {
    "datadog_lambda": ("DD_LAMBDA_HANDLER", "Datadog", "okibi.telemetry.datadog"),
    "otel_wrapper": ("ORIG_HANDLER", "OpenTelemetry", "okibi.telemetry.opentelemetry"),
    "lumigo_tracer": ("LUMIGO_ORIGINAL_HANDLER", "Lumigo", ""),
    "newrelic_lambda_wrapper": ("NEW_RELIC_LAMBDA_HANDLER", "New Relic", ""),
}


def load(handler: str, task_root: str, lanes: int = 1) -> Function:
    """Import the user's code and find the Function to serve.

    Args:
        handler: `module.name`; slashes in the module part stand for dots.
        task_root: the folder of the user's code; goes first on the path, before the layers'
            folders. If neither has the module, the working directory is searched too.
        lanes: the number of events at once.

    Raises:
        InitError: the function cannot be loaded. Type and text are the official client's, where
            that client has them.
    """
    parts = handler.rsplit(".", 1)
    if len(parts) != 2:
        words = f"Bad handler '{handler}': not enough values to unpack (expected 2, got 1)"
        raise InitError("Runtime.MalformedHandlerName", words + _dot_form(handler))
    # Errors show the module as written in the handler string, including slashes.
    module_name, name = parts
    about = WRAPPERS.get(module_name.replace("/", ".").partition(".")[0])
    if about is not None and lanes > 1:
        # ddtrace sets an alarm around each event, which Python refuses in the threads of a `def`.
        os.environ.setdefault("DD_TRACE_AWS_LAMBDA_ENABLED", "false")
    if module_name.split(".")[0] in sys.builtin_module_names:
        words = f"Cannot use built-in module {module_name} as a handler module"
        raise InitError("Runtime.BuiltInModuleConflict", words)
    # Skip the layers' folders if the interpreter itself is installed there: its packages would hide
    # those of a virtual environment.
    candidates = () if sys.base_prefix.startswith("/opt/python") else LAYERS
    layers = [folder for folder in candidates if folder not in sys.path and os.path.isdir(folder)]
    roots = _roots(module_name, task_root, layers)
    import_if_shadowed([*roots, *layers])
    sys.path[:0] = [*roots, *layers]
    module = _import(module_name, [task_root, *layers])
    refuse_patched()
    try:
        target: object = getattr(module, name)
    except AttributeError:
        words = f"Handler '{name}' missing on module '{module_name}'"
        hint = _hidden(module_name, roots) or _dot_form(handler) or _list_handlers(module)
        raise InitError("Runtime.HandlerNotFound", words + hint) from None
    except Exception as error:
        # A module's own `__getattr__`.
        raise init_error(error) from error
    if about is not None:
        from .wrapped_handler import find_wrapped

        target = find_wrapped(handler, target, lanes, *about)
    function = as_function(target)
    patched = _patched()
    return function if patched is None else patched.replace_handler(function)


def as_function(target: object) -> Function:
    """Convert the named value into a Function: a Function, a Handler class or any callable."""
    try:
        function = make_function(target)
    except ValueError as wrong:
        raise InitError(type(wrong).__name__, str(wrong)) from wrong
    if is_handler(function.handler.handler):
        try:
            importlib.import_module("..codec.typed_json", __package__)  # the workers need it
        except ImportError as error:
            from .wrong_build import end_if_wrong_build

            end_if_wrong_build(error)
            raise
    return function


def make_function(target: object) -> Function:
    """Return a Function as it is, and that of any handler or web application.

    Raises:
        SpecError: the value cannot serve.
    """
    if isinstance(target, Function):
        return target
    try:
        return Function(cast("type[Handler[Any]] | Callable[..., Any]", target))
    except ValueError:
        adapted = _adapt_web_application(target)
        if adapted is None:
            raise
        return adapted


def _adapt_web_application(target: object) -> Function | None:
    """Return the Function of a web application; None if the target is none."""
    # Imported here: only web applications need the adapters.
    from ..handlers.web_application import find_web_interface

    interface = find_web_interface(target) if callable(target) else None
    if interface is None:
        return None
    module = importlib.import_module(f"..adapters.{interface.lower()}", __package__)
    return Function(getattr(module, interface)(target))


def refuse_patched() -> None:
    """Check that gevent or eventlet has not replaced `select` or `threading`.

    Raises:
        InitError: `Runtime.MonkeyPatchConflict`, with the cure.
    """
    for library, module, tells, threads, call in PATCHES:
        patched = getattr(sys.modules.get(module), tells, None)
        if patched is not None and (patched("select") or patched(threads)):
            words = (
                f"{library}'s {call}() replaces select and threading, which okibi needs: call "
                f"{call}(thread=False, select=False)"
            )
            raise InitError("Runtime.MonkeyPatchConflict", words)


def _roots(module_name: str, task_root: str, layers: Sequence[str]) -> list[str]:
    """Return the task root, and the working directory if the task root lacks the module.

    Lambda sets the task root to /var/task in a container image too, wherever the code is. AWS's own
    example starts the official client in /function, and the client finds the code there.
    """
    top = module_name.replace("/", ".").partition(".")[0]
    with suppress(OSError):  # the working directory was removed
        started_in = os.getcwd()
        if started_in != task_root and not PathFinder.find_spec(top, [task_root, *layers]):
            return [task_root, started_in]
    return [task_root]


def _hidden(module_name: str, roots: Sequence[str]) -> str:
    """Return what to do if another module hides the user's file; else an empty text.

    A module that okibi has imported is found before the user's file of the same name.
    """
    top = module_name.replace("/", ".").partition(".")[0]
    imported = getattr(sys.modules.get(top), "__file__", None)
    for own in (f"{root}/{name}" for root in roots for name in (f"{top}.py", f"{top}/__init__.py")):
        # Not `samefile`, which does not work for a module in a zip.
        same = imported and os.path.realpath(own) == os.path.realpath(imported)
        if imported and not same and os.path.isfile(own):
            return f": it is {imported}, which had been imported, and hides {own}; rename that"
    return ""


def _read_paths(folder: str) -> None:
    """Read the .pth files of a folder, as AWS's own runtime does (setuptools needs one).

    A binary .pth file is a neural network of any size, and is skipped.
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
        # In a child that the module forked, an exception is not an init error of the parent.
        if isinstance(error, KeyboardInterrupt) or os.getpid() != process:
            raise
        wrong = _import_error(name, error)
        if (patched := _patched()) is not None:
            body = {"errorMessage": wrong.message, "errorType": wrong.kind}
            patched.LambdaRuntimeClient().post_init_error(body)
        raise wrong from error


def _dot_form(handler: str) -> str:
    """Return a hint for a handler with a colon, `app:function` or `app.py:function`; else empty."""
    module, _, name = handler.rpartition(":")
    if not module or not name:
        return ""
    return f"; write {module.removesuffix('.py')}.{name}, with a dot instead of the colon"


def _list_handlers(module: object) -> str:
    """Return a hint that lists at most 8 handlers defined in a module; empty if there are none."""
    # A module's objects are the user's. The hint must not replace the error that it belongs to.
    with suppress(Exception):
        found = {
            name: value
            for name, value in vars(module).items()
            if not name.startswith("_") and _is_handler(value, vars(module)["__name__"])
        }
        # Helper functions last: a handler takes two arguments.
        names = sorted(found, key=lambda name: _count_arguments(found[name]) != 2)
        if names:
            more = f" and {len(names) - 8} more" if len(names) > 8 else ""
            return f"; the module defines {', '.join(names[:8])}{more}"
    return ""


def _is_handler(value: object, module_name: str) -> bool:
    """Return whether an attribute can be a handler that is not imported from another module."""
    # By type(), because isinstance would ask a proxy for its class.
    kind = type(value)
    if issubclass(kind, type):
        own = cast("type[Any]", value)
        return issubclass(own, Handler) and own.__module__ == module_name
    if issubclass(kind, FunctionType):
        return cast("FunctionType", value).__module__ == module_name
    # Instances do not tell where they are created. Skip aliases as in `Event = dict[str, Any]`.
    return issubclass(kind, Function) or (
        callable(value) and kind.__module__ not in ("builtins", "types", "typing")
    )


def _count_arguments(value: object) -> int:
    return value.__code__.co_argcount if isinstance(value, FunctionType) else 2


def _patched() -> Any:
    """Return the module `official_client_names`, if a library has imported it."""
    return sys.modules.get(f"{__package__}.official_client_names")


def _import_error(name: str, error: BaseException) -> InitError:
    if is_a(error, ImportError):
        from .wrong_build import explain_wrong_build

        words = f"Unable to import module '{name}': {error_text(error, TEXT_LIMIT)}"
        if fault := explain_wrong_build(error):
            words = f"{words}; {fault}"
        frames = traceback.extract_tb(error.__traceback__)
        # If the module itself is missing, the stack has no user frame and is left out.
        stack = init_error(error).stack if any(is_user_file(f.filename) for f in frames) else ()
        return InitError("Runtime.ImportModuleError", words, stack)
    if is_a(error, SyntaxError):
        line = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'
        return InitError(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{name}': {error}", (line,)
        )
    # Including SystemExit: a `sys.exit` at import is an error like any other.
    return init_error(error)
