"""What is given on the command line, and the sentence for what is wrong with it."""

import json
import math
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import cast

from ..local import FunctionSettings
from ..local.invoke_path import MAX_EVENT_SIZE
from ..runtime.codec.json import find_json_error
from ..runtime.settings import ELSEWHERE, served_here

__all__ = [
    "BadInput",
    "event_of",
    "handler_of",
    "number_of",
    "see_that_files_can_be_opened",
    "see_that_functions_are_served_here",
    "settings_of",
]


class BadInput(Exception):
    """What was given cannot be done; the message says what, where, and what to do."""


def number_of(text: str) -> float:
    """A number that is given as text; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def handler_of(text: str, option: str = "handler") -> str:
    """A handler that can be imported, as far as its name tells.

    Raises:
        BadInput: it begins with no module, as `./app.function` does, or has a backslash.
    """
    if text.strip()[:1] in ("", ".", "/"):
        raise BadInput(
            f"{option}: {text!r} begins with no module; write module.name, as in app.handler or"
            " folder/app.handler"
        )
    if "\\" in text:
        raise BadInput(
            f"{option}: {text!r} has a backslash; write module.name, as in app.handler or"
            " folder/app.handler"
        )
    return text


def settings_of(handler: str, timeout: str, memory: int = 128) -> FunctionSettings:
    """Those of a function of the current folder.

    Raises:
        BadInput: one of them is wrong, or the folder is gone.
    """
    seconds = number_of(timeout)
    if not 0 < seconds < math.inf:
        raise BadInput(f"--timeout {timeout}: give seconds, more than 0")
    try:
        return FunctionSettings(handler_of(handler), timeout=seconds, memory=memory)
    except ValueError as error:
        raise BadInput(str(error)) from error
    except FileNotFoundError as error:
        raise BadInput("the current folder is gone; go to one that is there") from error


def event_of(source: str | None) -> bytes:
    """The event's bytes, which are JSON.

    Args:
        source: path of a JSON file, "-" for stdin, None for `{}`; or the event itself, if no file
            has that name. A file of UTF-16 is told from one of UTF-8.

    Raises:
        BadInput: it cannot be read, is no JSON, or is more than Lambda takes.
    """
    if source is None:
        return b"{}"
    if not source:
        raise BadInput("the event's file has no name; give a JSON file, or - for stdin")
    name = "stdin" if source == "-" else source
    if source == "-" and cast("object", sys.stdin) is None:
        raise BadInput("stdin: is closed; give a JSON file, or leave it open")
    try:
        event = _in_utf_8(sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes())
    except OSError as error:
        # Of many lines, the first may be empty.
        looks_so = source.lstrip().startswith(("{", "[", '"'))
        if not looks_so and find_json_error(os.fsencode(source)):
            raise BadInput(
                f"{name}: cannot be read ({error.strerror}); give a JSON file, or - for stdin"
            ) from error
        # As the shell has given it, which may be no UTF-8.
        name, event = "the event", os.fsencode(source)
    if wrong := find_json_error(event):
        raise BadInput(f'{name}: is not JSON: {wrong}; an event is, as {{"name": "you"}}')
    if len(event) > MAX_EVENT_SIZE:
        raise BadInput(
            f"{name}: is an event of {len(event):,} bytes: Lambda takes no more than 6 MB;"
            " give less"
        )
    return event


def _in_utf_8(text: bytes) -> bytes:
    """JSON as Lambda takes it, of what the `>` of PowerShell has written in UTF-16."""
    written_in = json.detect_encoding(text)
    if written_in.startswith("utf-8"):
        return text
    # What is none of it is told of as it is.
    with suppress(UnicodeError):
        return text.decode(written_in).encode()
    return text


def see_that_functions_are_served_here() -> None:
    """See that this system can serve one.

    Raises:
        BadInput: it is Windows.
    """
    if not served_here():
        raise BadInput(ELSEWHERE)


def see_that_files_can_be_opened(number: int, what: str, cure: str) -> None:
    """See that a process may have so many open.

    Args:
        number: of them.
        what: needs them.
        cure: what to do about it.

    Raises:
        BadInput: it may not.
    """
    import resource

    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed != resource.RLIM_INFINITY and number > allowed:
        raise BadInput(
            f"{what}: needs {number} open files, and `ulimit -n` allows {allowed}; {cure}"
        )
