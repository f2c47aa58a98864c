"""Errors as Lambda wants to hear of them: type, message, stack, X-Ray cause.

The shapes are the official client's (Runtime API, error reporting). Frames above the user's own
code are cut off: who reads the error has not written them. Behind the error's frames stand those
of what it came of (`errors.causes`).

Everything has a limit, for an error that cannot be told is an invocation without an answer: of
the message's characters, of a stack's entries and of each one's characters, of the cause's bytes.
"""

import json
import os
import re
import traceback
from collections.abc import Callable, Iterable, Sequence
from types import CodeType, TracebackType
from typing import Any, TypeVar

from ...actors.exits import is_a
from ...actors.safe_repr import ALONE, class_name, cut, said, traceback_of
from ..protocol.outcome import Outcome
from .causes import Related, find_related
from .exceptions import InitError
from .user_code import OKIBI, is_framework_file, is_user_file

F = TypeVar("F", bound=Callable[..., object])
# Of an error, for its X-Ray cause: type, message, frames.
Told = tuple[str, str, Sequence[traceback.FrameSummary]]

# The platform crops the cause at 64 KiB and refuses 1 MiB of headers with 431.
CAUSE_LIMIT = 60 * 1024
# Above 6,291,556 bytes the official emulator panics on an error's body.
BODY_LIMIT = 1024 * 1024
# A sixteenth of that: of a character JSON makes six bytes, twelve of one beyond the sixteen bits.
MESSAGE_LIMIT = ALONE
# A recursion that ran away has a thousand; a line of minified code has a million characters.
FRAMES, FRAME_LIMIT = 100, 1000
# Of those, what the errors behind it may take.
BEHIND = 40
TYPE_LIMIT = 200
# Frames and characters of a message, tried in this order until the cause is under its limit.
_CAUSE_SIZES = ((FRAMES, CAUSE_LIMIT // 16), (25, 2000), (5, 200))
LATE = "The invocation ran out of time and was ended before the platform would end the sandbox"
_NEEDS_ASYNCIO = (
    ": the handler needs asyncio, and okibi runs it on trio; set OKIBI_LOOP=asyncio, or say "
    'Function(handler, loop="asyncio")'
)
_NEEDS_TRIO = (
    ": this needs trio, and the handler runs on asyncio, by OKIBI_LOOP or its Function's loop; "
    "actors are asked there with okibi.runtime.from_asyncio"
)
_NEEDS_ASYNC_DEF = (
    ": trio runs in this thread already; write `async def` and `await main()` in place of "
    "`trio.run(main)`"
)
_MAIN = "in thread 'MainThread'"
_IN_A_RUN = "Attempted to call run() from inside a run()"
_ACCEPTED = r"[A-Z][a-zA-Z]+[a-zA-Z0-9_]*"
_AIO = os.path.join(OKIBI, "runtime", "handlers", "asyncio_loop", "")
# A `def` on the main thread, and what runs on okibi's own loop of asyncio's, lack something else.
_NO_TRIO = (_AIO, os.path.join(OKIBI, "runtime", "deadlines", "interrupt.py"))
# Bound before there is a user's module that may put another library's functions in their place.
to_json = json.JSONEncoder(ensure_ascii=False).encode
_decode = json.JSONDecoder().decode
_calling: set[CodeType] = set()
_encode_escaped = json.JSONEncoder().encode


def error_json(kind: str, message: str, stack: Sequence[str] = (), request_id: str = "") -> bytes:
    """An error's body."""
    body = {
        "errorMessage": cut(message, MESSAGE_LIMIT),
        "errorType": cut(kind, TYPE_LIMIT),
        "requestId": request_id,
        "stackTrace": [cut(entry, FRAME_LIMIT) for entry in stack[-FRAMES:]],
    }
    return encode_body(body)


def encode_body(body: dict[str, Any]) -> bytes:
    """JSON of it, as it is sent."""
    # Half of a surrogate pair becomes the escape that JSON has for it.
    return to_json(body).encode("utf-8", "backslashreplace")


def decode_body(body: bytes) -> dict[str, Any]:
    """What `encoded` has made that of."""
    told: dict[str, Any] = _decode(body.decode())
    return told


def platform_error(kind: str, message: str, request_id: str, x_ray_kind: str = "") -> Outcome:
    """An error that is the runtime's word, not the handler's.

    Args:
        kind: the errorType, `Runtime.MarshalError`.
        message: what was wrong.
        request_id: of the event.
        x_ray_kind: the type in the X-Ray cause, if that is another.
    """
    cause = x_ray_cause([(x_ray_kind or kind, message, ())])
    return Outcome(error_json(kind, message, (), request_id), error_type=kind, cause=cause)


def handler_error(error: BaseException, request_id: str) -> Outcome:
    """What a handler's exception answers with, whatever its own code does when it is asked."""
    try:
        return _handler_error(error, request_id)
    except BaseException as broken:
        kind = class_name(type(error))
        words = f"<the error cannot be told: {class_name(type(broken))}>"
        body = error_json(kind, words, (), request_id)
        return Outcome(body, error_type=_function_error(kind))


def _handler_error(error: BaseException, request_id: str) -> Outcome:
    kind, message = class_name(type(error)), _message(error)
    related = find_related(error)
    return Outcome(
        error_json(kind, message, _stack(error, related), request_id),
        error_type=_function_error(kind),
        cause=x_ray_cause([_told(each) for each in (error, *(other.error for other in related))]),
    )


def init_error(error: BaseException) -> InitError:
    """What an exception at import, or of an actor's start, is reported as."""
    if is_a(error, InitError):
        return error
    kind = class_name(type(error))
    try:
        return InitError(kind, _message(error), _stack(error, find_related(error)))
    except BaseException as broken:
        return InitError(kind, f"<the error cannot be told: {class_name(type(broken))}>")


def _stack(error: BaseException, related: Sequence[Related]) -> tuple[str, ...]:
    """The entries of an error's stack, and behind them those of what it came of."""
    rest: list[str] = []
    for relation, other in related:
        rest.append(f"  {relation}{class_name(type(other))}: {cut(_message(other), FRAME_LIMIT)}\n")
        rest += _entries(other)[-BEHIND:]
    rest = rest[:BEHIND]
    return (*_entries(error)[-(FRAMES - len(rest)) :], *rest)


def _entries(error: BaseException) -> list[str]:
    return format_frames(user_frames(traceback_of(error)))


def format_frames(frames: Iterable[traceback.FrameSummary]) -> list[str]:
    """What `traceback.format_list` makes of frames without their columns: no lines of `^^^^`."""
    return traceback.format_list([(f.filename, f.lineno or 0, f.name, f.line) for f in frames])


def user_frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    """The frames from the user's first own one on; if none is the user's, as of a handler that was
    made by `exec`, from the first that is not okibi's. If there is none either: no frame where the
    call of a handler failed, else all of them.
    """
    frames = list(traceback.extract_tb(trace))
    first = next((n for n, frame in enumerate(frames) if is_user_file(frame.filename)), None)
    if first is None:
        first = next(
            (n for n, frame in enumerate(frames) if not is_framework_file(frame.filename)), None
        )
    if first is None:
        codes = [frame.f_code for frame, _ in traceback.walk_tb(trace)]
        first = len(frames) if codes and codes[-1] in _calling else 0
    return frames[first:]


def calls_handler(function: F) -> F:
    """Mark a function that calls what the user has written.

    An error whose innermost frame is such a function's comes of the call itself: the arguments are
    wrong, or what is called is written in C. okibi's frames would say nothing about it.
    """
    _calling.add(function.__code__)
    return function


def unwrap_stop_iteration(error: BaseException) -> BaseException:
    """What the handler's code raised. In a coroutine of okibi's StopIteration, which a plain `def`
    may well raise, becomes a RuntimeError (PEP 479); one of the user's own has his frames.
    """
    if type(error) is not RuntimeError or error.args != ("coroutine raised StopIteration",):
        return error
    stopped = error.__cause__
    if not isinstance(stopped, StopIteration):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    return error if any(is_user_file(frame.filename) for frame in frames) else stopped


def _message(error: BaseException) -> str:
    text = said(error, MESSAGE_LIMIT)
    if is_a(error, SystemExit) and error.code is None:
        text = "sys.exit()"
    if _needs_asyncio(error, text):
        return text + _NEEDS_ASYNCIO
    if _needs_trio(error, text):
        return text + _NEEDS_TRIO
    if is_a(error, RuntimeError) and text == _IN_A_RUN:
        return text + _NEEDS_ASYNC_DEF
    return text


def _needs_asyncio(error: BaseException, text: str) -> bool:
    """Whether code that is written for asyncio has found trio instead."""
    if is_a(error, RuntimeError):
        found = "no running event loop" in text or f"no current event loop {_MAIN}" in text
    else:
        found = is_a(error, TypeError) and "received unrecognized yield message" in text
    if not found:
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return not any(frame.filename.startswith(_NO_TRIO) for frame in frames)


def _needs_trio(error: BaseException, text: str) -> bool:
    """Whether code that is written for trio has found okibi's loop of asyncio's instead."""
    found = "must be called from async context", "Task got bad yield: <class 'trio."
    if not is_a(error, RuntimeError) or not text.startswith(found):
        return False
    return any(f.filename.startswith(_AIO) for f in traceback.extract_tb(error.__traceback__))


def _function_error(kind: str) -> str:
    """A type the platform accepts: after the dot a capital and one more letter at least."""
    accepted = len(kind) <= TYPE_LIMIT and re.fullmatch(_ACCEPTED, kind)
    return f"Function.{kind}" if accepted else "Function.Unknown"


def x_ray_cause(errors: Sequence[Told]) -> bytes:
    """The X-Ray cause in one line; empty when it would not pass.

    Args:
        errors: what is told of each, the handler's own first.
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
        # Beyond the first attempt only the handler's own error counts.
        errors = errors[:1]
    return b""


def _told(error: BaseException) -> Told:
    return class_name(type(error)), _message(error), user_frames(traceback_of(error))


def _exception(told: Told, frames: int, characters: int) -> dict[str, Any]:
    kind, message, stack = told
    return {
        "message": cut(message, characters),
        "type": cut(kind, TYPE_LIMIT),
        "stack": [{"label": f.name, "path": f.filename, "line": f.lineno} for f in stack[-frames:]],
    }


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        # The handler has removed it.
        return ""
