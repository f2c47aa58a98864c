"""Tracebacks for okibi's log, with the user's frames only.

A crash passes through frames of okibi, trio and attrs. They say nothing about the user's mistake,
so the log leaves them out. A traceback without any frame of the user shows a bug in okibi: all
frames stay.

    OKIBI_TRACE=full    print every frame, as Python does

This module is imported with the first error that is logged.
"""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from traceback import FrameSummary, StackSummary, TracebackException
from types import TracebackType
from typing import Any, Final

from trio.lowlevel import Task

from .frames import frames_of, is_standard_library

# Frames per traceback. Of a longer one, the first and the last ten are printed.
FRAME_LIMIT: Final = 20


class _CutStack(StackSummary):
    """A stack whose middle is left out when it is formatted."""

    def format(self, **options: Any) -> list[str]:
        half = FRAME_LIMIT // 2
        hidden = f"  ... {len(self) - 2 * half} frames left out\n"
        first = StackSummary.from_list(self[:half]).format(**options)
        return [*first, hidden, *StackSummary.from_list(self[-half:]).format(**options)]


def format_exception(
    error: BaseException, trace: TracebackType | None
) -> tuple[Iterator[str], bool]:
    """Format an exception as Python does, with the user's frames only.

    Returns:
        The pieces of the text, and whether frames were left out.
    """
    printed = TracebackException(type(error), error, trace, compact=True, lookup_lines=False)
    left_out = not _shows_all() and _shorten(printed)
    return printed.format(), left_out


def format_frames(trace: TracebackType | None) -> tuple[list[str], bool]:
    """Format the frames of a traceback; returns as `format_exception`."""
    stack = traceback.extract_tb(trace)
    return _format(stack, stack)


def format_task(task: Task | None) -> tuple[list[str], bool]:
    """Format the stack of a task; returns as `format_exception`."""
    stack = StackSummary.extract(iter(frames_of(task)), lookup_lines=False)
    return _format(stack, [each for each in stack if not is_standard_library(each.filename)])


def _format(stack: StackSummary, candidates: list[FrameSummary]) -> tuple[list[str], bool]:
    if _shows_all() or not _has_user_frame(candidates):
        return stack.format(), False
    short = _without_library(candidates)
    return short.format(), _is_shorter(short, stack)


def _shows_all() -> bool:
    return os.environ.get("OKIBI_TRACE") == "full"


def _shorten(printed: TracebackException) -> bool:
    """Leave frames out of an exception and of all that it came of; False if none were left out."""
    related = [printed]
    for each in related:
        _flatten(each)
        related += [other for other in (each.__cause__, each.__context__) if other is not None]
        related += each.exceptions or ()
    if not any(_has_user_frame(each.stack) for each in related):
        return False
    left_out = False
    for each in related:
        short = _without_library(each.stack)
        left_out |= _is_shorter(short, each.stack)
        each.stack = short
    return left_out


def _flatten(printed: TracebackException) -> None:
    """Turn a group of one exception into that exception, behind the frames of the group.

    In place, because the exception that holds it is not known here.
    """
    while printed.exceptions is not None and len(printed.exceptions) == 1:
        [member] = printed.exceptions
        if printed.__notes__ or (_is_chained(printed) and _is_chained(member)):
            return
        group = vars(printed).copy()
        vars(printed).update(vars(member))
        printed.stack = StackSummary.from_list([*group["stack"], *member.stack])
        if not _is_chained(member):
            for name in ("__cause__", "__context__", "__suppress_context__"):
                setattr(printed, name, group[name])


def _is_chained(printed: TracebackException) -> bool:
    return printed.__cause__ is not None or printed.__context__ is not None


def _has_user_frame(stack: Iterable[FrameSummary]) -> bool:
    return any(not _is_below_user(frame.filename) for frame in stack)


def _is_below_user(filename: str) -> bool:
    """Return whether a file is a library's or Python's: its frames say nothing about the user."""
    return is_library_file(filename) or is_standard_library(filename)


def _without_library(stack: Iterable[FrameSummary]) -> StackSummary:
    own = [frame for frame in stack if not is_library_file(frame.filename)]
    kind = StackSummary if len(own) <= FRAME_LIMIT else _CutStack
    return kind(own)


def _is_shorter(short: StackSummary, whole: StackSummary) -> bool:
    return len(short) < len(whole) or isinstance(short, _CutStack)


# -- files of okibi and of its dependencies

# The packages that a message to an actor passes through. A file belongs to one only if it lies in
# the folder of that package: the user's own package in the same site-packages stays the user's.
_DEPENDENCIES = ("attr", "attrs", "outcome", "sniffio", "sortedcontainers", "trio")
# attrs compiles methods from strings. A context manager made by contextlib adds a frame per `with`.
_ALSO = ("<attrs generated", contextlib.__file__)


def _package_folders() -> tuple[str, ...]:
    okibi = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    loaded = (sys.modules.get(name) for name in _DEPENDENCIES)
    folders = [okibi, *(folder for module in loaded for folder in getattr(module, "__path__", ()))]
    return tuple(os.path.join(folder, "") for folder in folders)


_LIBRARY = (*_package_folders(), *_ALSO)


def is_library_file(filename: str) -> bool:
    """Return whether a frame's file belongs to okibi or to one of its dependencies."""
    return filename.startswith(_LIBRARY)
