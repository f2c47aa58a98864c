"""A function that does not start, told of in one sentence."""

import re
from collections.abc import Sequence
from itertools import dropwhile, takewhile

import attrs
import msgspec

from ..local import FunctionSettings, InvokeResult
from ..runtime.errors.user_code import is_okibi_file, is_written_by_user

__all__ = [
    "ERROR",
    "FunctionError",
    "last_said",
    "read_error",
    "said_itself",
    "stacks_last_said",
    "stood_at",
    "why_not_started",
]

ERROR = "[ERROR] "
"""What the bootstrap's report of an error begins with, where the log is text."""
# What faulthandler begins with: at a time that user code has set, and of one thread alone.
TIMER, STACK = r"Timeout \(.*\)!$", r"Stack \(most recent call first\):$"
# What an import begins with that is told of by itself, and what follows.
IMPORT = r".*(the import has taken [^;]*); all stacks"
DUMP = re.compile(rf"{TIMER}|{STACK}|{IMPORT}")
# What okibi and Lambda say of a start that fails: an actor's end, the stack of what takes too long,
# the report; the error itself is told by its type. As text or as JSON.
OWN = re.compile(
    rf"INIT_REPORT |{DUMP.pattern}|(\[[A-Z]+\]\t|\{{).*\(incarnation \d+\)|\{{.*\"errorType\""
)
LONGEST = 1000
"""Characters of a line that is told in a sentence."""
PLACE = re.compile(r' +(File "(.*)", line \d+ in .*)')
# What a process begins with that ends itself at a deadline, and what follows.
STACKS = re.compile(rf"({TIMER})|{IMPORT}|.*(the loop does not answer at the deadline); all stacks")
OF_STACKS = re.compile(rf"{PLACE.pattern}|{STACK}|(Current t|T)hread 0x[0-9a-f]+ .*")


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
    dumped: file and line, the innermost that is not okibi's; empty if there is none.
    """
    dumped = dropwhile(lambda line: not DUMP.match(line), lines)
    places = (place for line in dumped if (place := PLACE.fullmatch(line)))
    return next((place[1] for place in places if not is_okibi_file(place[2])), "")


def stacks_last_said(lines: Sequence[str]) -> str:
    """What a process told that has ended itself at a deadline, and where the user's code stood, of
    the stacks that it has dumped; empty if they are not the last that it said.
    """
    said = [line for line in lines if line.strip()]
    stacks = list(takewhile(OF_STACKS.fullmatch, reversed(said)))
    if not stacks:
        return ""
    heads = [(number, head) for number, line in enumerate(said) if (head := STACKS.match(line))]
    if heads:
        number, head = heads[-1]
        words = head[1] or head[2] or head[3]
    else:
        # The kernel's timer has ended it: nothing of Python's could say why.
        number, words = len(said) - len(stacks), "all stacks"
    places = [place for line in said[number:] if (place := PLACE.fullmatch(line))]
    # Of many threads the first may be okibi's own.
    place = next(
        (each for each in places if is_written_by_user(each[2])), places[0] if places else None
    )
    return words + (f", where it stood in {place[1]}" if place else "")


def last_said(lines: Sequence[str]) -> str:
    """The last line that is not empty, nor what Lambda says itself of an init that has failed; of
    a long one, as of a log that has the event in it, how it begins.
    """
    said = (line.strip() for line in reversed(lines) if not line.startswith("INIT_REPORT "))
    line = next(filter(None, said), "")
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def _last_place(stack: Sequence[str]) -> str:
    """The last frame's file and line, out of `traceback.format_list` strings: that of who has given
    okibi something wrong, not where okibi has noticed.
    """
    places = [frame.strip().partition("\n")[0] for frame in stack]
    given = [place for place in places if not _is_okibis(place.removeprefix('File "'))]
    for place in reversed(given or places):
        # The import system's own frames tell nobody anything, nor do those below them.
        if '"<frozen importlib' in place:
            return ""
        # `os.environ[...]` is the interpreter's own there, and who asks for it stands above.
        if '"<frozen ' not in place:
            return place
    return ""


def _is_okibis(file: str) -> bool:
    return is_okibi_file(file) or file.startswith("<attrs generated ")


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
