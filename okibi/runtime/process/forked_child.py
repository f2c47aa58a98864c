"""The end of a forked child: the connection, and the answer, are its parent's."""

import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from trio.abc import Instrument
from trio.lowlevel import Task

from ..errors.user_code import is_user_file
from ..in_flight.delivery import Delivery
from ..protocol.transport import SocketTransport
from ..telemetry.logs import flush

BACK_ON_LOOP = (
    "okibi: a child process, forked in {}, has come back to the event loop, which is its parent's, "
    "and ends. Use subprocess, multiprocessing in a plain `def`, or end the child by os._exit or "
    "os.exec."
)


# In the body of the answer's error: a number, or none at all.
_EXITED = rb'"errorMessage": "(?:(-?\d+)|sys\.exit\(\))", "errorType": "SystemExit"'


class ForkedTransport(SocketTransport):
    """What a forked child finds in its lane.

    A handler that forks may let the child return or raise; with the first byte of what would be
    its answer the child is at its end. What it said to `sys.exit` is its exit code.
    """

    __slots__ = ()

    def send(self, data: memoryview) -> int:
        said = bytes(data)
        end_as_answered(said, b"/error HTTP/1.1\r\n" in said[:512])


class EndOfStep(Instrument):
    """Ends the child with the step that has forked it.

    Args:
        deliveries: of which one may be what the step answers.
        forked_in: where it was forked.
    """

    def __init__(self, deliveries: Sequence[Delivery], forked_in: str) -> None:
        self._deliveries = deliveries
        self._forked_in = forked_in

    def after_task_step(self, task: Task) -> None:
        try:
            for delivery in self._deliveries:
                outcome = delivery.outcome
                if outcome is not None:
                    end_as_answered(outcome.body, outcome.error_type is not None)
            end_on_loop(self._forked_in)
        finally:
            # trio would go on after what a stream of the user's raises.
            os._exit(1)


def forked_in() -> str:
    """Where this process forks, in words."""
    frame = sys._getframe()
    while frame.f_back is not None and not is_user_file(frame.f_code.co_filename):
        frame = frame.f_back
    return f'File "{frame.f_code.co_filename}", line {frame.f_lineno}, in {frame.f_code.co_name}'


def end_on_loop(forked_in: str) -> NoReturn:
    """End a child that has come back to its parent's loop, and say why.

    Args:
        forked_in: where it was forked.
    """
    try:
        print(BACK_ON_LOOP.format(forked_in), file=sys.stderr, flush=True)
    finally:
        os._exit(1)


def end_child(error: BaseException | None) -> NoReturn:
    """End a child that is through with what has forked it: the answer is its parent's.

    Its exit code is that of a program that ends so. It ends at once, without `atexit`.

    Args:
        error: what it raised; None if it has returned.
    """
    code: object = 1
    try:
        code = error.code if isinstance(error, SystemExit) else error and 1
        if isinstance(error, Exception):
            traceback.print_exception(error)
        elif not isinstance(code, int | None):
            print(code, file=sys.stderr)
        flush()
    finally:
        # Whatever stands in the place of the standard streams raises.
        os._exit((code or 0) & 255 if isinstance(code, int | None) else 1)


def end_as_answered(said: bytes, failed: bool) -> NoReturn:
    """End a child with what would be its answer.

    Args:
        said: the answer's body is in it.
        failed: whether it is an error.
    """
    flush()
    exited = re.search(_EXITED, said)
    os._exit(int(exited[1] or 0) & 255 if exited else int(failed))
