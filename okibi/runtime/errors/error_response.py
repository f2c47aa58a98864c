"""Error responses: the body and the X-Ray cause of an error, as the Runtime API takes them.

The shapes are the official client's (Runtime API, error reporting). The stack leaves out the frames
above the user's own code, and is followed by the errors behind the error (`errors.causes`).

Every part has a limit: the characters of the message, the entries of the stack and their
characters, the bytes of the cause. An error response that the Runtime API refuses would leave the
invocation without an answer.
"""

import json
import os
import re
import traceback
from collections.abc import Callable, Iterable, Sequence
from types import CodeType, TracebackType
from typing import Any, TypeVar

from ...actors import logs
from ...actors.exits import is_a
from ...actors.safe_repr import TEXT_LIMIT, class_name, cut, error_text, traceback_of
from ..protocol.outcome import Outcome
from .causes import Related, find_related
from .exceptions import InitError
from .user_code import OKIBI, is_framework_file, is_user_file, is_written_by_user

F = TypeVar("F", bound=Callable[..., object])
# Type, message and frames of an error, for the X-Ray cause.
ErrorSummary = tuple[str, str, Sequence["traceback.FrameSummary"]]

# The platform crops the cause at 64 KiB and refuses 1 MiB of headers with 431.
CAUSE_LIMIT = 60 * 1024
# The official emulator panics on an error body above 6,291,556 bytes.
BODY_LIMIT = 1024 * 1024
# A sixteenth of BODY_LIMIT: JSON escapes a character with 6 bytes, or 12 beyond 16 bits.
MESSAGE_LIMIT = TEXT_LIMIT
# An endless recursion has 1000 frames; a line of minified code may have a million characters.
FRAMES, FRAME_LIMIT = 100, 1000
# Entries of FRAMES for the errors behind the error.
RELATED_LIMIT = 40
TYPE_LIMIT = 200
# Frames and message characters, tried in this order until the cause is within CAUSE_LIMIT.
_CAUSE_SIZES = ((FRAMES, CAUSE_LIMIT // 16), (25, 2000), (5, 200))
DEADLINE_EXCEEDED = "Runtime.DeadlineExceeded"
# What the runtime counts (`actors.logs.count`), as the metrics name it.
HANDLER_ERRORS, LATE_ANSWERS = "HandlerErrors", "LateAnswers"
RECYCLED_PROCESSES = "RecycledProcesses"
LATE = "The invocation ran out of time and was ended before the platform would end the sandbox"
_NEEDS_ASYNCIO = (
    ": this needs asyncio, and okibi runs it on trio; set OKIBI_LOOP=asyncio for the handler, or "
    'write Function(handler, loop="asyncio"); an actor and a Resource have a loop= of their own'
)
_NEEDS_TRIO = (
    ": this needs trio, and the handler runs on asyncio because of OKIBI_LOOP or its Function's "
    "loop; call actors with okibi.runtime.from_asyncio"
)
_NEEDS_ASYNC_DEF = (
    ": trio already runs in this thread; write `async def` and `await main()` instead of "
    "`trio.run(main)`"
)
_MAIN_THREAD = "in thread 'MainThread'"
_NESTED_RUN = "Attempted to call run() from inside a run()"
_ACCEPTED_TYPE = r"[A-Z][a-zA-Z]+[a-zA-Z0-9_]*"
_ASYNCIO_LOOP = os.path.join(OKIBI, "asyncio_loop", "")
# A plain `def` on the main thread and code on okibi's asyncio loop do not run on trio.
_NOT_ON_TRIO = (_ASYNCIO_LOOP, os.path.join(OKIBI, "runtime", "deadlines", "interrupt.py"))
# Bound early: the user's code may replace json's functions.
to_json = json.JSONEncoder(ensure_ascii=False).encode
_decode = json.JSONDecoder().decode
_handler_callers: set[CodeType] = set()
_encode_escaped = json.JSONEncoder().encode


def error_json(kind: str, message: str, stack: Sequence[str] = (), request_id: str = "") -> bytes:
    """Encode the body of an error response."""
    body = {
        "errorMessage": cut(message, MESSAGE_LIMIT),
        "errorType": cut(kind, TYPE_LIMIT),
        "requestId": request_id,
        "stackTrace": [cut(entry, FRAME_LIMIT) for entry in stack[-FRAMES:]],
    }
    return encode_body(body)


def encode_body(body: dict[str, Any]) -> bytes:
    """Encode the body of an error response from its fields."""
    # backslashreplace writes a lone surrogate as JSON's own escape.
    return to_json(body).encode("utf-8", "backslashreplace")


def decode_body(body: bytes) -> dict[str, Any]:
    """Decode the body of an error response into its fields."""
    fields: dict[str, Any] = _decode(body.decode())
    return fields


def platform_error(kind: str, message: str, request_id: str, x_ray_kind: str = "") -> Outcome:
    """Make the outcome of an error that the runtime found, not the handler.

    Args:
        kind: the errorType, for example `Runtime.MarshalError`.
        message: the text of the error.
        request_id: the request id of the event.
        x_ray_kind: the type in the X-Ray cause; empty for `kind`.
    """
    cause = x_ray_cause([(x_ray_kind or kind, message, ())])
    return Outcome(error_json(kind, message, (), request_id), error_type=kind, cause=cause)


def handler_error(error: BaseException, request_id: str) -> Outcome:
    """Make the outcome of a handler's exception, even if the exception's own methods raise."""
    logs.count(HANDLER_ERRORS)
    try:
        return _handler_error(error, request_id)
    except BaseException as broken:
        kind = class_name(type(error))
        message = f"<the error cannot be read: {class_name(type(broken))}>"
        body = error_json(kind, message, (), request_id)
        return Outcome(body, error_type=_function_error(kind))


def _handler_error(error: BaseException, request_id: str) -> Outcome:
    kind, message = class_name(type(error)), _message(error)
    related = find_related(error)
    return Outcome(
        error_json(kind, message, _stack(error, related), request_id),
        error_type=_function_error(kind),
        cause=x_ray_cause([_summary(each) for each in (error, *(other for _, other in related))]),
    )


def init_error(error: BaseException) -> InitError:
    """Make the init error of an exception at import or in an actor's start."""
    if is_a(error, InitError):
        return error
    kind = class_name(type(error))
    try:
        return InitError(kind, _message(error), _stack(error, find_related(error)))
    except BaseException as broken:
        return InitError(kind, f"<the error cannot be read: {class_name(type(broken))}>")


def frames_written_by_user(error: BaseException) -> tuple[str, ...]:
    """Return the entries of an error's stack that are in the user's own files; else the last one.

    They say where the error came from. The frames of installed libraries are in the whole stack.
    """
    frames = user_frames(traceback_of(error))
    return tuple(
        format_frames([f for f in frames if is_written_by_user(f.filename)] or frames[-1:])
    )


def _stack(error: BaseException, related: Sequence[Related]) -> tuple[str, ...]:
    """Return the entries of the error's own stack, then those of the related errors."""
    rest: list[str] = []
    for relation, other in related:
        rest.append(f"  {relation}{class_name(type(other))}: {cut(_message(other), FRAME_LIMIT)}\n")
        rest += _entries(other)[-RELATED_LIMIT:]
    rest = rest[:RELATED_LIMIT]
    return (*_entries(error)[-(FRAMES - len(rest)) :], *rest)


def _entries(error: BaseException) -> list[str]:
    return format_frames(user_frames(traceback_of(error)))


def format_frames(frames: "Iterable[traceback.FrameSummary]") -> list[str]:
    """Format frames as `traceback.format_list` does, without the lines of `^^^^`."""
    return traceback.format_list([(f.filename, f.lineno or 0, f.name, f.line) for f in frames])


def user_frames(trace: TracebackType | None) -> "list[traceback.FrameSummary]":
    """Return the frames from the user's first frame on.

    Without a user's frame (a handler made by `exec`): the frames from the first one outside okibi
    and trio. Without such a frame: no frame if the call of the handler itself failed, else all.
    """
    frames = list(traceback.extract_tb(trace))
    first = next((n for n, frame in enumerate(frames) if is_user_file(frame.filename)), None)
    if first is None:
        first = next(
            (n for n, frame in enumerate(frames) if not is_framework_file(frame.filename)), None
        )
    if first is None:
        codes = [frame.f_code for frame, _ in traceback.walk_tb(trace)]
        first = len(frames) if codes and codes[-1] in _handler_callers else 0
    return frames[first:]


def calls_handler(function: F) -> F:
    """Mark a function of okibi that calls the user's code.

    If the innermost frame of an error is a marked function's, the call itself failed: the arguments
    are wrong, or the handler is written in C. okibi's frames are then left out of the stack.
    """
    _handler_callers.add(function.__code__)
    return function


def unwrap_stop_iteration(error: BaseException) -> BaseException:
    """Return the StopIteration that a plain `def` raised.

    Inside a coroutine of okibi, StopIteration becomes a RuntimeError (PEP 479). A RuntimeError from
    a coroutine of the user has the user's frames and stays.
    """
    if type(error) is not RuntimeError or error.args != ("coroutine raised StopIteration",):
        return error
    stopped = error.__cause__
    if not isinstance(stopped, StopIteration):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    return error if any(is_user_file(frame.filename) for frame in frames) else stopped


def _message(error: BaseException) -> str:
    text = error_text(error, MESSAGE_LIMIT)
    if is_a(error, SystemExit) and error.code is None:
        text = "sys.exit()"
    if _needs_asyncio(error, text):
        return text + _NEEDS_ASYNCIO
    if _needs_trio(error, text):
        return text + _NEEDS_TRIO
    if is_a(error, RuntimeError) and text == _NESTED_RUN:
        return text + _NEEDS_ASYNC_DEF
    return text


def _needs_asyncio(error: BaseException, text: str) -> bool:
    """Return whether code for asyncio ran on trio."""
    if is_a(error, RuntimeError):
        found = "no running event loop" in text or f"no current event loop {_MAIN_THREAD}" in text
    else:
        found = is_a(error, TypeError) and "received unrecognized yield message" in text
    if not found:
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return not any(frame.filename.startswith(_NOT_ON_TRIO) for frame in frames)


def _needs_trio(error: BaseException, text: str) -> bool:
    """Return whether code for trio ran on okibi's asyncio loop."""
    found = "must be called from async context", "Task got bad yield: <class 'trio."
    if not is_a(error, RuntimeError) or not text.startswith(found):
        return False
    return any(
        f.filename.startswith(_ASYNCIO_LOOP) for f in traceback.extract_tb(error.__traceback__)
    )


def _function_error(kind: str) -> str:
    """Return an error type that the platform accepts: a capital and a letter after the dot."""
    accepted = len(kind) <= TYPE_LIMIT and re.fullmatch(_ACCEPTED_TYPE, kind)
    return f"Function.{kind}" if accepted else "Function.Unknown"


def x_ray_cause(errors: Sequence[ErrorSummary]) -> bytes:
    """Encode the X-Ray cause in one line; empty if no size fits CAUSE_LIMIT.

    Args:
        errors: the handler's own error first.
    """
    for frames, characters in _CAUSE_SIZES:
        exceptions = [_exception(each, frames, characters) for each in errors]
        cause = {
            "working_directory": _working_directory(),
            "exceptions": exceptions,
            "paths": sorted({frame["path"] for each in exceptions for frame in each["stack"]}),
        }
        line = _encode_escaped(cause).encode()
        if len(line) <= CAUSE_LIMIT:
            return line
        # After the first attempt, report only the handler's own error.
        errors = errors[:1]
    return b""


def _summary(error: BaseException) -> ErrorSummary:
    return class_name(type(error)), _message(error), user_frames(traceback_of(error))


def _exception(summary: ErrorSummary, frames: int, characters: int) -> dict[str, Any]:
    kind, message, stack = summary
    return {
        "message": cut(message, characters),
        "type": cut(kind, TYPE_LIMIT),
        "stack": [{"label": f.name, "path": f.filename, "line": f.lineno} for f in stack[-frames:]],
    }


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        # The handler removed the folder.
        return ""
