"""Describe in one line why a function did not start, from its error response and its log."""

import os
import re
from collections.abc import Sequence
from itertools import dropwhile, takewhile
from pathlib import Path

import attrs
import msgspec

from ..local import FunctionSettings, InvokeResult
from ..runtime.errors.user_code import is_okibi_file, is_written_by_user

# The first word of an error report in a text log.
ERROR = "[ERROR] "
# The first line of a dump by faulthandler: by its timer, and of a single thread.
TIMER, STACK = r"Timeout \(.*\)!$", r"Stack \(most recent call first\):$"
# okibi's log line about a slow import; stacks follow.
IMPORT = r".*(the import has taken [^;]*); all stacks"
DUMP = re.compile(rf"{TIMER}|{STACK}|{IMPORT}")
# Lines that okibi and Lambda write about a failed start, as text or JSON: an actor's exit, a dump,
# the report. The line of the error itself is recognised by the error type.
OWN = re.compile(
    rf"INIT_REPORT |{DUMP.pattern}|(\[[A-Z]+\]\t|\{{).*\(incarnation \d+\)|\{{.*\"errorType\""
)
# The limit of characters quoted from one log line.
MAX_LINE = 1000
PLACE = re.compile(r' +(File "(.*)", line \d+ in .*)')
# The first line of a frame of a traceback.
FRAME = re.compile(r' *File "(.*)", line \d+, in .*')
# The first line that a process writes when it ends itself at a deadline, and the lines after it.
STACKS = re.compile(rf"({TIMER})|{IMPORT}|.*(the loop does not answer at the deadline); all stacks")
OF_STACKS = re.compile(rf"{PLACE.pattern}|{STACK}|(Current t|T)hread 0x[0-9a-f]+ .*")

# The error of a module that is missing: the handler's own, or one that its code imports.
IMPORTED = re.compile(
    r"(?:Unable to import module '(?P<module>.*?)': )?No module named '(?P<name>.*?)'"
)
WITH_LAMBDA = frozenset({"boto3", "botocore"})


@attrs.frozen
class ErrorResponse:
    """The body of an error response; each field may be missing."""

    errorType: str = "Runtime.Unknown"  # noqa: N815 - names of the Runtime API
    errorMessage: str = ""  # noqa: N815
    stackTrace: Sequence[str] = ()  # noqa: N815

    def describe(self) -> str:
        """Join the type, the message in one line, and the place of the error."""
        message = " ".join(self.errorMessage.split())
        place = _last_place(self.stackTrace)
        return f"{self.errorType}: {message}" + (f" ({place})" if place else "")


def read_error(payload: bytes) -> ErrorResponse:
    """Decode an error response; a payload that is not one becomes the message."""
    try:
        return msgspec.json.decode(payload, type=ErrorResponse)
    except msgspec.DecodeError:
        return ErrorResponse(errorMessage=payload.decode("utf-8", "replace"))


def describe_start_error(settings: FunctionSettings, result: InvokeResult, place: str = "") -> str:
    """Describe an init error and its cure in one line.

    Args:
        settings: the settings of the function.
        result: the result of the first invocation.
        place: the place of a start that timed out, from the log.
    """
    return describe_load_error(settings, read_error(result.payload), place)


def describe_load_error(settings: FunctionSettings, error: ErrorResponse, place: str = "") -> str:
    """Describe an init error and its cure in one line.

    Args:
        settings: the settings of the function.
        error: the error.
        place: the place of a start that timed out, from the log.
    """
    advice = advise_on_missing_module(error.errorMessage, settings.task_root) or _advise(error)
    return (
        f"{settings.handler} in {settings.task_root} does not start:"
        f" {error.describe()}{place and f' ({place})'}{advice and f'; {advice}'}"
    )


def advise_on_missing_module(message: str, folder: Path) -> str:
    """Return what to do about a module that cannot be imported; "" if the error is another one.

    Args:
        message: the message of the error.
        folder: the folder with the function's code.
    """
    found = IMPORTED.match(message)
    if found is None:
        return ""
    package = found["name"].partition(".")[0]
    module = (found["module"] or "").replace("/", ".")
    if f"{module}.".startswith(f"{found['name']}."):
        return f"run okibi in the folder of {package}"
    if package in WITH_LAMBDA:
        return f"run pip install {package}: Lambda's Python has it, this one has not"
    requirements = folder / "requirements.txt"
    if requirements.is_file():
        return f"run pip install -r {os.path.relpath(requirements)}, where okibi runs"
    return f"install the package of {package} where okibi runs: pip install {package}"


