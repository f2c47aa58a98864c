"""Write to stdout and stderr, also when they are closed, full, or have lost their reader.

Names in templates, archives and logs may have control characters, with which a terminal moves its
cursor, clears its screen or fills the clipboard. They are written as escapes.
"""

import os
import re
import sys
from typing import TextIO, cast

from ..project.bad_input import BadInput

COLOUR_OR_CONTROL = re.compile(r"(\x1b\[[0-9;:]*m)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def escape_controls(text: str) -> str:
    r"""Escape control characters as JSON does, except line breaks, tabs and colours.

    >>> escape_controls("a\tb \x1b[31mred\x1b[0m \x1b[2J")
    'a\tb \x1b[31mred\x1b[0m \\u001b[2J'
    """
    return COLOUR_OR_CONTROL.sub(lambda found: found[1] or f"\\u{ord(found[0]):04x}", text)


def check_stdout(content: str) -> None:
    """Check that stdout is open, before any work is done.

    Args:
        content: the output's name in the error, such as "the answers".

    Raises:
        BadInput: stdout is closed.
    """
    # A shell's `>&-` makes sys.stdout None, in spite of its annotation.
    if cast("object", sys.stdout) is None:
        raise BadInput(
            f"standard output is closed, and {content} cannot be written; "
            "run the command without >&-"
        )


def write_out(data: bytes, content: str) -> None:
    """Write bytes to stdout and flush.

    Args:
        data: the bytes.
        content: the output's name in the error, such as "the answers".

    Raises:
        BrokenPipeError: the reader has exited.
        BadInput: writing failed for another reason, such as a full disk.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        discard_output(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise
        raise BadInput(
            f"{content} cannot be written to standard output ({error.strerror})"
        ) from error


def write_text(text: str, content: str) -> None:
    """Write text in stdout's encoding, with escapes for controls and what the encoding lacks.

    Args, Raises: see `write_out`.
    """
    write_out(escape_controls(text).encode(sys.stdout.encoding, "backslashreplace"), content)


def write_err(line: str) -> None:
    """Write a line to stderr, controls escaped. Drop the line if stderr is closed or full.

    With a closed stderr, `print(file=None)` would write to stdout.

    Raises:
        BrokenPipeError: the reader has exited.
    """
    if cast("object", sys.stderr) is None:
        return
    try:
        print(escape_controls(line), file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        discard_output(sys.stderr)


def discard_output(stream: TextIO) -> None:
    """Redirect a stream to /dev/null.

    Otherwise the interpreter fails to flush the stream's buffer at exit, and prints a traceback.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
