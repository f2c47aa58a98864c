"""`okibi invoke`: a function of the current folder, served and invoked in one command."""

import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import attrs
import msgspec
import trio

from runtime.local import FunctionSettings, InvokeResult, LocalLambda, open_local_lambda
from runtime.wire import PRELUDE_END

__all__ = ["BadInput", "Order", "invoke", "read_order"]

GOOD, FUNCTION_ERROR, BAD_INPUT = 0, 1, 2
BY_SIGNAL = 128
"""A shell's exit code for a process that a signal ended is this and the signal's number."""


class BadInput(Exception):
    """What was given cannot be invoked; the message says what, where, and what to do."""


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
        event: path of a JSON file, "-" for stdin, None for `{}`.
        repeat: a whole number, more than 0.
        timeout: seconds, more than 0.

    Returns:
        The exit code: 0 if all answers are good, 1 if one is a function error, 2 for bad input,
        130 after Ctrl-C.
    """
    try:
        # A shell's `>&-` leaves None here, whatever the annotation says.
        if cast("object", sys.stdout) is None:
            raise BadInput("standard output is closed, and the answers go there; leave it open")
        order = read_order(handler, event, repeat=repeat, timeout=timeout)
        return trio.run(_serve_until_signal, order)
    except BadInput as error:
        print(f"okibi: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        # Before the signals were taken, or after they were given back: nothing runs then.
        return BY_SIGNAL + signal.SIGINT
    except BrokenPipeError:
        # Whoever reads the answers has enough, as `head` does.
        return BY_SIGNAL + signal.SIGPIPE


# -- what is given


def read_order(handler: str, event: str | None, *, repeat: str, timeout: str) -> Order:
    """The order that the arguments of `invoke` give.

    Raises:
        BadInput: one of them is wrong.
    """
    times = _number(repeat)
    if not times.is_integer() or times < 1:
        raise BadInput(f"--repeat {repeat}: give a whole number, 1 or more")
    seconds = _number(timeout)
    if not 0 < seconds < math.inf:
        raise BadInput(f"--timeout {timeout}: give seconds, more than 0")
    try:
        settings = FunctionSettings(handler, timeout=seconds)
    except ValueError as error:
        raise BadInput(str(error)) from error
    return Order(settings, _event(event), int(times))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _event(source: str | None) -> bytes:
    if source is None:
        return b"{}"
    name = "stdin" if source == "-" else source
    if source == "-" and cast("object", sys.stdin) is None:
        raise BadInput("stdin: is closed; give a JSON file, or leave it open")
    try:
        event = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise BadInput(
            f"{name}: cannot be read ({error.strerror}); give a JSON file, or - for stdin"
        ) from error
    try:
        msgspec.json.decode(event, type=msgspec.Raw)
        msgspec.json.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{name}: is not JSON: {error}; an event must be") from error
    return event


# -- what is done with it


async def _serve_until_signal(order: Order) -> int:
    """Carry out the order; SIGINT and SIGTERM end it with nothing left running."""
    code = GOOD
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:

            async def stop_at_a_signal() -> None:
                nonlocal code
                async for number in signals:
                    code = BY_SIGNAL + number
                    nursery.cancel_scope.cancel()

            nursery.start_soon(stop_at_a_signal)
            try:
                code = await _serve(order)
            except (BadInput, BrokenPipeError) as error:
                failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return code


async def _serve(order: Order) -> int:
    log = _Log()
    try:
        async with open_local_lambda(order.settings, output=log.write) as function:
            return await _invoke_all(order, function, log)
    finally:
        log.show()


async def _invoke_all(order: Order, function: LocalLambda, log: "_Log") -> int:
    code = GOOD
    for _ in range(order.repeat):
        result = await _print_answer(function, order.event)
        if not result.handed_out:
            log.drop()
            raise BadInput(_why_not_started(order.settings, result))
        if result.function_error is not None:
            code = FUNCTION_ERROR
    await function.settled()
    return code


async def _print_answer(function: LocalLambda, event: bytes) -> InvokeResult:
    """Invoke the function, and print what it answers: JSON in one line, a stream as it comes.

    An error that ends a stream stands on a line of its own behind it.
    """
    whole, last = list[bytes](), b"\n"
    async with function.stream(event) as answer:
        async for piece in answer:
            if answer.content_type == "application/json":
                whole.append(piece)
            else:
                last = piece
                # What ends the prelude of an HTTP answer would be seen as nothing at all.
                _print(piece.replace(PRELUDE_END, b"\n"))
        result = await answer.result()
    if result.handed_out and (whole or result.payload or not last.endswith(b"\n")):
        separator = b"" if last.endswith(b"\n") else b"\n"
        told = _one_line(b"".join(whole) or result.payload)
        _print(separator + (told + b"\n" if told else b""))
    return result


def _print(answer: bytes) -> None:
    try:
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()
    except OSError as error:
        # What is still in the buffer would make the interpreter complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise BadInput(
            f"standard output cannot be written ({error.strerror}), and the answers go there"
        ) from error


@attrs.define(eq=False)
class _Log:
    """Lines for stderr, held back until the function has begun.

    A function that cannot be started is told of in one sentence, and its bootstrap's own report of
    the same would stand around it.
    """

    _held: list[str] | None = attrs.field(factory=list[str])

    def write(self, line: str) -> None:
        if line.startswith("START "):
            self.show()
        if self._held is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self._held.append(line)

    def show(self) -> None:
        held, self._held = self._held, None
        for line in held or ():
            print(line, file=sys.stderr, flush=True)

    def drop(self) -> None:
        self._held = []


# -- what is said of it


@attrs.frozen
class _Error:
    """The body of an error, as far as anyone may count on it."""

    errorType: str = "Runtime.Unknown"  # noqa: N815 - the wire's names
    errorMessage: str = ""  # noqa: N815
    stackTrace: Sequence[str] = ()  # noqa: N815


def _why_not_started(settings: FunctionSettings, result: InvokeResult) -> str:
    """One sentence out of an init error."""
    try:
        error = msgspec.json.decode(result.payload, type=_Error)
    except msgspec.DecodeError:
        error = _Error(errorMessage=result.payload.decode("utf-8", "replace"))
    message = " ".join(error.errorMessage.split())
    place = _last_place(error.stackTrace)
    where = f" ({place})" if place else ""
    return (
        f"{settings.handler} in {settings.task_root} does not start:"
        f" {error.errorType}: {message}{where}; {_advice(error.errorType)}"
    )


def _last_place(stack: Sequence[str]) -> str:
    """The last frame's file and line, out of `traceback.format_list` strings."""
    place = stack[-1].strip().partition("\n")[0] if stack else ""
    # The import system's own frames tell nobody anything.
    return "" if '"<frozen ' in place else place


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


def _one_line(payload: bytes) -> bytes:
    """JSON without its line breaks; what is no JSON stays as it is."""
    if b"\n" not in payload:
        return payload
    try:
        return msgspec.json.format(payload, indent=-1)
    except msgspec.DecodeError:
        return payload
