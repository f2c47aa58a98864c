"""Serve what stands behind the handler of a library that traces functions.

The library's handler is in the handler setting, and a variable names the user's. Such a handler
calls the user's as `handler(event, context)` and takes the call's end for the event's. That fits a
plain `def` that serves one event at a time. Anything else is served itself, and okibi's own
adapter traces it. Imported only for such a handler setting.
"""

import os
import sys
from importlib import import_module
from typing import Any

from ...actors import logs
from ..errors.exceptions import InitError
from ..handlers.function import Function
from ..handlers.handler import is_async, is_handler, streams, yields
from ..handlers.web_application import find_web_interface

logger = logs.logger("okibi")


def find_wrapped(
    handler: str, wrapper: object, lanes: int, variable: str, library: str, adapter: str
) -> object:
    """Return what to serve: the library's handler, or the one that it calls.

    Args:
        handler: the handler setting.
        wrapper: what it names.
        lanes: the number of events at once.
        variable: the environment variable that names the user's handler.
        library: the library's name.
        adapter: the name of okibi's module for the library; empty if there is none.

    Raises:
        InitError: `Runtime.HandlerWrapperConflict`, with the cure, if okibi has no adapter.
    """
    named = os.environ.get(variable, "")
    module_name, _, name = named.replace("/", ".").rpartition(".")
    module: Any = sys.modules.get(module_name)
    hidden: object = getattr(module, name, None)
    if not adapter:
        if isinstance(hidden, Function) or is_handler(hidden):
            raise _conflict(handler, variable, named)
        return wrapper
    if hidden is None or (lanes == 1 and _is_plain(hidden)):
        return wrapper
    _trace(adapter, library, named)
    return getattr(module, name)


def _is_plain(target: Any) -> bool:
    """Return whether a handler is a `def`, whose call ends with its event."""
    return not (
        isinstance(target, Function)
        or is_handler(target)
        or is_async(target)
        or streams(target)
        or yields(target)
        or find_web_interface(target)
    )


def _trace(adapter: str, library: str, named: str) -> None:
    """Have the adapter trace the events; warn if it cannot."""
    try:
        # A function that has imported the adapter calls it.
        traced = adapter in sys.modules
        module = import_module(adapter)
        if undo_wrapper := getattr(module, "undo_wrapper", None):
            undo_wrapper()
        if not traced:
            module.trace_events()
    except Exception as error:
        logger.warning(
            "%s is not traced, because okibi's adapter for %s raised %r: install the packages of "
            "%s, or set the handler setting to %s",
            named, library, error, library, named,
        )  # fmt: skip


def _conflict(handler: str, variable: str, named: str) -> InitError:
    words = (
        f"{handler} calls {named}, which {variable} names, as handler(event, context), and so "
        "starts neither children nor a Handler class: set the handler setting to "
        f"{named}, and wrap a `def` inside: Function(wrapper(handler), children=[...])"
    )
    return InitError("Runtime.HandlerWrapperConflict", words)
