"""`okibi invoke`: serve a function of the current folder on a local Lambda and invoke it."""

import os

import attrs
import msgspec

from ..actors.safe_repr import CRASH_REPORTS
from ..local import FunctionSettings, InvokeResult, LocalLambda, open_local_lambda
from ..project.arguments import check_open_files, check_platform
from ..project.bad_input import BadInput
from ..project.local_settings import read_settings
from ..project.start_errors import (
    ERROR,
    describe_start_error,
    find_hang,
    lines_before_error,
    read_error,
)
from ..runtime.protocol.runtime_api import HTTP_INTEGRATION, PRELUDE_END
from .output import write_err, write_out

GOOD, FUNCTION_ERROR = 0, 1
HTTP = HTTP_INTEGRATION.decode()
# An upper bound of the files that the command has open at one time.
FILES = 24
# The limit of log characters that are held back.
MAX_HELD = 1 << 20
OUTPUT = "the answers"


def choose_settings(
    handler: str, timeout: float | None = None, *, snap_start: bool = False
) -> FunctionSettings:
    """Choose the settings of the function to invoke.

    Args:
        handler: `module.name`, as in `_HANDLER`, or a name in [tool.okibi.functions].
        timeout: seconds; None: the function's own.
        snap_start: whether to start from a snapshot, as with SnapStart.

    Raises:
        BadInput: an argument or pyproject.toml is wrong, or this system cannot serve functions.
    """
    check_platform()
    check_open_files(FILES, "okibi invoke")
    settings = read_settings(handler, timeout)
    # On their own machine, users may see the state of their actors in crash reports.
    reports = {CRASH_REPORTS: os.environ.get(CRASH_REPORTS) or "full"}
    return attrs.evolve(
        settings, environment={**reports, **settings.environment}, snap_start=snap_start
    )


async def invoke_all(settings: FunctionSettings, event: bytes, repeat: int) -> int:
    """Invoke a function, and print its answers and its log.

    Args:
        settings: the settings of the function.
        event: the event as JSON.
        repeat: the number of invocations.

    Returns:
        The exit code: 0 if all answers are good, 1 after a function error.

    Raises:
        BadInput: the function does not start.
    """
    log = _HeldLog()
    try:
        async with open_local_lambda(settings, output=log.write, kill_orphans=True) as function:
            code = GOOD
            for _ in range(repeat):
                result = await _print_answer(function, event)
                if not result.handed_out:
                    raise BadInput(_describe_failed_start(settings, result, log))
                if result.function_error is not None:
                    code = FUNCTION_ERROR
            await function.wait_for_report()
            return code
    finally:
        log.show()


def _describe_failed_start(
    settings: FunctionSettings, result: InvokeResult, log: "_HeldLog"
) -> str:
    place = log.hang_place()
    if result.status_code == 200:
        log.show_before_error(read_error(result.payload).errorType)
    else:
        # A restore has failed. The answer has no cause; the log has it.
        log.show()
    return describe_start_error(settings, result, place)


async def _print_answer(function: LocalLambda, event: bytes) -> InvokeResult:
    """Invoke the function and print its answer: JSON in one line, a stream piece by piece.

    An error that ends a stream is printed on the next line.
    """
    json_pieces, last, printed = list[bytes](), b"\n", False
    async with function.stream(event) as answer:
        async for piece in answer:
            if answer.content_type == "application/json":
                json_pieces.append(piece)
            else:
                last, printed = piece, True
                if answer.content_type == HTTP:
                    # The end of a prelude is eight zero bytes, invisible on a terminal.
                    piece = piece.replace(PRELUDE_END, b"\n")
                write_out(piece, OUTPUT)
        result = await answer.result()
    # The payload of a successful stream has been printed already.
    rest = b"" if printed and result.function_error is None else result.payload
    if result.handed_out and (json_pieces or rest or not last.endswith(b"\n")):
        separator = b"" if last.endswith(b"\n") else b"\n"
        line = _to_one_line(b"".join(json_pieces) or rest)
        write_out(separator + (line + b"\n" if line else b""), OUTPUT)
    return result


@attrs.define(eq=False)
class _HeldLog:
    """Writes log lines to stderr, and holds them back until the function has started.

    A failed start is reported in one line. The bootstrap's report of the same error is dropped.
    """

    _held: list[str] | None = attrs.field(factory=list[str])
    # The number of characters written.
    _size: int = 0

    def write(self, line: str) -> None:
        self._size += len(line)
        if line.startswith("START ") or self._size > MAX_HELD:
            self.show()
        if self._held is None:
            write_err(_split_error_lines(line))
        else:
            self._held.append(line)

    def show(self) -> None:
        held, self._held = self._held, None
        for line in held or ():
            write_err(_split_error_lines(line))

    def show_before_error(self, error_type: str) -> None:
        """Show the lines that the function printed before its start failed with this error."""
        self._held = lines_before_error(self._held or (), error_type)
        self.show()

    def hang_place(self) -> str:
        """The file and line of a start that timed out; empty if unknown."""
        return find_hang(self._held or ())


def _split_error_lines(entry: str) -> str:
    r"""Split an error report, in which Lambda's log joins lines with `\r` (`logs.sinks`).

    A terminal would write each of these lines over the previous one.
    """
    return entry.rstrip("\r").replace("\r", "\n") if ERROR in entry else entry


def _to_one_line(payload: bytes) -> bytes:
    """Remove line breaks from JSON; return other bytes unchanged."""
    if b"\n" not in payload:
        return payload
    try:
        return msgspec.json.format(payload, indent=-1)
    except msgspec.DecodeError:
        return payload
