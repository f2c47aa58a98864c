"""`okibi invoke`: a function of the current folder, served and invoked in one command."""

import os
from functools import partial

import attrs
import msgspec

from ..actors.safe_repr import CRASH_REPORTS
from ..local import FunctionSettings, InvokeResult, LocalLambda, open_local_lambda
from ..runtime.protocol.runtime_api import HTTP_INTEGRATION, PRELUDE_END
from .arguments import (
    BadInput,
    event_of,
    number_of,
    see_that_files_can_be_opened,
    see_that_functions_are_served_here,
    settings_of,
)
from .output import write_err, write_out
from .start_errors import ERROR, read_error, said_itself, stood_at, why_not_started
from .until_signal import exit_code_of

__all__ = ["Order", "invoke", "read_order"]

GOOD, FUNCTION_ERROR = 0, 1
HTTP = HTTP_INTEGRATION.decode()
# That it has open at once, and some to spare.
FILES = 24
HELD = 1 << 20
"""Characters of the log that are held back at most."""


@attrs.frozen
class Order:
    """What is to be invoked.

    Args:
        settings: of the function.
        event: its bytes, which are JSON.
        repeat: how many times.
    """

    settings: FunctionSettings
    event: bytes
    repeat: int


def invoke(handler: str, event: str | None, *, repeat: str = "1", timeout: str = "3") -> int:
    """Invoke a function of the current folder.

    Args:
        handler: as `_HANDLER` has it.
        event: JSON, or path of a file of it, "-" for stdin, None for `{}`.
        repeat: a whole number, more than 0.
        timeout: seconds, more than 0.

    Returns:
        The exit code: 0 if all answers are good, 1 if one is a function error, 2 for bad input,
        130 after Ctrl-C.
    """
    return exit_code_of(
        "the answers go",
        lambda: partial(_serve, read_order(handler, event, repeat=repeat, timeout=timeout)),
    )


# -- what is given


def read_order(handler: str, event: str | None, *, repeat: str, timeout: str) -> Order:
    """The order that the arguments of `invoke` give.

    Raises:
        BadInput: one of them is wrong.
    """
    see_that_functions_are_served_here()
    times = number_of(repeat)
    if not times.is_integer() or times < 1:
        raise BadInput(f"--repeat {repeat}: give a whole number, 1 or more")
    # Who invokes a function on their own machine may see what their actors hold.
    reports = {CRASH_REPORTS: os.environ.get(CRASH_REPORTS) or "full"}
    settings = attrs.evolve(settings_of(handler, timeout), environment=reports)
    see_that_files_can_be_opened(FILES, "invoke", "allow more")
    return Order(settings, event_of(event), int(times))


# -- what is done with it


async def _serve(order: Order) -> int:
    log = _Log()
    try:
        async with open_local_lambda(order.settings, output=log.write, sweep=True) as function:
            return await _invoke_all(order, function, log)
    finally:
        log.show()


async def _invoke_all(order: Order, function: LocalLambda, log: "_Log") -> int:
    code = GOOD
    for _ in range(order.repeat):
        result = await _print_answer(function, order.event)
        if not result.handed_out:
            place = log.place()
            log.show_said(read_error(result.payload).errorType)
            raise BadInput(why_not_started(order.settings, result, place))
        if result.function_error is not None:
            code = FUNCTION_ERROR
    await function.settled()
    return code


async def _print_answer(function: LocalLambda, event: bytes) -> InvokeResult:
    """Invoke the function, and print what it answers: JSON in one line, a stream as it comes.

    An error that ends a stream stands on a line of its own behind it.
    """
    whole, last, printed = list[bytes](), b"\n", False
    async with function.stream(event) as answer:
        async for piece in answer:
            if answer.content_type == "application/json":
                whole.append(piece)
            else:
                last, printed = piece, True
                if answer.content_type == HTTP:
                    # What ends its prelude would be seen as nothing at all.
                    piece = piece.replace(PRELUDE_END, b"\n")
                write_out(piece, "the answers go")
        result = await answer.result()
    # What came as bytes that are no stream's has been printed, too.
    left = b"" if printed and result.function_error is None else result.payload
    if result.handed_out and (whole or left or not last.endswith(b"\n")):
        separator = b"" if last.endswith(b"\n") else b"\n"
        told = _one_line(b"".join(whole) or left)
        write_out(separator + (told + b"\n" if told else b""), "the answers go")
    return result


@attrs.define(eq=False)
class _Log:
    """Lines for stderr, held back until the function has begun.

    A function that cannot be started is told of in one sentence, and its bootstrap's own report of
    the same would stand around it.
    """

    _held: list[str] | None = attrs.field(factory=list[str])
    _size: int = 0
    """Characters held back so far."""

    def write(self, line: str) -> None:
        self._size += len(line)
        if line.startswith("START ") or self._size > HELD:
            self.show()
        if self._held is None:
            write_err(_as_lines(line))
        else:
            self._held.append(line)

    def show(self) -> None:
        held, self._held = self._held, None
        for line in held or ():
            write_err(_as_lines(line))

    def show_said(self, error_type: str) -> None:
        """Show what the function has said itself before it failed to start with this error."""
        self._held = said_itself(self._held or (), error_type)
        self.show()

    def place(self) -> str:
        """Where it stood when the time for its start was over; empty if nobody has said that."""
        return stood_at(self._held or ())


def _as_lines(entry: str) -> str:
    """An error as lines, which Lambda's log has in one (`telemetry.sinks`): on a
    terminal each would be written over the one before. What was printed without an end may stand
    before it.
    """
    return entry.rstrip("\r").replace("\r", "\n") if ERROR in entry else entry


def _one_line(payload: bytes) -> bytes:
    """JSON without its line breaks; what is no JSON stays as it is."""
    if b"\n" not in payload:
        return payload
    try:
        return msgspec.json.format(payload, indent=-1)
    except msgspec.DecodeError:
        return payload
