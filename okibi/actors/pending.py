"""Pending: a request whose reply is taken later (OTP: `gen_server:send_request/2`).

    first = await stock.request(Stock.count, "tea")
    second = await prices.request(Prices.of, "tea")
    total = await first.result() * await second.result()

Both servers work at the same time, without an extra task. `result` is OTP's `wait_response/2`. An
actor that must not wait calls `self.monitor(first)` and gets a `Result` message (OTP:
`check_response/2`).
"""

from typing import TYPE_CHECKING, Generic, TypeVar, cast

import trio

from .process import CURRENT, Process, check_same_run
from .request import PendingRequest
from .wait_cycles import refuse_cycle

if TYPE_CHECKING:
    from .results import ResultMonitor

R_co = TypeVar("R_co", covariant=True)


class Pending(Generic[R_co]):
    """A request that was sent; its reply can be taken later. Made by `Ref.request`."""

    __slots__ = ("_process", "_request")

    def __init__(self, process: Process, request: PendingRequest) -> None:
        self._process = process
        self._request = request

    @property
    def done(self) -> bool:
        """Whether `result` returns or raises without waiting."""
        return self._request.settled

    async def result(self) -> R_co:
        """Wait for the reply.

        May be called again, after it was cancelled as well as after it has returned (OTP: once,
        `receive_response/2`).

        Raises:
            ActorExited: the actor ended before it replied.
            CallCycle: the wait would never end, because the actor waits for this one.
            Refusal: the method raised it.
            trio.BusyResourceError: another task waits for this result.
            RuntimeError: the request was abandoned, or the actor belongs to another `trio.run`.
        """
        request = self._request
        if not request.settled:
            if not request.wanted:
                raise RuntimeError(f"{request} was abandoned: it has no result")
            if request.parked:
                raise trio.BusyResourceError(f"another task waits for the result of {request}")
            check_same_run(self._process, "result")
            task = request.client = trio.lowlevel.current_task()
            caller = CURRENT.get()
            if request.deferred or (caller is not None and not caller.waits.held_by(task)):
                caller = None
            if caller is not None:
                refuse_cycle(caller.waits, self._process.waits, task, request)
                caller.waits.begin(task, self._process.waits, request)
            try:
                return cast("R_co", await request.reply(keep=True))
            finally:
                if caller is not None:
                    caller.waits.end(task, self._process.waits)
        await trio.lowlevel.checkpoint()
        return cast("R_co", request.result())

    def add_monitor(self, watcher: Process) -> "ResultMonitor":
        """Send `watcher` a Result when the request is answered. Used by `Actor.monitor`.

        Raises:
            RuntimeError: the request was abandoned, or the actor belongs to another `trio.run`.
        """
        from .results import monitor_result

        check_same_run(self._process, "monitor")
        return monitor_result(watcher, self._request, self)

    def abandon(self) -> None:
        """Discard the reply. Monitors of this Pending bring no Result.

        The server may skip the request (`Server.skip_abandoned_calls`).

        Raises:
            trio.BusyResourceError: a task waits for the result.
        """
        if self._request.parked:
            raise trio.BusyResourceError(f"a task waits for the result of {self._request}")
        self._request.abandon()

    def __repr__(self) -> str:
        state = "done" if self.done else "waiting" if self._request.wanted else "abandoned"
        return f"<Pending {self._request} of {self._process.path}, {state}>"
