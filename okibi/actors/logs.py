"""The loggers of okibi's own code: to tell of something must not harm who tells it.

logging catches what a handler's `emit` raises, but not what a filter of the user's does, nor his
factory of records. His own code would see that where it logs; an actor of okibi's would crash over
a line of its log, and its crash report over the next.
"""

import logging
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final

from .safe_repr import ALONE, class_name, cut, interrupts, said, traceback_of

# Characters of a traceback: its frames, and what each exception in it says.
TRACEBACK: Final = 2 * ALONE


def write_to_stderr(words: str) -> None:
    """Write a line past logging, which has failed, and past the stream, which may be closed."""
    try:
        os.write(2, words.encode("utf-8", "backslashreplace") + b"\n")
    except OSError:
        return


class Unfailing(logging.Logger):
    """A logger whose lines may be lost, and then are told of, but raise nothing.

    What a line said is not told, nor what the error says, which may quote it: a filter that was to
    hide a part of it may be what failed.

    Attributes:
        instead: given the words to be written instead.
    """

    instead: Callable[[str], None] = staticmethod(write_to_stderr)

    @property
    def disabled(self) -> bool:
        """Never: `logging.config.dictConfig`, unless told otherwise, disables each logger that it
        does not name, and no crash would be told of any more. Who wants none sets a level.
        """
        return False

    @disabled.setter
    def disabled(self, _: object) -> None: ...  # pyright: ignore[reportIncompatibleVariableOverride]

    def _log(self, level: int, msg: object, args: Any, *rest: Any, **how: Any) -> None:
        # One more frame for logging to skip when it looks for who logs.
        how["stacklevel"] = how.get("stacklevel", 1) + 1
        try:
            super()._log(level, msg, args, *rest, **_with_triple(how))
        except BaseException as error:
            if interrupts(error):
                raise
            file, line, *_ = self.findCaller(stacklevel=how["stacklevel"])
            place = f"{self.name}, {file}:{line}"
            type(self).instead(f"a line could not be logged ({place}): {class_name(type(error))}")

    def makeRecord(self, *args: Any, **more: Any) -> logging.LogRecord:  # noqa: N802, logging's
        record = super().makeRecord(*args, **more)
        if record.exc_info:
            # What every formatter takes, if it is there, instead of making it.
            record.exc_text = exception_text(record.exc_info)
        return record


def log_or_raise(
    logger: logging.Logger, level: int, message: str, *args: object, **how: Any
) -> None:
    """As `logger.log`, but what logging raises is the caller's, who has other words for it."""
    logging.Logger._log(logger, level, message, args, stacklevel=2, **_with_triple(how))


def exception_text(
    told: "tuple[type[BaseException] | None, BaseException | None, TracebackType | None]",
) -> str:
    """What `logging.Formatter.formatException` makes of an exception, but cut."""
    # `logger.exception` outside an `except` block has none.
    return "NoneType: None" if told[1] is None else traceback_text(told[1]).removesuffix("\n")


def _with_triple(how: dict[str, Any]) -> dict[str, Any]:
    """Give logging the triple it would make of an exception, whose attributes are a user's."""
    error: Any = how.get("exc_info")
    if issubclass(type(error), BaseException):
        how["exc_info"] = (type(error), error, traceback_of(error))
    return how


def traceback_text(error: BaseException, *, words: bool = True) -> str:
    """An exception as Python prints it, with what stands behind it, but cut.

    Args:
        error: which.
        words: whether what it says belongs to it; without, the frames alone.
    """
    trace = traceback_of(error)
    if not words:
        return "".join(traceback.format_tb(trace))
    try:
        whole = traceback.TracebackException(type(error), error, trace, compact=True)
        return "".join(_cut_lines(whole.format()))
    except BaseException as broken:
        if interrupts(broken):
            raise
        last = f"{class_name(type(error))}: {said(error, ALONE)}\n"
        return "".join([*traceback.format_tb(trace), last])


def _cut_lines(pieces: Iterable[str]) -> Iterator[str]:
    left = TRACEBACK
    for piece in pieces:
        told = piece if len(piece) <= ALONE else f"{cut(piece, ALONE)}\n"
        left -= len(told)
        if left < 0:
            yield "[cut]\n"
            return
        yield told


def logger(name: str) -> logging.Logger:
    """The logger of this name, made such a one."""
    before = logging.getLoggerClass()
    logging.setLoggerClass(Unfailing)
    try:
        return logging.getLogger(name)
    finally:
        logging.setLoggerClass(before)
