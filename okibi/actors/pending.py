"""A request that is under way: asked now, its result taken later.

    first = await stock.request(Stock.count, "tea")
    second = await prices.request(Prices.of, "tea")
    total = await first.result() * await second.result()

Both servers work at the same time, and no task had to be started for it
(OTP: `gen_server:send_request/2`, `wait_response/2`). An actor that must not wait for the reply has
it delivered to its mailbox: `self.monitor(first)` brings a `Result` (OTP: `check_response/2`).
"""

from typing import TYPE_CHECKING, Generic, TypeVar, cast

import trio

from .process import CURRENT, Process
from .request import Asked
from .run_guard import refuse_elsewhere
from .wait_cycles import refuse_circle

if TYPE_CHECKING:
    from .results import ResultMonitor

R_co = TypeVar("R_co", covariant=True)


class Pending(Generic[R_co]):
    """One request under way. Made by `request` of a Ref or a Name."""

    __slots__ = ("_process", "_request")

    def __init__(self, process: Process, request: Asked) -> None:
        self._process = process
        self._request = request

    @property
    def done(self) -> bool:
        """Whether `result` would return, or raise, at once."""
        return self._request.settled

    async def result(self) -> R_co:
        """Wait for the reply. A wait that is cancelled, or timed out, may be begun again.

        The result may be taken any number of times (OTP: once, `receive_response/2`).

        Raises:
            ActorExited: the actor has ended before it replied.
            CallCycle: the actor that waits here would wait for itself.
            trio.BusyResourceError: another task waits for this result already.
            RuntimeError: this is another run of trio's than the actor's.
            And whatever Refusal the method raised. After `abandon`: RuntimeError.
        """
        request = self._request
        if not request.settled:
            if not request.wanted:
                raise RuntimeError(f"{request} was abandoned: it has no result")
            if request.parked:
                raise trio.BusyResourceError(f"another task waits for the result of {request}")
            refuse_elsewhere(self._process, "result")
            task = request.client = trio.lowlevel.current_task()
            caller = CURRENT.get()
            if request.deferred or (caller is not None and not caller.held_by(task)):
                caller = None
            if caller is not None:
                refuse_circle(caller, self._process, task, request)
                caller.begin_wait(task, self._process, request)
            try:
                return cast("R_co", await request.reply(keep=True))
            finally:
                if caller is not None:
                    caller.end_wait(task, self._process)
        await trio.lowlevel.checkpoint()
        return cast("R_co", request.result())

    def watched_by(self, watcher: Process) -> "ResultMonitor":
        """Have `watcher` told what it comes to: what an actor's `monitor` does.

        Raises:
            RuntimeError: it was abandoned, or this is another run of trio's than the actor's.
        """
        from .results import monitor_result

        refuse_elsewhere(self._process, "monitor")
        return monitor_result(watcher, self._request, self)

    def abandon(self) -> None:
        """Want it no more: its reply is dropped, and a server may skip it (`skip_abandoned_calls`).

        Who monitors it is not told any more.

        Raises:
            trio.BusyResourceError: a task waits for the result, and would wait for ever.
        """
        if self._request.parked:
            raise trio.BusyResourceError(f"a task waits for the result of {self._request}")
        self._request.abandon()

    def __repr__(self) -> str:
        state = "done" if self.done else "under way" if self._request.wanted else "abandoned"
        return f"<Pending {self._request} of {self._process.path}, {state}>"
