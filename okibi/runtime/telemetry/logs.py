"""The function's log, in the official client's format: records, errors, what is printed.

    [LEVEL]\\t2026-01-31T12:00:00.000Z\\t<request id>\\tmessage

or one JSON object a line where `AWS_LAMBDA_LOG_FORMAT` says so. okibi's own loggers (`okibi`,
`actors`, `supervisors`) are ordinary ones and take part in it.

Where okibi departs from the official client, on purpose:

    an entry on standard output always ends its line   there the next entry follows a traceback,
                                                       or a formatter of the user's, in the same
    a record that cannot be formatted is told of on    there it raises into the handler
    standard error, and the handler goes on
    no LAMBDA_WARNING before an init error             there 600 characters precede each
    JSON of errors is not escaped to ASCII             as on the managed runtimes since 3.12
    the text of an exception is cut after 65,536       there it is written whole
    characters
"""

import logging
import os
import select
import sys
import time
from collections.abc import MutableMapping
from contextlib import suppress
from io import BufferedWriter, RawIOBase, TextIOWrapper
from time import monotonic
from typing import Any, cast

from ...actors import logs
from ...actors.safe_repr import class_name
from ..errors.error_response import decode_body, to_json
from . import invocation_context
from .sinks import JSON, TEXT, FramedSink, Sink, StandardSink, frame_type, sink_from

FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"
TIME = "%Y-%m-%dT%H:%M:%S"
# U+00A0 for each space that a line of a traceback begins with: else whoever shows it drops them.
INDENT = "\u00a0"
# The descriptor, not `sys.stderr`, which user code may have closed.
STDERR = 2
# Bytes that a pipe takes at once where it takes any (pipe(7): PIPE_BUF); and the seconds that its
# reader has, in all, where it takes none.
PIECE, PATIENCE = 4096, 0.01
# As it is here: gevent puts its own into its place. Windows has none.
_poll = getattr(select, "poll", None)


class _Log:
    """Where the process's log goes, and how."""

    sink: Sink = StandardSink()
    as_json = False
    # What was put in the place of standard output and error: user code may wrap them in its own.
    streams: tuple[Any, ...] = ()


def configure(
    level: str, environment: MutableMapping[str, str], *, as_json: bool = False, lanes: int = 1
) -> None:
    """Give the root logger its handler, and a level, if the platform names one.

    Args:
        level: a level's name, as `AWS_LAMBDA_LOG_LEVEL` has it.
        environment: says where entries go, and is rid of the descriptor.
        as_json: one JSON object a line.
        lanes: how many events may be in flight.
    """
    invocation_context.expect(lanes)
    _Log.sink, fault = sink_from(environment)
    _Log.as_json = as_json
    sys.stdout = _at_once(sys.stdout, lanes)
    sys.stderr = _at_once(sys.stderr, lanes)
    _Log.streams = (sys.stdout, sys.stderr)
    logging.Formatter.converter = time.gmtime
    # Frames bear a level once the platform has said that it looks at levels.
    levels = as_json or bool(level)
    named = LambdaLoggerHandlerWithFrameType if levels else LambdaLoggerHandler
    handler = named(_Log.sink, levels=levels)
    handler.setFormatter(_formatter(as_json))
    handler.addFilter(_mark)
    logs.SafeLogger.write_fallback = staticmethod(write_raw)
    root = logging.getLogger()
    root.addHandler(handler)
    known = {"TRACE": "DEBUG"}.get(level.upper(), level.upper())
    if known in logging.getLevelNamesMapping():
        root.setLevel(known)
    if fault:
        logs.logger("okibi").warning("%s: the log goes to standard output", fault)


class LambdaHandler(logging.Handler):
    """Formats records for the sink.

    Args:
        sink: where they go.
        levels: whether their frames bear a level.
    """

    def __init__(self, sink: Sink, *, levels: bool) -> None:
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
            # User code has closed standard error: there is nobody to tell.
            return


# Libraries find the log's handler by the official client's name for its class: Datadog puts the
# trace's id into its format.
class LambdaLoggerHandler(LambdaHandler):
    """One whose frames bear no level."""


class LambdaLoggerHandlerWithFrameType(LambdaHandler):
    """One whose frames bear a level."""


def _mark(record: logging.LogRecord) -> bool:
    """Mark a record with the invocation it belongs to."""
    record.aws_request_id = invocation_context.request_id()
    record.tenant_id = invocation_context.tenant_id()
    return True


def _formatter(as_json: bool) -> logging.Formatter:
    if as_json:
        from .json_format import JsonLines

        return JsonLines()
    formatter: Any = logging.Formatter(FORMAT, TIME)
    # No subclass: libraries look for this very class, which the official client has.
    formatter.formatException = logs.exception_text
    return cast("logging.Formatter", formatter)


# -- errors


def log_error(body: bytes) -> None:
    """Write an error as the official client writes what a handler raised.

    Args:
        body: of the error's answer; the log says what the invoker is told.
    """
    try:
        _log_error(decode_body(body))
    except Exception as error:
        # User code has put something into the place of standard output that fails.
        write_raw(f"the log cannot be written to: {class_name(type(error))}")
    flush()


