"""The follow-ups of an event: functions that run after its response (`Context.after_response`).

Imported when the first one is registered. `delivery` has the states: a worker runs the follow-ups
once the Runtime API has the response, and the lane asks for the next event when they have ended.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from ...actors import logs
from ...actors.safe_repr import describe_value

logger = logs.logger("okibi")

Call = partial[object]


class FollowUps:
    """The functions that wait for the response of one event.

    Attributes:
        calls: the functions that have not begun, in the order of registration.
        running: the function that has begun and not ended; None between two.
        begin: begins the follow-ups as soon as the Runtime API has the response, because the
            handler itself goes on; None if the worker waits for that.
    """

    __slots__ = ("_answered", "_end_token", "begin", "calls", "running")

    def __init__(self) -> None:
        self.calls = deque[Call]()
        self.running: Call | None = None
        self.begin: Callable[[], object] | None = None
        self._answered = trio.Event()
        self._end_token = [None]

    def add(self, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Add a function. Any thread may call this."""
        self.calls.append(partial(function, *args))

    def begin_next(self) -> Call | None:
        """Begin the next function; None if all have ended."""
        self.running = self.calls.popleft() if self.calls else None
        return self.running

    def end_running(self) -> None:
        """Note that the running function has returned or raised."""
        self.running = None

    def mark_answered(self) -> None:
        """Let the worker begin: the Runtime API has the response, or the response is lost."""
        self._answered.set()
        if self.begin is not None:
            self.begin()

    async def wait_answered(self) -> None:
        """Wait until the Runtime API has the response."""
        await self._answered.wait()

    def claim(self) -> bool:
        """Take the right to end the follow-ups. True once, for the first thread."""
        try:
            self._end_token.pop()
        except IndexError:
            return False
        return True

    def log_rest(self, request_id: str, why: str) -> None:
        """Log the function that was cut, and those that never begin.

        Args:
            request_id: the request id of the event.
            why: the reason, a clause.
        """
        what = "was cut"
        if self.running is None:
            what, _ = "did not run", self.begin_next()
        while (call := self.running) is not None:
            logger.error("%s %s after the response to %s: %s", name_of(call), what, request_id, why)
            what, _ = "did not run", self.begin_next()


def name_of(call: Call) -> str:
    """Return the name of a registered function, for the log."""
    function: Any = call
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else describe_value(function)
