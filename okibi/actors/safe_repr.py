"""Exceptions, classes and values in the words of logs and errors: cut short, and safe to ask for.

The text of an exception, its attributes and its class belong to a user. Any of them may be 50 MB
long, or raise, and the news of an end must not fail for that: callers wait for it. So okibi reads
an exception through the functions of this module only. The same is true of a `__repr__`.
"""

import re
import reprlib
from types import FunctionType, TracebackType
from typing import Any, Final, cast

import trio
from trio.lowlevel import Task

CRASH_REPORTS: Final = "OKIBI_CRASH_REPORTS"
"""The variable of the environment that asks for values: `full`; `types`, the default, for none."""

# Characters of an exception's text: in the middle of a sentence; where the text stands alone, as in
# a traceback and in the body of an error.
IN_A_SENTENCE: Final = 1000
ALONE: Final = 65_536
# Of the name of a class.
_NAME_LIMIT: Final = 200

_NAME: Any = type.__dict__["__name__"]
_TRACEBACK: Any = BaseException.__dict__["__traceback__"]


# A function's name as trio writes it, or a text with nothing of a repr in it.
_PLAIN_NAME = re.compile(r"(?:[\w./ -]|<locals>|<lambda>)+")


def class_name(kind: type[Any]) -> str:
    """The name of a class, whatever its metaclass does, cut after 200 characters."""
    name: str = _NAME.__get__(kind)
    return cut(name, _NAME_LIMIT)


# Of these the length can be read without a user's code.
_SIZED: Final = (str, bytes, bytearray, list, tuple, dict, set, frozenset)


def shape(value: object) -> str:
    """The type of a value, and its length in brackets: `str[11]`. Never the value."""
    kind = type(value)
    if value is None:
        return "None"
    # By identity: to compare a class with another may be its metaclass's, a user's.
    sized = any(kind is each for each in _SIZED)
    return f"{class_name(kind)}[{len(cast('Any', value))}]" if sized else class_name(kind)


def misplaced(value: object) -> str:
    """How an error names a value that stands in a wrong place.

    A number is shown as it is, a class and a function by name, everything else by its `shape`.
    """
    kind = type(value)
    if any(kind is each for each in (bool, int, float)):
        return brief(value)
    if issubclass(kind, type):
        return class_name(cast("type[Any]", value))
    return cast("FunctionType", value).__name__ if kind is FunctionType else shape(value)


def task_name(task: Task, known: str = "") -> str:
    """What trio calls a task, where that is the name of a function or a plain text.

    trio names a task that runs a callable object by the object's repr, which may show anything.
    Such a task has the name of its coroutine, as `Job.__call__`.

    Args:
        task: which one.
        known: a name that is shown as it is: an actor's path.
    """
    if task.name == known or _PLAIN_NAME.fullmatch(task.name):
        return task.name
    return str(getattr(task.coro, "__qualname__", "a task"))


def said(error: BaseException, limit: int = IN_A_SENTENCE) -> str:
    """The text of an exception, cut after `limit` characters."""
    try:
        text = str(error)
    except BaseException as broken:
        if interrupts(broken):
            raise
        return f"<its text raised {class_name(type(broken))}>"
    return cut(text, limit)


def cut(text: str, limit: int) -> str:
    """A text, cut after `limit` characters."""
    # `__str__` may return a subclass, whose methods are a user's.
    short = str.__getitem__(text, slice(limit))
    return short if str.__len__(text) <= limit else f"{short} [cut]"


def traceback_of(error: BaseException) -> TracebackType | None:
    """The traceback of an exception, whatever its class does."""
    trace: TracebackType | None = _TRACEBACK.__get__(error)
    return trace


def interrupts(error: BaseException) -> bool:
    """Whether an exception may be Ctrl-C, so that it must not be discarded.

    Actors are protected from Ctrl-C: a KeyboardInterrupt inside one was raised by a user's code.
    """
    if not issubclass(type(error), KeyboardInterrupt):
        return False
    return not (trio.lowlevel.in_trio_task() and trio.lowlevel.currently_ki_protected())


class Brief(reprlib.Repr):
    """The standard library's, which passes on what some values raise when they are shown."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.maxstring = self.maxother = most

    def repr1(self, x: object, level: int) -> str:
        try:
            return super().repr1(x, level)
        except BaseException as error:
            if interrupts(error):
                raise
            return f"<{class_name(type(x))}, its repr raised {class_name(type(error))}>"

    def repr_int(self, x: int, level: int) -> str:
        # Since 3.14 one that cannot be shown has its address for that, which is no two runs' same.
        repr(x)
        return super().repr_int(x, level)


brief = Brief(100).repr
