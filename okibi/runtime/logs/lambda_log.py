"""The function's log in the official client's format: records, errors, printed text.

    [LEVEL]\\t2026-01-31T12:00:00.000Z\\t<request id>\\tmessage

or one JSON object a line with `AWS_LAMBDA_LOG_FORMAT=JSON`. okibi's own loggers (`okibi`, `actors`,
`supervisors`) are ordinary loggers.

Deliberate differences from the official client:

    okibi                                              the official client
    an entry on standard output ends its line          after a traceback, or with a user's
                                                       formatter, the next entry is on that line
    a record that cannot be formatted is reported      raises into the handler
    on standard error, and the handler continues
    no LAMBDA_WARNING before an init error             600 characters before each
    JSON of errors is not escaped to ASCII             as on the managed runtimes since 3.12
    an exception's text is cut after 65,536            writes the whole text
    characters
"""

import logging
import os
import select
import sys
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from io import BufferedWriter, RawIOBase, TextIOWrapper
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from ...actors import logs
from ...actors.safe_repr import class_name
from ..errors.error_response import DEADLINE_EXCEEDED, LATE_ANSWERS, decode_body, to_json
from . import invocation_context
from .sinks import JSON, TEXT, FramedSink, StandardSink, frame_type, sink_from

if TYPE_CHECKING:
    from .sinks import LogSink

FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
TIME = "%Y-%m-%dT%H:%M:%S"
# U+00A0 for each leading space of a traceback's line: log viewers drop ordinary spaces.
INDENT = "\u00a0"
# The descriptor: user code may have closed `sys.stderr`.
STDERR = 2
# Bytes that a writable pipe takes at once (pipe(7): PIPE_BUF), and the seconds to wait in all for a
# pipe that takes none.
PIPE_BUFFER, PIPE_PATIENCE = 4096, 0.01
# Read now, before gevent replaces it. Windows has none.
_poll = getattr(select, "poll", None)


class _LogTarget:
    """The target and the format of the process's log."""

    sink: "LogSink" = StandardSink()
    as_json = False
    # The replacements of standard output and error. User code may wrap them.
    streams: tuple[Any, ...] = ()
    # Returns the line of what was counted since its last call (`OKIBI_METRICS`); empty for none.
    take_counts: "staticmethod[[], str]" = staticmethod(lambda: "")


def configure(
    level: str, environment: MutableMapping[str, str], *, as_json: bool = False, lanes: int = 1
) -> None:
    """Give the root logger its handler, and its level if the platform names one.

    Args:
        level: a level's name, from `AWS_LAMBDA_LOG_LEVEL`; empty for none.
        environment: names the sink; the descriptor's variable is removed.
        as_json: write one JSON object a line.
        lanes: the number of events that may be in flight.
    """
    invocation_context.set_lanes(lanes)
    _LogTarget.sink, fault = sink_from(environment)
    _LogTarget.as_json = as_json
    sys.stdout = _replace_stream(sys.stdout, lanes)
    sys.stderr = _replace_stream(sys.stderr, lanes)
    _LogTarget.streams = (sys.stdout, sys.stderr)
    logging.Formatter.converter = time.gmtime
    # Frames carry a level only if the platform filters by level.
    levels = as_json or bool(level)
    named = LambdaLoggerHandlerWithFrameType if levels else LambdaLoggerHandler
    handler = named(_LogTarget.sink, levels=levels)
    handler.setFormatter(_formatter(as_json))
    handler.addFilter(_mark_with_invocation)
    logs.SafeLogger.write_fallback = staticmethod(write_raw)
    root = logging.getLogger()
    root.addHandler(handler)
    known = {"TRACE": "DEBUG"}.get(level.upper(), level.upper())
    if known in logging.getLevelNamesMapping():
        root.setLevel(known)
    if fault:
        logs.logger("okibi").warning("%s: the log goes to standard output", fault)


def replace_error_sink(sink: "LogSink") -> "LogSink":
    """Write errors to another sink; return the previous one."""
    previous, _LogTarget.sink = _LogTarget.sink, sink
    return previous


