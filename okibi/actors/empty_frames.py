"""Free what the traceback of a crash keeps alive.

Each entry of a traceback holds the frame of a function, and the frame holds its locals: `self`, so
the actor with all of its state, and its process, whose reason holds the exception again. A Ref of
the dead actor would keep all that, and without a Ref it would wait for the garbage collector.

So this module replaces each entry of a reported crash by one with an empty frame. File, line and
function stay; a later format lacks only the columns (`^^^^`). Sentry finds the locals while the
report is logged, but not in the `__cause__` of an ActorExited: another actor's locals may be
secrets.

Rejected: `frame.clear()`. Before Python 3.13 it closes a coroutine that is suspended, such as that
of a task which has caught the exception and lives on; and it leaves a frame its function, with all
that a closure holds. The columns, by the crashed function's table of locations in a shorter code:
with a tracer at work CPython 3.11 then writes past the end of an array.
"""

from collections.abc import Callable, Iterator
from types import CodeType, FrameType, FunctionType, TracebackType
from typing import Any

from .exits import is_a, members_of
from .safe_repr import traceback_of

# Past what a user's class makes of them: that may raise anything.
_cause: Callable[[BaseException], BaseException | None] = vars(BaseException)["__cause__"].__get__
_context: Callable[[BaseException], BaseException | None] = vars(BaseException)[
    "__context__"
].__get__
_traceback: Any = vars(BaseException)["__traceback__"]
_object: Any = vars(AttributeError)["obj"]


def empty_frames(crash: BaseException) -> None:
    """Replace the frames that an exception, and what led to it, has come through by empty ones.

    Args:
        crash: the exception; its causes, contexts and members lose their frames as well.
    """
    copies: dict[Place, CodeType] = {}
    found = set[int]()
    waiting: list[BaseException | None] = [crash]
    while waiting:
        error = waiting.pop()
        if error is None or id(error) in found:
            continue
        found.add(id(error))
        waiting += (_cause(error), _context(error))
        waiting += members_of(error)
        if is_a(error, AttributeError):
            # What lacks the attribute: often the actor itself.
            _object.__set__(error, None)
        _traceback.__set__(error, _emptied(traceback_of(error), copies))


Place = tuple[CodeType, int]


def _emptied(
    traceback: TracebackType | None, copies: dict[Place, CodeType]
) -> TracebackType | None:
    entries: list[TracebackType] = []
    while traceback is not None:
        entries.append(traceback)
        traceback = traceback.tb_next
    made: TracebackType | None = None
    for entry in reversed(entries):
        frame = _empty(entry.tb_frame, entry.tb_lineno, copies)
        made = TracebackType(made, frame, 0, entry.tb_lineno)
    return made


def _empty(frame: FrameType, line: int, copies: dict[Place, CodeType]) -> FrameType:
    """A frame without locals that stands in the same line, and was called by none."""
    code = frame.f_code
    copy = copies.get((code, line))
    if copy is None:
        copy = copies[code, line] = _generator.__code__.replace(
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


def _generator() -> Iterator[object]:
    """Never run: a generator has a frame before it runs."""
    yield ...


def _one_line(below: int) -> bytes:
    """A table that puts all of `_generator` into one line, without columns.

    Args:
        below: how many lines that is below the first line of the function.

    An entry is for up to 8 units of two bytes: a first byte with kind 13 (no columns) and the units
    less 1, then how many lines it lies below the entry before, doubled, in groups of 6 bits, of
    which all but the last have bit 6 set (CPython: Objects/locations.txt).
    """
    units = len(_generator.__code__.co_code) // 2
    table = bytearray()
    for first in range(0, units, 8):
        table.append(0x80 | 13 << 3 | min(8, units - first) - 1)
        rest = below << 1 if first == 0 else 0
        while rest > 63:
            table.append(0x40 | rest & 63)
            rest >>= 6
        table.append(rest)
    return bytes(table)
