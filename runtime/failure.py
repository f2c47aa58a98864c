"""Errors as Lambda wants to hear of them: type, message, stack, X-Ray cause.

The shapes are the official client's (Runtime API, error reporting). Frames above the user's own
code are cut off: who reads the error has not written them.
"""

import json
import os
import re
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import cast

from .delivery import Outcome

# The platform crops the cause at 64 KiB and refuses 1 MiB of headers with 431.
CAUSE_LIMIT = 60 * 1024
# Above 6,291,556 bytes the official emulator panics on an error's body.
BODY_LIMIT = 1024 * 1024
# Of a character JSON makes six bytes at most, and twelve of one beyond the sixteen bits.
MESSAGE_LIMIT = BODY_LIMIT // 16
# A recursion that ran away has a thousand.
FRAMES = 100
LATE = "The invocation ran out of time and was ended before the platform would end the sandbox"
_ACCEPTED = re.compile(r"[A-Z][a-zA-Z]+[a-zA-Z0-9_]*")
_BELOW = ("trio", "outcome")
_HOUSE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OWN = tuple(os.path.join(_HOUSE, name, "") for name in ("actors", "supervisors", "runtime"))
_STANDARD = os.path.join(os.path.dirname(os.__file__), "")
_INSTALLED = tuple(os.path.join(_STANDARD, name, "") for name in ("site-packages", "dist-packages"))


class InitError(Exception):
    """The function cannot be served; reported by /init/error, then the process ends.

    Args:
        kind: the errorType, `Runtime.ImportModuleError`.
        message: what was wrong, where, and what to do.
        stack: lines as `traceback.format_list` gives them.
    """

    def __init__(self, kind: str, message: str, stack: tuple[str, ...] = ()) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.stack = stack


class DeadlineExceeded(BaseException):
    """The invocation's time is over. Raised into a plain handler; `except Exception` lets it by."""


def error_json(kind: str, message: str, stack: Sequence[str] = (), request_id: str = "") -> bytes:
    """An error's body."""
    body = {
        "errorMessage": _cut(message, MESSAGE_LIMIT),
        "errorType": kind,
        "requestId": request_id,
        "stackTrace": list(stack)[-FRAMES:],
    }
    return json.dumps(body).encode()


def platform_error(kind: str, message: str, request_id: str) -> Outcome:
    """An error that is the runtime's word, not the handler's."""
    return Outcome(error_json(kind, message, (), request_id), error_type=kind)


def handler_error(error: BaseException, request_id: str) -> Outcome:
    """What a handler's exception answers with."""
    kind, message = type(error).__name__, _message(error)
    frames = user_frames(error.__traceback__)
    stack = traceback.format_list(frames)
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        stack += [f"  {type(e).__name__}: {_message(e)}\n" for e in group.exceptions]
    return Outcome(
        error_json(kind, message, stack, request_id),
        error_type=_function_error(kind),
        cause=_cause(kind, message, frames),
    )


def init_error(error: BaseException) -> InitError:
    """What an exception at import, or of an actor's start, is reported as."""
    if isinstance(error, InitError):
        return error
    stack = tuple(traceback.format_list(user_frames(error.__traceback__)))
    return InitError(type(error).__name__, _message(error), stack)


def user_frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """The frames from the user's first own one on; all of them if none is the user's."""
    frames = list(traceback.extract_tb(trace))
    at = next((n for n, frame in enumerate(frames) if is_users(frame.filename)), 0)
    return frames[at:]


def is_users(filename: str) -> bool:
    """Whether a file is neither okibi's nor trio's nor the interpreter's own."""
    if filename.startswith(("<", *_OWN)) or any(_is_of(filename, name) for name in _BELOW):
        return False
    return not filename.startswith(_STANDARD) or filename.startswith(_INSTALLED)


def _is_of(filename: str, package: str) -> bool:
    loaded = sys.modules.get(package)
    home = loaded.__file__ if loaded is not None else None
    return home is not None and filename.startswith(os.path.dirname(home) + os.sep)


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as broken:
        text = f"<its text raised {type(broken).__name__}>"
    if isinstance(error, RuntimeError) and "no running event loop" in text:
        text += ": the handler needs asyncio, and okibi runs it on trio"
    return text


def _function_error(kind: str) -> str:
    """A type the platform accepts: after the dot a capital and one more letter at least."""
    return f"Function.{kind}" if _ACCEPTED.fullmatch(kind) else "Function.Unknown"


def _cause(kind: str, message: str, frames: Sequence[traceback.FrameSummary]) -> bytes:
    """The X-Ray cause in one line; empty when it would not pass."""
    last = frames[-FRAMES:]
    stack = [{"label": f.name, "path": f.filename, "line": f.lineno} for f in last]
    said = _cut(message, CAUSE_LIMIT // 16)
    cause = {
        "working_directory": _working_directory(),
        "exceptions": [{"message": said, "type": kind, "stack": stack}],
        "paths": sorted({frame.filename for frame in last}),
    }
    line = json.dumps(cause).encode()
    return line if len(line) <= CAUSE_LIMIT else b""


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + " [cut]"


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        # The handler has removed it.
        return ""