class LambdaHandler(logging.Handler):
    """Formats records for the sink.

    Args:
        sink: the sink of the entries.
        levels: whether frames carry a level.
    """

    def __init__(self, sink: "LogSink", *, levels: bool) -> None:
        super().__init__()
        self.log_sink = sink
        self._levels = levels

    def emit(self, record: logging.LogRecord) -> None:
        try:
            base: int = getattr(self.formatter, "frames", TEXT)
            kind = frame_type(base, record.levelno) if self._levels else None
            self.log_sink.log(self.format(record), kind)
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, the standard library's
        try:
            super().handleError(record)
        except ValueError:
            # User code has closed standard error.
            return


# Libraries find the handler by the official client's class names: Datadog adds the trace's id to
# its format.
class LambdaLoggerHandler(LambdaHandler):
    """A handler whose frames carry no level."""


class LambdaLoggerHandlerWithFrameType(LambdaHandler):
    """A handler whose frames carry a level."""


def _mark_with_invocation(record: logging.LogRecord) -> bool:
    """Add request id and tenant to a record. Keeps every record."""
    record.aws_request_id = invocation_context.request_id()
    record.tenant_id = invocation_context.tenant_id()
    return True


def _formatter(as_json: bool) -> logging.Formatter:
    if as_json:
        from .json_format import JsonFormatter

        return JsonFormatter()
    formatter: Any = logging.Formatter(FORMAT, TIME)
    # Not a subclass: libraries look for this exact class, as in the official client.
    formatter.formatException = logs.exception_text
    return cast("logging.Formatter", formatter)


# -- errors


def log_error(body: bytes) -> None:
    """Write an error in the official client's format.

    Args:
        body: the error response; the log shows what the invoker gets.
    """
    try:
        _log_error(decode_body(body))
    except Exception as error:
        # User code has replaced standard output, and the replacement fails.
        write_raw(f"cannot write to the log: {class_name(type(error))}")
    flush()


def _log_error(error: dict[str, Any]) -> None:
    if error["errorType"] == DEADLINE_EXCEEDED:
        logs.count(LATE_ANSWERS)
    if _LogTarget.as_json:
        stamp = time.strftime(TIME + "Z", time.gmtime())
        lines = [to_json({"timestamp": stamp, "level": "ERROR", **error})]
    else:
        lines = error_lines(error["errorType"], error["errorMessage"], error["stackTrace"])
    base = JSON if _LogTarget.as_json else TEXT
    _LogTarget.sink.log_error(lines, frame_type(base, logging.ERROR))


def error_lines(kind: str, message: str, stack: list[str]) -> list[str]:
    """Return the lines of an error in the text format.

    >>> error_lines("ValueError", "no", ['  File "app.py", line 1, in f\\n    g()\\n'])[1:]
    ['Traceback (most recent call last):', '\\xa0\\xa0File "app.py", line 1, in f', \
'\\xa0\\xa0\\xa0\\xa0g()']
    """
    said = [kind + ":" * bool(kind and message), message]
    lines = [" ".join(["[ERROR]", *filter(None, said)]), "Traceback (most recent call last):"]
    for entry in stack:
        for line in entry.splitlines() or [""]:
            text = line.lstrip(" ")
            lines.append(INDENT * (len(line) - len(text)) + text)
    return lines


def write_raw(words: str, request_id: str = "") -> None:
    """Write a critical entry to standard error without the locks of logging and the stream.

    The process may hang in one of those locks. Text that a full pipe does not take within
    PIPE_PATIENCE is dropped: the pipe may have no reader, and the end of the process must not wait.

    Args:
        words: the message.
        request_id: the event that the message is about; empty for none.
    """
    _write_raw(_raw_line(words, request_id))


def _write_raw(entry: bytes) -> None:
    until = monotonic() + PIPE_PATIENCE
    # User code may have closed the descriptor too.
    with suppress(OSError):
        while entry and _is_writable(until):
            entry = entry[os.write(STDERR, entry[:PIPE_BUFFER]) :]


def _is_writable(until: float) -> bool:
    """Return whether standard error takes more bytes before this time."""
    if _poll is None:
        return True
    poll = _poll()
    poll.register(STDERR, select.POLLOUT)
    left = max(0.0, until - monotonic())
    return bool(poll.poll(left * 1000))


def _raw_line(words: str, request_id: str) -> bytes:
    now = time.time()
    if _LogTarget.as_json:
        stamp = time.strftime(TIME + "Z", time.gmtime(now))
        fields = {"timestamp": stamp, "level": "CRITICAL", "message": words, "logger": "okibi"}
        line = to_json({**fields, "requestId": request_id})
    else:
        stamp = f"{time.strftime(TIME, time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
        line = f"[CRITICAL]\t{stamp}\t{request_id}\t{words}"
    return line.encode("utf-8", "backslashreplace") + b"\n"


