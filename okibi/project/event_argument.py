"""Read the event that a command is given."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import cast

from ..local.limits import MAX_EVENT_SIZE
from ..runtime.codec.json import find_json_error
from .bad_input import BadInput
from .input_files import read_input, read_stream

# Bytes of the largest event in UTF-32.
MOST_BYTES = 4 * MAX_EVENT_SIZE


def read_event(source: str | None) -> bytes:
    """Read the event, and check that it is JSON.

    Args:
        source: path of a JSON file, "-" for stdin, None for `{}`; or the JSON itself, if no file
            has that name. UTF-16 and UTF-32 are converted to UTF-8.

    Raises:
        BadInput: the event cannot be read, is not JSON, or exceeds Lambda's limit.
    """
    if source is None:
        return b"{}"
    if not source:
        raise BadInput("the event is an empty text; give JSON, a JSON file, or - for stdin")
    name = "stdin" if source == "-" else source
    if source == "-" and cast("object", sys.stdin) is None:
        raise BadInput("stdin is closed; give JSON, or a JSON file, in place of -")
    try:
        event = _to_utf_8(
            read_stream(sys.stdin.buffer, name, MOST_BYTES)
            if source == "-"
            else read_input(Path(source), name, MOST_BYTES, pipe=True)
        )
    except OSError as error:
        # lstrip: JSON of many lines may begin with an empty line.
        looks_like_json = source.lstrip().startswith(("{", "[", '"'))
        if not looks_like_json and find_json_error(os.fsencode(source)):
            raise BadInput(
                f"{name}: cannot be read ({error.strerror}); give JSON, a JSON file, or - for stdin"
            ) from error
        # The bytes as the shell passed them; they may not be UTF-8.
        name, event = "the event", os.fsencode(source)
    if wrong := find_json_error(event):
        raise BadInput(f"""{name}: not JSON ({wrong}); write an event as in '{{"name": "Ada"}}'""")
    if len(event) > MAX_EVENT_SIZE:
        raise BadInput(
            f"{name}: {len(event):,} bytes exceed Lambda's limit of 6 MB for an event;"
            " give a smaller one"
        )
    return event


def _to_utf_8(text: bytes) -> bytes:
    """Convert JSON to UTF-8. PowerShell's `>` writes UTF-16."""
    encoding = json.detect_encoding(text)
    if encoding.startswith("utf-8"):
        return text
    # On a decoding error, the unchanged bytes fail later as "not JSON".
    with suppress(UnicodeError):
        return text.decode(encoding).encode()
    return text
