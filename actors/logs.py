"""The loggers of okibi's own code: to tell of something must not harm who tells it.

logging catches what a handler's `emit` raises, but not what a filter of the user's does, nor his
factory of records. His own code would see that where it logs; an actor of okibi's would crash over
a line of its log, and its crash report over the next.
"""

import logging
import os
from collections.abc import Callable
from typing import Any


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
            super()._log(level, msg, args, *rest, **how)
        except Exception as error:
            file, line, *_ = self.findCaller(stacklevel=how["stacklevel"])
            place = f"{self.name}, {file}:{line}"
            type(self).instead(f"a line could not be logged ({place}): {type(error).__name__}")


def log_or_raise(
    logger: logging.Logger, level: int, message: str, *args: object, **how: Any
) -> None:
    """As `logger.log`, but what logging raises is the caller's, who has other words for it."""
    logging.Logger._log(logger, level, message, args, stacklevel=2, **how)


def logger(name: str) -> logging.Logger:
    """The logger of this name, made such a one."""
    before = logging.getLoggerClass()
    logging.setLoggerClass(Unfailing)
    try:
        return logging.getLogger(name)
    finally:
        logging.setLoggerClass(before)