# -- counts


def write_counts_of(take: Callable[[], str]) -> None:
    """Set what returns the line of counts."""
    _LogTarget.take_counts = staticmethod(take)


def write_counts() -> None:
    """Write the line of what was counted since the last one, if anything was."""
    line = _LogTarget.take_counts()
    if line:
        with suppress(Exception):  # user code has replaced standard output
            _LogTarget.sink.log(line)
        flush()


def write_counts_at_exit() -> None:
    """Write the same line as `write_raw` does: the process exits within this thread."""
    line = _LogTarget.take_counts()
    if line:
        _write_raw(line.encode("utf-8", "backslashreplace") + b"\n")


# -- what is printed


class _Stream(TextIOWrapper):
    """Replaces a standard stream, on the same descriptor.

    Args:
        wrapped: the standard stream.
        by_line: whether to flush at each line end.
    """

    def __init__(self, wrapped: "TextIOWrapper[Any]", *, by_line: bool = False) -> None:
        buffer: Any = wrapped.buffer
        if by_line and isinstance(buffer, RawIOBase):
            # PYTHONUNBUFFERED: the raw stream has no lock.
            buffer = BufferedWriter(buffer)
        super().__init__(buffer, wrapped.encoding, wrapped.errors, "\n", by_line)
        # Without a reference, `wrapped` would be collected and close the descriptor.
        self._held: list[object] = [wrapped]

    def after_fork_in_child(self) -> None:
        """Replace the buffer, whose lock a thread of the parent may hold.

        The parent writes what is left in the old buffer.
        """
        # ValueError: user code has detached or closed the stream.
        with suppress(ValueError):
            raw = getattr(self.buffer, "raw", None)
            if raw is not None:
                kept = self.encoding, self.errors, "\n", self.line_buffering
                self._held.append(self.buffer)
                TextIOWrapper.__init__(self, BufferedWriter(raw), *kept)

    @property
    def mode(self) -> str:
        """The mode of the wrapped stream. Only streams made by `open` have this attribute."""
        return "w"


class UnbufferedStream(_Stream):
    """Flushes each write, like the official client's streams."""

    def write(self, text: str, /) -> int:
        size = super().write(text)
        self.flush()
        return size

    def __exit__(self, *_: object) -> None:
        """Stay open, as in the official client: `with argparse.FileType("w")("-") as out`."""


class LineStream(_Stream):
    """Writes each line in one call, for many events in flight.

    `print` writes the line end separately, so the lines of two threads would mix. Lines longer than
    the stream's chunk would be written in pieces, so the chunk is unlimited.
    """

    def __init__(self, wrapped: "TextIOWrapper[Any]") -> None:
        super().__init__(wrapped, by_line=True)
        self._set_unlimited_chunk()

    def after_fork_in_child(self) -> None:
        super().after_fork_in_child()
        with suppress(ValueError):
            self._set_unlimited_chunk()

    def _set_unlimited_chunk(self) -> None:
        self._CHUNK_SIZE = sys.maxsize


def _replace_stream(stream: Any, lanes: int) -> Any:
    # None if the process was started with the descriptor closed.
    if not hasattr(stream, "reconfigure"):
        return stream
    stream.reconfigure(line_buffering=True)
    return UnbufferedStream(stream) if lanes == 1 else LineStream(stream)


def after_fork_in_child() -> None:
    """Replace the locks of the log's streams: a thread of the parent may hold them."""
    for stream in _LogTarget.streams:
        if isinstance(stream, _Stream):
            stream.after_fork_in_child()
    if isinstance(_LogTarget.sink, FramedSink):
        _LogTarget.sink.after_fork_in_child()


def flush() -> None:
    """Flush the standard streams. Do this before a response: the sandbox may freeze after it."""
    out, error = sys.stdout, sys.stderr
    try:
        # An UnbufferedStream holds no text, but user code may have written to its buffer. Flushing
        # a subclass costs twice as much as flushing the buffer.
        (out.buffer if type(out) is UnbufferedStream else out).flush()
        (error.buffer if type(error) is UnbufferedStream else error).flush()
    except Exception:
        # User code has closed or replaced a stream. A replacement may raise anything.
        return
