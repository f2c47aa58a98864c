"""Write to stdout and stderr, also when they are closed, full, or have lost their reader."""

import os
import sys
from typing import TextIO, cast

from .arguments import BadInput

__all__ = ["check_stdout", "discard_output", "write_err", "write_out", "write_text"]


def check_stdout(content: str) -> None:
    """Check that stdout is open, before any work is done.

    Args:
        content: names the output in the error, such as "the answers".

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
        content: names the output in the error, such as "the answers".

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
    """Write text in stdout's encoding, with escapes for characters that the encoding lacks.

    Args, Raises: see `write_out`.
    """
    write_out(text.encode(sys.stdout.encoding, "backslashreplace"), content)


def write_err(line: str) -> None:
    """Write a line to stderr. Drop the line if stderr is closed or its disk is full.

    With a closed stderr, `print(file=None)` would write to stdout.

    Raises:
        BrokenPipeError: the reader has exited.
    """
    if cast("object", sys.stderr) is None:
        return
    try:
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        discard_output(sys.stderr)


def discard_output(stream: TextIO) -> None:
    """Redirect a stream to /dev/null.

    Otherwise the interpreter fails to flush the stream's buffer at exit, and prints a traceback.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