def lines_before_error(lines: Sequence[str], error_type: str) -> list[str]:
    """Return the function's own lines: those before the first line of okibi or Lambda."""
    error = re.compile(rf"{re.escape(ERROR + error_type)}(: |\r|$)")
    return list(takewhile(lambda line: not (OWN.match(line) or error.match(line)), lines))


def find_hang(lines: Sequence[str]) -> str:
    """Find the place of a start that timed out, in the stack dumped by the bootstrap.

    Returns:
        File and line of the innermost frame outside okibi; empty if there is none.
    """
    dumped = dropwhile(lambda line: not DUMP.match(line), lines)
    places = (place for line in dumped if (place := PLACE.fullmatch(line)))
    return next((place[1] for place in places if not is_okibi_file(place[2])), "")


def summarize_stacks(lines: Sequence[str]) -> str:
    """Summarise the stacks of a process that ended itself at a deadline.

    Returns:
        The first line of the dump and the place of the user's code; empty if the log does not end
        with stacks.
    """
    written = [line for line in lines if line.strip()]
    stacks = list(takewhile(OF_STACKS.fullmatch, reversed(written)))
    if not stacks:
        return ""
    heads = [(number, head) for number, line in enumerate(written) if (head := STACKS.match(line))]
    if heads:
        number, head = heads[-1]
        reason = head[1] or head[2] or head[3]
    else:
        # Ended by the kernel's timer, which writes no reason.
        number, reason = len(written) - len(stacks), "all stacks"
    places = [place for line in written[number:] if (place := PLACE.fullmatch(line))]
    # The first thread may be okibi's.
    place = next(
        (each for each in places if is_written_by_user(each[2])), places[0] if places else None
    )
    return reason + (f", at {place[1]}" if place else "")


def find_last_line(lines: Sequence[str]) -> str:
    """Return the last line of a log that is not empty, cut after MAX_LINE characters.

    Lambda's INIT_REPORT lines are skipped.
    """
    stripped = (line.strip() for line in reversed(lines) if not line.startswith("INIT_REPORT "))
    line = next(filter(None, stripped), "")
    return line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}..."


def _last_place(stack: Sequence[str]) -> str:
    """Return file and line of the user's last frame, from `traceback.format_list` strings.

    A wrong argument is reported at the user's line, not at the check of okibi or of a library.
    """
    places = [frame.strip().partition("\n")[0] for frame in stack]
    others = [place for place in places if not _is_okibis(place.removeprefix('File "'))]
    users = [frame.strip().partition("\n")[0] for frame in find_user_frames(stack)]
    for place in reversed(others or places):
        # Frames of the import system, and the frames above them, do not help a user.
        if '"<frozen importlib' in place:
            return ""
        # `os.environ[...]` has a frozen frame; the caller's frame is the helpful one.
        if '"<frozen ' not in place:
            return users[-1] if users else place
    return ""


def find_user_frames(stack: Sequence[str]) -> list[str]:
    """Return the frames of a stack that are in the user's own files.

    Args:
        stack: frames as `traceback.format_list` writes them.
    """
    frames = [frame.rstrip() for frame in stack]
    places = [FRAME.fullmatch(frame.partition("\n")[0]) for frame in frames]
    return [
        frame
        for frame, place in zip(frames, places, strict=True)
        if place is not None and is_written_by_user(place[1])
    ]


def _is_okibis(file: str) -> bool:
    return is_okibi_file(file) or file.startswith("<attrs generated ")


def _advise(error: ErrorResponse) -> str:
    """The cure of an init error; empty if the message contains it."""
    match error.errorType:
        case "Runtime.ImportModuleError":
            return "run okibi in the folder of the module, and install the module's imports"
        case "Runtime.HandlerNotFound" | "Runtime.MalformedHandlerName" if (
            "; " in error.errorMessage
        ):
            return ""
        case "Runtime.HandlerNotFound":
            return "give a handler that the module defines, as in app.handler"
        case "Runtime.MalformedHandlerName":
            return "write module.name, as in app.handler"
        case "Sandbox.Timedout":
            return "give a longer --timeout, or let the import and init take less time"
        case _:
            return "correct the error and try again"