def _log_error(told: dict[str, Any]) -> None:
    if _Log.as_json:
        stamp = time.strftime(TIME + "Z", time.gmtime())
        lines = [to_json({"timestamp": stamp, "level": "ERROR", **told})]
    else:
        lines = error_lines(told["errorType"], told["errorMessage"], told["stackTrace"])
    base = JSON if _Log.as_json else TEXT
    _Log.sink.log_error(lines, frame_type(base, logging.ERROR))


def error_lines(kind: str, message: str, stack: list[str]) -> list[str]:
    """The lines of an error in the text format.

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
    """Write a critical entry to standard error without logging's and the stream's locks, which may
    be what the process hangs in.

    Its reader may have stopped, and the end of the process may wait for this: what a full pipe does
    not take within PATIENCE is left out.

    Args:
        words: of the entry.
        request_id: of the event that it is about.
    """
    entry = _raw_line(words, request_id)
    until = monotonic() + PATIENCE
    # It may have closed that, too.
    with suppress(OSError):
        while entry and _takes_more(until):
            entry = entry[os.write(STDERR, entry[:PIECE]) :]


def _takes_more(until: float) -> bool:
    """Whether standard error takes more without a wait, or does so in time."""
    if _poll is None:
        return True
    poll = _poll()
    poll.register(STDERR, select.POLLOUT)
    left = max(0.0, until - monotonic())
    return bool(poll.poll(left * 1000))


def _raw_line(words: str, request_id: str) -> bytes:
    now = time.time()
    if _Log.as_json:
        stamp = time.strftime(TIME + "Z", time.gmtime(now))
        told = {"timestamp": stamp, "level": "CRITICAL", "message": words, "logger": "okibi"}
        line = to_json({**told, "requestId": request_id})
    else:
        stamp = f"{time.strftime(TIME, time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"
        line = f"[CRITICAL]\t{stamp}\t{request_id}\t{words}"
    return line.encode("utf-8", "backslashreplace") + b"\n"


# -- what is printed


class _Stream(TextIOWrapper):
    """In the place of a standard stream, on the same descriptor.

    Args:
        wrapped: that stream.
        by_line: whether what is written goes out with the end of its line.
    """

    def __init__(self, wrapped: "TextIOWrapper[Any]", *, by_line: bool = False) -> None:
        buffer: Any = wrapped.buffer
        if by_line and isinstance(buffer, RawIOBase):
            # The process is told to buffer nothing (PYTHONUNBUFFERED): this has no lock.
            buffer = BufferedWriter(buffer)
        super().__init__(buffer, wrapped.encoding, wrapped.errors, "\n", by_line)
        # It would close the descriptor if nobody held it.
        self._held: list[object] = [wrapped]

    def forked(self) -> None:
        """In a child of this process: another buffer, for a thread that the child does not have may
        hold the lock of this one. What is left in it is its parent's to write.
        """
        # User code may have detached it, or closed it.
        with suppress(ValueError):
            raw = getattr(self.buffer, "raw", None)
            if raw is not None:
                kept = self.encoding, self.errors, "\n", self.line_buffering
                self._held.append(self.buffer)
                TextIOWrapper.__init__(self, BufferedWriter(raw), *kept)

    @property
    def mode(self) -> str:
        """What the wrapped stream has, and only streams that `open` made have by themselves."""
        return "w"


class Unbuffered(_Stream):
    """Writes each piece at once, like the official client's streams."""

    def write(self, text: str, /) -> int:
        size = super().write(text)
        self.flush()
        return size

    def __exit__(self, *_: object) -> None:
        """Stay open, as the official client's does: `with argparse.FileType("w")("-") as out`."""


class Lines(_Stream):
    """Writes each line in one call, for many events in flight.

    `print` writes its end of line apart: the lines of two threads would run into each other. A line
    at once is then better than a piece at once, however long it is: what is longer than the
    stream's chunk would be written before its end has come, and other threads begin meanwhile.
    """

    def __init__(self, wrapped: "TextIOWrapper[Any]") -> None:
        super().__init__(wrapped, by_line=True)
        self._keep_whole()

    def forked(self) -> None:
        super().forked()
        with suppress(ValueError):
            self._keep_whole()

    def _keep_whole(self) -> None:
        self._CHUNK_SIZE = sys.maxsize


def _at_once(stream: Any, lanes: int) -> Any:
    # Not there at all when the process was started with the descriptor closed.
    if not hasattr(stream, "reconfigure"):
        return stream
    stream.reconfigure(line_buffering=True)
    return Unbuffered(stream) if lanes == 1 else Lines(stream)


def forked() -> None:
    """In a child of this process no thread of its parent's holds what the log is written with."""
    for stream in _Log.streams:
        if isinstance(stream, _Stream):
            stream.forked()
    if isinstance(_Log.sink, FramedSink):
        _Log.sink.forked()


def flush() -> None:
    """Write out what was printed: behind an answer the sandbox may freeze at once."""
    out, error = sys.stdout, sys.stderr
    try:
        # In an unbuffered stream no text waits, only what was written to its buffer; a flush of a
        # class of one's own costs twice that of the buffer's.
        (out.buffer if type(out) is Unbuffered else out).flush()
        (error.buffer if type(error) is Unbuffered else error).flush()
    except Exception:
        # User code has closed or replaced them: what is in their place may raise anything.
        return
