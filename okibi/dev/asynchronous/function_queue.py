"""The queue of one function: starts attempts, and does with each event what `retry_rules` say."""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from pathlib import Path

import attrs
import trio

from ...local.platform.invocation import InvokeResult
from ..dev_function import Throttled
from ..function_pool import FunctionPool
from .event_file import EventFile, open_event_file
from .failure_file import FailureFile
from .failure_record import encode_record, failure_record
from .queue_reports import EventDropped, EventRetried, QueueReport
from .retry_rules import (
    DropEvent,
    QueuedEvent,
    RetryPolicy,
    RunAgain,
    after_failure,
    after_throttle,
    before_attempt,
)


@attrs.define(eq=False)
class FunctionQueue:
    """The queued events of one function.

    Args:
        pool: the sandboxes of the function.
        failures: the on-failure file.
        retry_delay: seconds before the first retry.
        report: receives what is to be printed.
        now: the time in seconds since the epoch.
        fail: called with the error when a file cannot be written. It ends the queue.
    """

    _pool: FunctionPool
    _failures: FailureFile
    _retry_delay: float
    _report: Callable[[QueueReport], None]
    _now: Callable[[], float]
    _fail: Callable[[OSError], None]
    _due: deque[QueuedEvent] = attrs.field(factory=deque[QueuedEvent], init=False)
    # A heap of events, by the time of their next attempt on trio's clock.
    _delayed: list[tuple[float, int, QueuedEvent]] = attrs.field(
        factory=list[tuple[float, int, QueuedEvent]], init=False
    )
    _order: "itertools.count[int]" = attrs.field(factory=itertools.count, init=False)
    _in_flight: int = attrs.field(default=0, init=False)
    # How many events have not ended.
    size: int = attrs.field(default=0, init=False)
    _file: EventFile | None = attrs.field(default=None, init=False)
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    def open_file(self, path: Path) -> None:
        """Keep the events in a file, and take those that are in it.

        Raises: see `open_event_file`.
        """
        self._file, events = open_event_file(path)
        self._due.extend(events)
        self.size = len(events)

    def close_file(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def accept(self, event: QueuedEvent) -> None:
        """Queue an event.

        Raises:
            OSError: the event cannot be written to the file. It is not queued then.
        """
        if self._file is not None:
            self._file.add_event(event)
        self._due.append(event)
        self.size += 1
        self._changed.set()

    async def run(self) -> None:
        """Start an attempt whenever an event is due and a place is free."""
        async with trio.open_nursery() as nursery:
            while True:
                self._changed = trio.Event()
                self._move_due_events()
                while self._due and self._in_flight < self._places():
                    self._in_flight += 1
                    nursery.start_soon(self._attempt, self._due.popleft())
                # With no place free, only the end of an attempt can change that.
                wake_at = math.inf if self._due or not self._delayed else self._delayed[0][0]
                with trio.CancelScope(deadline=wake_at):
                    await self._changed.wait()

    def _move_due_events(self) -> None:
        while self._delayed and self._delayed[0][0] <= trio.current_time():
            self._due.append(heapq.heappop(self._delayed)[2])

    def _places(self) -> int:
        """The number of events that may be in flight at once."""
        function = self._pool.function
        places = function.concurrency * (function.settings.max_concurrency or 1)
        # With a reserved concurrency of 0, events are dropped. That takes a place too.
        return min(places, function.reserved_concurrency or places)

    async def _attempt(self, event: QueuedEvent) -> None:
        policy = RetryPolicy.of(self._pool.function, self._retry_delay)
        result: InvokeResult | None = None
        step: RunAgain | DropEvent | None = before_attempt(event, policy, self._now())
        if step is None:
            invocation = event.invocation(self._pool.function.settings.timeout)
            try:
                result = await self._pool.run_invocation(invocation)
            except Throttled:
                step = after_throttle(event, policy, self._now())
            else:
                if result.function_error is not None:
                    step = after_failure(event, policy, self._now())
        # No checkpoint from here on: a cancelled queue has recorded all of this, or nothing.
        try:
            if isinstance(step, RunAgain):
                self._delay(step)
            else:
                if step is not None:
                    self._drop(step, result)
                self._end(event)
        except OSError as error:
            self._fail(error)
        self._in_flight -= 1
        self._changed.set()

    def _delay(self, step: RunAgain) -> None:
        event = step.event
        # A throttle has changed nothing that is worth keeping.
        if event.throttles == 0:
            if self._file is not None:
                self._file.add_attempt(event)
            self._report(
                EventRetried(self._pool.function.name, event.request_id, event.attempts, step.delay)
            )
        due = trio.current_time() + step.delay
        heapq.heappush(self._delayed, (due, next(self._order), event))

    def _drop(self, step: DropEvent, result: InvokeResult | None) -> None:
        arn = self._pool.function.settings.arn
        self._failures.append(encode_record(failure_record(step, arn, result, self._now())))
        event = step.event
        self._report(
            EventDropped(
                self._pool.function.name,
                event.request_id,
                event.attempts,
                step.condition,
                self._failures.path,
            )
        )

    def _end(self, event: QueuedEvent) -> None:
        self.size -= 1
        if self._file is None:
            return
        if self.size:
            self._file.add_end(event.request_id)
        else:
            self._file.clear()
