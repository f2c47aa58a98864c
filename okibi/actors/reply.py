"""A reply that is given later than its method returns, by whoever holds it.

A server that cannot answer at once (it waits for a connection, a batch, a slow peer) need not keep
its other callers waiting: the method takes its reply along and returns NO_REPLY, and any task of
the same run gives the reply when it is ready (OTP: `gen_server:reply/2`).

In OTP a second reply ends up in the caller's mailbox as a stray message, and a `From` that is lost
leaves the caller waiting. Here the slot is taken once, later replies fall on the floor, and a
caller whose Reply nobody holds any more is told so.
"""

import contextlib
from typing import Final, Generic, Never, TypeVar, cast

import trio

from .process import Process
from .request import Request

R = TypeVar("R")


class ReplyLost(Exception):
    """The server took the reply along, and lost it without replying."""


class _NoReply:
    def __repr__(self) -> str:
        return "NO_REPLY"


# Never fits every return type; Any would be reported by whoever checks strictly.
NO_REPLY: Final[Never] = cast("Never", _NoReply())
"""What a method returns whose reply comes later (OTP: `{noreply, State}`)."""


class Reply(Generic[R]):
    """The right to answer one call, once. Made by `Server.reply_later`.

    It belongs to the run of trio that it was made in: from another thread use
    `trio.from_thread.run_sync(reply.send, value)`.
    """

    __slots__ = ("_process", "_request", "_token")

    def __init__(self, process: Process, request: Request) -> None:
        self._process = process
        self._request = request
        self._token = trio.lowlevel.current_trio_token()
        request.deferred = True
        client = request.client
        caller = None if client is None else process.waiters.get(client)
        if client is not None and caller is not None and caller.waits[client][1] is request:
            # Any task may give the reply now, so the wait for it is in no circle.
            caller.end_wait(client, process)
        if process.deferred is None:
            process.deferred = {}
        process.deferred[request] = None

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for it."""
        return self._request.waited_for

    def send(self, value: R) -> bool:
        """Give the caller its reply; False when it has one, or waits no more."""
        given = self._request.answer(value)
        _settled(self._process, self._request)
        return given

    def fail(self, error: BaseException) -> bool:
        """Raise `error` in the caller; False when it has its reply, or waits no more."""
        given = self._request.fail(error)
        _settled(self._process, self._request)
        return given

    def __del__(self) -> None:
        if not self._request.waited_for:
            _settled(self._process, self._request)
            return
        # Never at once: the collector is at work in the middle of anything, and whom it wakes while
        # trio's loop empties its queue is lost. Or this is a thread, which may have a run of its
        # own. A run that has ended has no caller either.
        with contextlib.suppress(trio.RunFinishedError):
            self._token.run_sync_soon(_lose, self._process, self._request)

    def __repr__(self) -> str:
        return f"<Reply to {self._request}{'' if self.wanted else ', not wanted'}>"


def _lose(process: Process, request: Request) -> None:
    _settled(process, request)
    what = f"{process.path} lost the reply to {request}: nobody can give it now"
    request.fail(ReplyLost(what))


def _settled(process: Process, request: Request) -> None:
    # Who asked goes on: a crash that comes now is not for somebody who waits.
    request.client = None
    if process.deferred is not None:
        process.deferred.pop(request, None)
