"""A function that does not start, told of in one sentence."""

import re
from collections.abc import Sequence
from itertools import dropwhile, takewhile

import attrs
import msgspec

from runtime.local import FunctionSettings, InvokeResult

__all__ = [
    "ERROR",
    "FunctionError",
    "last_said",
    "read_error",
    "said_itself",
    "stood_at",
    "why_not_started",
]

ERROR = "[ERROR] "
"""What the bootstrap's report of an error begins with, where the log is text."""
DUMP = re.compile(r"Timeout \(.*\)!$")
# What okibi and Lambda say of a start that fails: an actor's end, the stack of what takes too long,
# the report; the error itself is told by its type. As text or as JSON.
OWN = re.compile(
    rf"INIT_REPORT |{DUMP.pattern}|(\[[A-Z]+\]\t|\{{).*\(incarnation \d+\)|\{{.*\"errorType\""
)
PLACE = re.compile(r' +(File ".*", line \d+ in .*)')


@attrs.frozen
class FunctionError:
    """The body of an error, as far as anyone may count on it."""

    errorType: str = "Runtime.Unknown"  # noqa: N815 - the wire's names
    errorMessage: str = ""  # noqa: N815
    stackTrace: Sequence[str] = ()  # noqa: N815

    def in_words(self) -> str:
        """Its type, its message in one line, and where it was raised."""
        message = " ".join(self.errorMessage.split())
        place = _last_place(self.stackTrace)
        return f"{self.errorType}: {message}" + (f" ({place})" if place else "")


def read_error(payload: bytes) -> FunctionError:
    """The error that an invoker is told; what is no error's JSON is its message."""
    try:
        return msgspec.json.decode(payload, type=FunctionError)
    except msgspec.DecodeError:
        return FunctionError(errorMessage=payload.decode("utf-8", "replace"))


def why_not_started(settings: FunctionSettings, result: InvokeResult, place: str = "") -> str:
    """One sentence out of an init error.

    Args:
        settings: of the function.
        result: of its first invocation.
        place: where it stood, if the error does not say.
    """
    error = read_error(result.payload)
    return (
        f"{settings.handler} in {settings.task_root} does not start:"
        f" {error.in_words()}{place and f' ({place})'}; {_advice(error.errorType)}"
    )


def said_itself(lines: Sequence[str], error_type: str) -> list[str]:
    """The lines that a function has printed before it failed to start: those before the first of
    okibi's or Lambda's.
    """
    error = re.compile(rf"{re.escape(ERROR + error_type)}(: |\r|$)")
    return list(takewhile(lambda line: not (OWN.match(line) or error.match(line)), lines))


def stood_at(lines: Sequence[str]) -> str:
    """Where a function stood whose start took too long, out of the stack that the bootstrap has
    dumped: file and line, the innermost; empty if there is none.
    """
    dumped = dropwhile(lambda line: not DUMP.match(line), lines)
    return next((place[1] for line in dumped if (place := PLACE.fullmatch(line))), "")


def last_said(lines: Sequence[str]) -> str:
    """The last line that is not empty, nor what Lambda says itself of an init that has failed."""
    said = (line.strip() for line in reversed(lines) if not line.startswith("INIT_REPORT "))
    return next(filter(None, said), "")


def _last_place(stack: Sequence[str]) -> str:
    """The last frame's file and line, out of `traceback.format_list` strings."""
    for frame in reversed(stack):
        place = frame.strip().partition("\n")[0]
        # The import system's own frames tell nobody anything, nor do those below them.
        if '"<frozen importlib' in place:
            return ""
        # `os.environ[...]` is the interpreter's own there, and who asks for it stands above.
        if '"<frozen ' not in place:
            return place
    return ""


def _advice(error_type: str) -> str:
    match error_type:
        case "Runtime.ImportModuleError":
            return "run okibi in the folder with the module, and with what it imports installed"
        case "Runtime.HandlerNotFound":
            return "name a handler that the module has"
        case "Runtime.MalformedHandlerName":
            return "write module.name, as in app.function"
        case "Sandbox.Timedout":
            return "let its import and its init take less time, or give --timeout more"
        case _:
            return "correct it and try again"
