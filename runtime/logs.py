"""Where log records go until a function says otherwise: standard output, as Lambda's own lines."""

import logging
import sys
import time
from typing import TextIO, cast

FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(message)s"


def configure(level: str) -> None:
    """Give the root logger a handler, unless it has one, and a level, if the platform names one.

    Standard output is written through: behind an answer the sandbox may freeze at once, and what
    was printed before must be out by then.
    """
    for stream in (sys.stdout, sys.stderr):
        cast("TextIO", stream).reconfigure(line_buffering=True)  # type: ignore[attr-defined]
    root = logging.getLogger()
    if not root.handlers:
        formatter = logging.Formatter(FORMAT, "%Y-%m-%dT%H:%M:%S")
        formatter.converter = time.gmtime
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(formatter)
        root.addHandler(handler)
    if level in logging.getLevelNamesMapping():
        root.setLevel(level)
