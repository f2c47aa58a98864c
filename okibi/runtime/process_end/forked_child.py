"""The exit of a forked child. Connection and response belong to the parent."""

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
from ..logs.lambda_log import flush
from ..protocol.transport import SocketTransport, Transport

RETURNED_TO_LOOP = (
    "okibi: a child process, forked in {}, returned to the event loop of its parent and exits. Use "
    "subprocess, multiprocessing in a plain `def`, or end the child by os._exit or os.exec"
)


# In the error response: the argument of sys.exit, a number or none.
_EXIT_CODE = rb'"errorMessage": "(?:(-?\d+)|sys\.exit\(\))", "errorType": "SystemExit"'


class ForkedTransport(SocketTransport):
    """Replaces the transport of a lane in a forked child.

    The handler may let the child return or raise. The child exits instead of sending its response,
    with the argument of `sys.exit` as exit code.
    """

    __slots__ = ()

    @classmethod
    def in_place_of(cls, parents: Transport) -> Transport:
        """Make the child's transport of its parent's."""
        return cls(parents.connected) if isinstance(parents, SocketTransport) else parents

    def send(self, data: bytes | memoryview) -> int:
        response = bytes(data)
        exit_as_answered(response, b"/error HTTP/1.1\r\n" in response[:512])


class ExitAfterStep(Instrument):
    """Ends the child after the step of the task that forked.

    Args:
        deliveries: the unsettled deliveries; the step may settle one.
        forked_in: the line that forked the child, from `fork_location`.
    """

    def __init__(self, deliveries: Sequence[Delivery], forked_in: str) -> None:
        self._deliveries = deliveries
        self._forked_in = forked_in

    def after_task_step(self, task: Task) -> None:
        try:
            for delivery in self._deliveries:
                outcome = delivery.outcome
                if outcome is not None:
                    exit_as_answered(outcome.body, outcome.error_type is not None)
            exit_on_loop(self._forked_in)
        finally:
            # A replaced stream may raise, and trio would go on.
            os._exit(1)


def fork_location() -> str:
    """Return the line of user code that forks, in words."""
    frame = sys._getframe()
    while frame.f_back is not None and not is_user_file(frame.f_code.co_filename):
        frame = frame.f_back
    return f'File "{frame.f_code.co_filename}", line {frame.f_lineno}, in {frame.f_code.co_name}'


def exit_on_loop(forked_in: str) -> NoReturn:
    """Exit a child that returned to the parent's loop, and say why.

    Args:
        forked_in: the line that forked the child, from `fork_location`.
    """
    try:
        print(RETURNED_TO_LOOP.format(forked_in), file=sys.stderr, flush=True)
    finally:
        os._exit(1)


def exit_child(error: BaseException | None) -> NoReturn:
    """Exit a child whose handler has returned or raised. Only the parent answers.

    The exit code is that of a Python program with the same end. `atexit` functions do not run.

    Args:
        error: the exception that the handler raised; None if it returned.
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
        # `finally`: a replaced standard stream may raise.
        os._exit((code or 0) & 255 if isinstance(code, int | None) else 1)


def exit_as_answered(response: bytes, failed: bool) -> NoReturn:
    """Exit a child in place of sending its response.

    Args:
        response: bytes that contain the response's body.
        failed: whether the response is an error response.
    """
    flush()
    exited = re.search(_EXIT_CODE, response)
    os._exit(int(exited[1] or 0) & 255 if exited else int(failed))
