"""Texts of exceptions, classes and values for logs and errors: short, and safe to compute.

An exception's message, attributes and class are user code, as is a `__repr__`. They may be 50 MB
long, or raise. The report of an actor's end must not fail because of them: callers wait for it.
okibi reads exceptions only through this module.
"""

import enum
import re
import reprlib
from types import FunctionType, TracebackType
from typing import Any, Final, cast

import trio
from trio.lowlevel import Task

# The environment variable that makes reports show values: `full`, or `types` (the default).
CRASH_REPORTS: Final = "OKIBI_CRASH_REPORTS"

# Characters of an exception's message: inside a sentence, and alone, as in a traceback or in the
# body of an error response.
INLINE_LIMIT: Final = 1000
TEXT_LIMIT: Final = 65_536
_CLASS_NAME_LIMIT: Final = 200

_NAME: Any = type.__dict__["__name__"]
_TRACEBACK: Any = BaseException.__dict__["__traceback__"]


# The name of a function as trio writes it, or a text that cannot be part of a repr. Not compiled
# here, because most starts do not use it.
_PLAIN_NAME: Final = r"(?:[\w./ -]|<locals>|<lambda>)+"


def class_name(kind: type[Any]) -> str:
    """Return the name of a class, cut after 200 characters. No code of a metaclass runs."""
    name: str = _NAME.__get__(kind)
    return cut(name, _CLASS_NAME_LIMIT)


# Types whose length can be read without user code.
_SIZED: Final = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


def shape(value: object) -> str:
    """Return the type and length of a value, never the value: `str[11]`. Of an enum, the member."""
    kind = type(value)
    if value is None:
        return "None"
    if issubclass(kind, enum.Enum):
        # The name is code, not data. A combination of flags has none.
        return f"{class_name(kind)}.{cast('enum.Enum', value)._name_}"
    # By identity: `==` of a class may be code of its metaclass.
    sized = any(kind is each for each in _SIZED)
    return f"{class_name(kind)}[{len(cast('Any', value))}]" if sized else class_name(kind)


def describe_value(value: object) -> str:
    """Describe a wrong argument in an error message.

    A number is shown as it is, a class or function by its name, any other value by its `shape`.
    """
    kind = type(value)
    if any(kind is each for each in (bool, int, float)):
        return short_repr(value)
    if issubclass(kind, type):
        return class_name(cast("type[Any]", value))
    return cast("FunctionType", value).__name__ if kind is FunctionType else shape(value)


def task_name(task: Task, known: str = "") -> str:
    """trio's name of a task, unless that name may be a repr.

    trio names a task that runs a callable object by the object's repr, which may show secrets. Such
    a task gets the name of its coroutine, `Job.__call__`.

    Args:
        task: the task.
        known: a name that is shown in any case: an actor's path.
    """
    if task.name == known or re.fullmatch(_PLAIN_NAME, task.name):
        return task.name
    return str(getattr(task.coro, "__qualname__", "a task"))


def error_text(error: BaseException, limit: int = INLINE_LIMIT) -> str:
    """Return the message of an exception, cut after `limit` characters."""
    try:
        text = str(error)
    except BaseException as broken:
        if is_ctrl_c(broken):
            raise
        return f"<its __str__ raised {class_name(type(broken))}>"
    return cut(text, limit)


def cut(text: str, limit: int) -> str:
    """Return a text, cut after `limit` characters."""
    # `__str__` may return a subclass of `str`, whose methods are user code.
    short = str.__getitem__(text, slice(limit))
    return short if str.__len__(text) <= limit else f"{short} [cut]"


def traceback_of(error: BaseException) -> TracebackType | None:
    """Return the traceback of an exception. No code of its class runs."""
    trace: TracebackType | None = _TRACEBACK.__get__(error)
    return trace


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether an exception may be a Ctrl-C, which must not be discarded.

    Actors are protected from Ctrl-C: user code raised a KeyboardInterrupt inside an actor.
    """
    if not issubclass(type(error), KeyboardInterrupt):
        return False
    return not (trio.lowlevel.in_trio_task() and trio.lowlevel.currently_ki_protected())


class ShortRepr(reprlib.Repr):
    """A reprlib.Repr that never raises: the original passes on errors of some `__repr__`s."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.maxstring = self.maxother = most

    def repr1(self, x: object, level: int) -> str:
        try:
            return super().repr1(x, level)
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            return f"<{class_name(type(x))}, its __repr__ raised {class_name(type(error))}>"

    def repr_int(self, x: int, level: int) -> str:
        # Raises for a huge number. Since Python 3.14 reprlib would show its address instead, which
        # differs between runs.
        repr(x)
        return super().repr_int(x, level)


short_repr = ShortRepr(100).repr
