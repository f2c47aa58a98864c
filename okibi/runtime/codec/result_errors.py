"""Describe why a result cannot be encoded: where the refused value is, and what to do.

Imported when an encoder has refused a result.

    result["items"][3]["price"]: Object of type Money is not JSON serializable
    result["visit"] is a coroutine: write `await` before fetch(...), defined in File "a.py", line 9
"""

import re
from contextlib import suppress
from inspect import CORO_CREATED, getcoroutinestate
from types import CoroutineType
from typing import Any, cast

from ...actors.safe_repr import error_text
from ..errors.user_code import is_okibi_file, is_user_file
from .reference_json import NotSerializableError

# A key may be data or a secret, so only keys that look like a field's name are shown. An API key is
# long, has digits, or is in capitals.
_FIELD_NAME = re.compile(r"(?=.*[a-z_]|.{1,12}$)[A-Za-z_](?:[A-Za-z_-]*[0-9]?){0,2}[A-Za-z_-]*")
_FIELD_LENGTH = 30
# Keys of a path that are shown; a result that is nested too deeply has thousands.
PATH_LIMIT = 20
# Containers of a result that are searched for coroutines.
CONTAINER_LIMIT = 10_000


def describe(error: Exception, result: object, path: list[object]) -> str:
    """Return the place of the refused value in the result and the reason, in one sentence.

    Closes every coroutine of the result, so that Python does not warn that the coroutine was never
    awaited.

    Args:
        error: the exception that the encoder raised.
        result: the handler's result.
        path: the keys that lead to the refused value, the innermost first.
    """
    place = _format_path(path)
    value: Any = error.value if isinstance(error, NotSerializableError) else None
    if not _is_coroutine(value):
        return f"{place}: {error_text(error)}"
    # A container of a user's class may raise.
    with suppress(Exception):
        _close_coroutines((value, result))
    return f"{place} is a coroutine: write `await` before {_describe_call(value)}"


def _format_path(path: list[object]) -> str:
    keys = [_format_key(key) for key in reversed(path[-PATH_LIMIT:])]
    return "".join(("result", *keys, "..." if len(path) > PATH_LIMIT else ""))


def _format_key(key: object) -> str:
    if type(key) is int:
        return f"[{key}]"
    shown = type(key) is str and len(key) <= _FIELD_LENGTH and _FIELD_NAME.fullmatch(key)
    return f'["{key}"]' if shown else "[...]"


def _describe_call(coroutine: "CoroutineType[Any, Any, Any]") -> str:
    code, name = coroutine.cr_code, coroutine.__qualname__.rpartition("<locals>.")[2]
    if is_okibi_file(code.co_filename):
        # A call of an actor: the class of the address does not stand in the user's code.
        verb = code.co_name
        return f"the {verb}(...) of an actor (in a plain `def`, write from_sync.{verb}(...))"
    if not is_user_file(code.co_filename):
        # A line of okibi or of the standard library does not lead to the call.
        return f"{name}(...)"
    return f'{name}(...), defined in File "{code.co_filename}", line {code.co_firstlineno}'


def _is_coroutine(value: object) -> bool:
    return type(value) is CoroutineType


def _close_coroutines(result: object) -> None:
    """Close the coroutines of a result that is made of built-in containers."""
    waiting: list[object] = [result]
    seen: set[int] = set()
    while waiting and len(seen) < CONTAINER_LIMIT:
        value = waiting.pop()
        if _is_coroutine(value):
            coroutine = cast("CoroutineType[Any, Any, Any]", value)
            if getcoroutinestate(coroutine) == CORO_CREATED:
                coroutine.close()
        elif issubclass(type(value), (dict, list, tuple, set, frozenset)) and id(value) not in seen:
            seen.add(id(value))
            container = cast("dict[Any, Any] | list[Any]", value)
            waiting += container.values() if isinstance(container, dict) else container
