"""Where log records go until a function says otherwise: standard output, as Lambda's own lines."""

import logging
import sys
import time
from io import TextIOWrapper
from typing import TextIO

FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(message)s"


def configure(level: str) -> None:
    """Give the root logger a handler, unless it has one, and a level, if the platform names one.

    Standard output is written line by line; what has no end of line yet, `flush` writes.
    """
    for stream in (sys.stdout, sys.stderr):
        # Not there at all when the process was started with the descriptor closed.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    root = logging.getLogger()
    if not root.handlers:
        formatter = logging.Formatter(FORMAT, "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler = StandardOutput(sys.stdout)
        handler.setFormatter(formatter)
        root.addHandler(handler)
    if level in logging.getLevelNamesMapping():
        root.setLevel(level)


class StandardOutput(logging.StreamHandler[TextIO]):
    """Writes records where the function's prints go."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, the standard library's
        try:
            super().handleError(record)
        except ValueError:
            # User code has closed standard output and standard error: there is nobody to tell.
            return


def flush() -> None:
    """Write out what was printed: behind an answer the sandbox may freeze at once."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        # User code has closed or replaced them.
        return
