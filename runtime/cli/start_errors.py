"""A function that does not start, told of in one sentence."""

from collections.abc import Sequence

import attrs
import msgspec

from runtime.local import FunctionSettings, InvokeResult

__all__ = ["FunctionError", "read_error", "why_not_started"]


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


def why_not_started(settings: FunctionSettings, result: InvokeResult) -> str:
    """One sentence out of an init error."""
    error = read_error(result.payload)
    return (
        f"{settings.handler} in {settings.task_root} does not start:"
        f" {error.in_words()}; {_advice(error.errorType)}"
    )


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
