"""What goes to standard output and to standard error, and what is said if it cannot go there."""

import os
import sys
from typing import TextIO, cast

from .arguments import BadInput

__all__ = ["forget", "see_that_stdout_is_open", "write_err", "write_out", "write_text"]


def see_that_stdout_is_open(what: str) -> None:
    """See that there is one, before anything is done for it.

    Args:
        what: goes there, as "the answers go".

    Raises:
        BadInput: it is closed.
    """
    # A shell's `>&-` leaves None here, whatever the annotation says.
    if cast("object", sys.stdout) is None:
        raise BadInput(f"standard output is closed, and {what} there; leave it open")


def write_out(data: bytes, what: str) -> None:
    """Write it at once.

    Args:
        data: it.
        what: goes there, as "the answers go".

    Raises:
        BrokenPipeError: its reader has left.
        BadInput: it cannot be written for another reason.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        forget(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise
        raise BadInput(
            f"standard output cannot be written ({error.strerror}), and {what} there"
        ) from error


def write_text(text: str, what: str) -> None:
    """Write it at once, in the characters that standard output has; of another one its escape.

    Args, Raises: as `write_out`.
    """
    write_out(text.encode(sys.stdout.encoding, "backslashreplace"), what)


def write_err(line: str) -> None:
    """Write a line to standard error; where that is closed it is nobody's, least of all standard
    output's, to which `print` would turn. Where it cannot be written, on a full disk, the answers
    are worth more than it.

    Raises:
        BrokenPipeError: its reader has left.
    """
    if cast("object", sys.stderr) is None:
        return
    try:
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:
        raise
    except OSError:
        forget(sys.stderr)


def forget(stream: TextIO) -> None:
    """Have what is written to a stream go nowhere: what is still in its buffer would make the
    interpreter complain at its end.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
