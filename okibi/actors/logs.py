"""Loggers for okibi's own code: a failing log line never ends the code that logs.

logging catches what a handler's `emit` raises, but not what a user's filter or record factory
raises. Such an error would crash an actor over a log line, and its crash report over the next.

What goes wrong is also counted, if something counts (`count_with`). Here, because most of it is
logged in the same place, and a start should not import another module for it.
"""

import logging
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Final

from .safe_repr import TEXT_LIMIT, class_name, cut, error_text, is_ctrl_c, traceback_of

# Characters of a printed exception: its frames and the messages of all exceptions in it.
TRACEBACK_LIMIT: Final = 2 * TEXT_LIMIT

# The last line of a log record that leaves frames out.
TRACE_HINT: Final = "OKIBI_TRACE=full shows all frames"

# What is counted, as the metrics name it.
CRASHES: Final = "Crashes"
RESTARTS: Final = "Restarts"
GIVE_UPS: Final = "GiveUps"
REFUSED_MESSAGES: Final = "RefusedMessages"
MAILBOX_PEAK: Final = "MailboxPeak"
POOL_WAITS: Final = "PoolWaits"

# Takes what has happened, the path of the actor, and the number.
Counter = Callable[[str, str, int], object]
# Each crash and restart looks here first: cheaper than a call.
counters: list[Counter] = []


def write_to_stderr(text: str) -> None:
    """Write a line to descriptor 2, because logging has failed and `sys.stderr` may be closed."""
    try:
        os.write(2, text.encode("utf-8", "backslashreplace") + b"\n")
    except OSError:
        return


class SafeLogger(logging.Logger):
    """A logger that raises nothing. A lost record is reported by a line without its content.

    That line leaves out the record and the error's message, which may quote the record: the failed
    filter may have been the one that hides a secret.

    Attributes:
        write_fallback: writes that line.
    """

    write_fallback: Callable[[str], None] = staticmethod(write_to_stderr)

    @property
    def disabled(self) -> bool:
        """Always False. To silence okibi, set a level.

        `logging.config.dictConfig` disables every logger that it does not name, unless told
        otherwise. Crashes would then be lost.
        """
        return False

    @disabled.setter
    def disabled(self, _: object) -> None: ...  # pyright: ignore[reportIncompatibleVariableOverride]

    def _log(self, level: int, msg: object, args: Any, *rest: Any, **options: Any) -> None:
        # logging must skip the frame of this method when it looks for the caller.
        options["stacklevel"] = options.get("stacklevel", 1) + 1
        try:
            super()._log(level, msg, args, *rest, **_with_exc_info_triple(options))
        except BaseException as error:
            if is_ctrl_c(error):
                raise
            file, line, *_ = self.findCaller(stacklevel=options["stacklevel"])
            place = f"{self.name}, {file}:{line}"
            type(self).write_fallback(
                f"a line could not be logged ({place}): {class_name(type(error))}"
            )

    def makeRecord(self, *args: Any, **more: Any) -> logging.LogRecord:  # noqa: N802, logging's
        record = super().makeRecord(*args, **more)
        if record.exc_info:
            # Formatters print `exc_text` if it is set, and format the exception otherwise.
            record.exc_text = _exc_info_text(record.exc_info, _short_traceback_text)
        return record


def log_or_raise(
    logger: logging.Logger, level: int, message: str, *args: object, **options: Any
) -> None:
    """Log as `logger.log` does, but raise what logging raises: the caller reports it better."""
    logging.Logger._log(
        logger, level, message, args, stacklevel=2, **_with_exc_info_triple(options)
    )


ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


def exception_text(exc_info: ExcInfo) -> str:
    """Format an exception as logging.Formatter does, cut after TRACEBACK_LIMIT."""
    return _exc_info_text(exc_info, traceback_text)


def _exc_info_text(exc_info: ExcInfo, format_error: Callable[[BaseException], str]) -> str:
    error = exc_info[1]
    # `logger.exception` outside an `except` block has no exception.
    return "NoneType: None" if error is None else format_error(error).removesuffix("\n")


def _with_exc_info_triple(options: dict[str, Any]) -> dict[str, Any]:
    """Replace an exception in `exc_info` by its triple.

    logging would build the triple from attributes of the exception, which may be user code.
    """
    error: Any = options.get("exc_info")
    if issubclass(type(error), BaseException):
        options["exc_info"] = (type(error), error, traceback_of(error))
    return options


def traceback_text(error: BaseException) -> str:
    """Format an exception as Python prints it, cut after TRACEBACK_LIMIT."""
    trace = traceback_of(error)
    try:
        printed = traceback.TracebackException(type(error), error, trace, compact=True)
        return "".join(_cut_pieces(printed.format()))
    except BaseException as broken:
        if is_ctrl_c(broken):
            raise
        return _plain_text(error, trace)


def short_traceback(error: BaseException) -> tuple[str, bool]:
    """Format an exception with the user's frames only (module `short_traceback`).

    Returns:
        The text, cut after TRACEBACK_LIMIT, and whether frames were left out.
    """
    trace = traceback_of(error)
    try:
        # Imported here: a start without errors does not need the module.
        from .short_traceback import format_exception

        pieces, left_out = format_exception(error, trace)
        return "".join(_cut_pieces(pieces)), left_out
    except BaseException as broken:
        if is_ctrl_c(broken):
            raise
        return _plain_text(error, trace), False


def _short_traceback_text(error: BaseException) -> str:
    text, left_out = short_traceback(error)
    return f"{text}{TRACE_HINT}\n" if left_out else text


def _plain_text(error: BaseException, trace: TracebackType | None) -> str:
    """Return the frames and the message alone, for an exception whose attributes raise."""
    last = f"{class_name(type(error))}: {error_text(error, TEXT_LIMIT)}\n"
    return "".join([*traceback.format_tb(trace), last])


def _cut_pieces(pieces: Iterable[str]) -> Iterator[str]:
    left = TRACEBACK_LIMIT
    for piece in pieces:
        shown = piece if len(piece) <= TEXT_LIMIT else f"{cut(piece, TEXT_LIMIT)}\n"
        left -= len(shown)
        if left < 0:
            yield "[cut]\n"
            return
        yield shown


def logger(name: str) -> logging.Logger:
    """Get the logger of this name, created as a SafeLogger."""
    before = logging.getLoggerClass()
    logging.setLoggerClass(SafeLogger)
    try:
        return logging.getLogger(name)
    finally:
        logging.setLoggerClass(before)


# -- counts


def count(what: str, path: str = "", number: int = 1) -> None:
    """Count something that has happened, if something counts.

    Args:
        what: one of the names above, or a name of a layer above this one.
        path: the path of the actor that it happened to; empty for none.
        number: how often it has happened; of MAILBOX_PEAK, the messages that wait.
    """
    for counter in counters:
        try:
            counter(what, path, number)
        except Exception as error:
            SafeLogger.write_fallback(f"{what} could not be counted: {class_name(type(error))}")


def count_with(counter: Counter) -> Callable[[], None]:
    """Call a function for each `count` from now on, in the thread that counts.

    Returns:
        A function that ends this.
    """
    counters.append(counter)
    return lambda: counters.remove(counter)
