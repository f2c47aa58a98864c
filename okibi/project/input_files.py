"""Read the files that a command is given: never without end, and never more than a limit."""

import stat
from pathlib import Path
from typing import BinaryIO

from .bad_input import BadInput

MB = 1024 * 1024
# Bytes of a text. CloudFormation takes templates of this size.
MAX_TEXT = MB


def read_text(path: Path, name: str, *, pipe: bool = False) -> str:
    """Read a text in UTF-8 of at most MAX_TEXT bytes.

    Args:
        path: the file.
        name: the file's name in errors, such as "--template template.yaml".
        pipe: whether a pipe or a device will do too, as in `--env-file <(command)`.

    Raises:
        BadInput: the file cannot be read, is too large, or is no file or no text.
    """
    try:
        return read_input(path, name, MAX_TEXT, pipe=pipe).decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"{name}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{name}: is not UTF-8; save the file as UTF-8") from error


def read_input(path: Path, name: str, limit: int, *, pipe: bool = False) -> bytes:
    """Read a file.

    Args:
        path, name, pipe: as in `read_text`.
        limit: the bytes that the file may have.

    Raises:
        OSError: the file cannot be read.
        BadInput: the file is larger, or is no file.
    """
    with open_input(path, name, pipe=pipe) as file:
        return read_stream(file, name, limit)


def open_input(path: Path, name: str, *, pipe: bool = False) -> BinaryIO:
    """Open a file to read. The arguments and errors are those of `read_input`."""
    mode = path.stat().st_mode
    # To open a pipe waits for its writer, and a device has no end.
    if not (pipe or stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise BadInput(f"{name}: is a pipe or a device; write the content to a file, and name that")
    return path.open("rb")


def read_stream(stream: BinaryIO, name: str, limit: int) -> bytes:
    """Read a stream to its end.

    Raises:
        OSError: the stream cannot be read.
        BadInput: the stream has more bytes than the limit.
    """
    content = stream.read(limit + 1)
    if len(content) > limit:
        raise BadInput(f"{name}: has over {limit // MB} MB; give a smaller one")
    return content
