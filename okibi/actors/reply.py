"""Reply: answer a call after its method has returned (OTP: `gen_server:reply/2`).

A server that waits for a connection, a batch or a slow peer would delay its other callers. Its
method calls `reply_later` and returns NO_REPLY instead. Any task of the same run sends the reply.

In OTP a second reply arrives in the caller's mailbox as a stray message, and a lost `From` leaves
the caller waiting. Here a second reply is discarded, and when the last reference to a Reply is
dropped, the caller gets ReplyLost.
"""

import contextlib
from typing import Final, Generic, Never, TypeVar, cast

import trio

from .process import Process
from .request import Request

R = TypeVar("R")


class ReplyLost(Exception):
    """The server dropped the Reply of `reply_later` without sending a reply."""


class _NoReply:
    def __repr__(self) -> str:
        return "NO_REPLY"


# Never is accepted for every return type. Strict type checkers would report Any.
NO_REPLY: Final[Never] = cast("Never", _NoReply())
"""What a method returns after `reply_later` (OTP: `{noreply, State}`)."""


class Reply(Generic[R]):
    """The right to answer one call, once. Made by `Server.reply_later`.

    Use it in the same `trio.run`. From another thread:
    `trio.from_thread.run_sync(reply.send, value)`.
    """

    __slots__ = ("_process", "_request", "_token")

    def __init__(self, process: Process, request: Request) -> None:
        self._process = process
        self._request = request
        self._token = trio.lowlevel.current_trio_token()
        request.deferred = True
        # Any task may send the reply from now on: the wait is no longer part of a cycle of calls.
        process.waits.end_wait_for(request)
        process.work.defer(request)

    @property
    def wanted(self) -> bool:
        """Whether the caller still waits."""
        return self._request.waited_for

    def send(self, value: R) -> bool:
        """Send the reply.

        Args:
            value: the value that `call` returns.

        Returns:
            False if the caller has a reply or has stopped waiting.
        """
        sent = self._request.answer(value)
        _forget_request(self._process, self._request)
        return sent

    def fail(self, error: BaseException) -> bool:
        """Raise an exception in the caller, instead of a reply.

        Args:
            error: the exception that `call` raises.

        Returns:
            False if the caller has a reply or has stopped waiting.
        """
        sent = self._request.fail(error)
        _forget_request(self._process, self._request)
        return sent

    def __del__(self) -> None:
        if not self._request.waited_for:
            _forget_request(self._process, self._request)
            return
        # The garbage collector may run in the middle of trio's loop, where a woken task is lost, or
        # in another thread. So wake the caller through the token. After the run has ended there is
        # no caller.
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(_fail_lost, self._process, self._request)

    def __repr__(self) -> str:
        return f"<Reply to {self._request}{'' if self.wanted else ', not wanted'}>"


def _fail_lost(process: Process, request: Request) -> None:
    _forget_request(process, request)
    request.fail(
        ReplyLost(f"{process.path} dropped the Reply to {request} without sending a reply")
    )


def _forget_request(process: Process, request: Request) -> None:
    # The caller goes on, so a later crash must not be raised in that task.
    request.client = None
    process.work.forget(request)
