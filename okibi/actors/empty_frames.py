"""Free the objects that the traceback of a crash keeps alive.

Each entry of a traceback holds a frame, and the frame holds its locals: `self`, with the state of
the actor, and its process, whose exit reason holds the exception again. A Ref of the dead actor
would keep all of them. Without a Ref they would wait for the garbage collector.

This module replaces the frames of a reported crash by empty frames. File, line and function stay; a
later format lacks only the columns (`^^^^`). While the report is logged, Sentry still finds the
locals. It does not find them later, in the `__cause__` of an ActorExited: that could show one
actor's secrets to another.

Rejected: `frame.clear()`. Before Python 3.13 it closes a suspended coroutine, for example that of a
task that has caught the exception and runs on. It also leaves the frame its function, with all that
a closure holds. Rejected: keeping the columns by using the crashed function's line table in a
shorter code object. With a tracer, CPython 3.11 then writes past the end of an array.
"""

from collections.abc import Callable, Iterator
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any

from .exits import is_a, members_of
from .safe_repr import traceback_of

# Read through the base classes, because a user's class may override the attributes.
_BASE: Any = vars(BaseException)
_cause: Callable[[BaseException], BaseException | None] = _BASE["__cause__"].__get__
_context: Callable[[BaseException], BaseException | None] = _BASE["__context__"].__get__
_traceback: Any = _BASE["__traceback__"]
_attribute_error_obj: Any = vars(AttributeError)["obj"]


def empty_frames(crash: BaseException) -> None:
    """Replace the frames of an exception by empty frames.

    Args:
        crash: the exception. Its causes, contexts and members lose their frames too.
    """
    copies: dict[CodeLine, CodeType] = {}
    seen = set[int]()
    waiting: list[BaseException | None] = [crash]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        waiting += (_cause(error), _context(error))
        waiting += members_of(error)
        if is_a(error, AttributeError):
            # The object without the attribute, often the actor itself.
            _attribute_error_obj.__set__(error, None)
        _traceback.__set__(error, _empty_traceback(traceback_of(error), copies))


CodeLine = tuple[CodeType, int]


def _empty_traceback(
    traceback: TracebackType | None, copies: dict[CodeLine, CodeType]
) -> TracebackType | None:
    entries: list[TracebackType] = []
    while traceback is not None:
        entries.append(traceback)
        traceback = traceback.tb_next
    copied: TracebackType | None = None
    for entry in reversed(entries):
        frame = _make_empty_frame(entry.tb_frame, entry.tb_lineno, copies)
        copied = TracebackType(copied, frame, 0, entry.tb_lineno)
    return copied


def _make_empty_frame(frame: FrameType, line: int, copies: dict[CodeLine, CodeType]) -> FrameType:
    """Make a frame at the same line, without locals and without a calling frame."""
    code = frame.f_code
    copy = copies.get((code, line))
    if copy is None:
        copy = copies[code, line] = _never_run.__code__.replace(
            co_filename=code.co_filename,
            co_name=code.co_name,
            co_qualname=code.co_qualname,
            co_firstlineno=code.co_firstlineno,
            co_linetable=_one_line(max(0, line - code.co_firstlineno)),
        )
    generator = FunctionType(copy, frame.f_globals)()
    empty: FrameType = generator.gi_frame
    generator.close()
    return empty


def _never_run() -> Iterator[object]:
    """A generator, because a generator has a frame before it runs."""
    yield ...


def _one_line(below: int) -> bytes:
    """Make a line table that maps all of `_never_run` to one line, without columns.

    Args:
        below: lines below the first line of the function.

    An entry covers up to 8 code units of two bytes. Its first byte has kind 13 (no columns) and the
    number of units less 1. Then follow the lines below the previous entry, doubled, in groups of 6
    bits; all groups but the last have bit 6 set (CPython: Objects/locations.txt).
    """
    units = len(_never_run.__code__.co_code) // 2
    table = bytearray()
    for first in range(0, units, 8):
        table.append(0x80 | 13 << 3 | min(8, units - first) - 1)
        rest = below << 1 if first == 0 else 0
        while rest > 63:
            table.append(0x40 | rest & 63)
            rest >>= 6
        table.append(rest)
    return bytes(table)
