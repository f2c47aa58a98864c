"""Run asynchronous invocations as Lambda does: queued, retried, and recorded if they fail.

The rules are in `retry_rules`. This module waits, invokes, and writes files.
"""

import heapq
import itertools
import math
import os
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import attrs
import trio

from ...background_nursery import open_background_nursery
from ...invocation import Invocation, InvokeResult, check_headers
from ..dev_function import Throttled
from ..function_pool import FunctionPool
from .event_file import EventFile, open_event_file, read_events
from .failure_record import encode_record, failure_record
from .private_files import PrivateFile, lock_folder, make_private_folder, replace_file
from .retry_rules import (
    Condition,
    DropEvent,
    QueuedEvent,
    RetryPolicy,
    RunAgain,
    after_failure,
    after_throttle,
    before_attempt,
)

__all__ = [
    "DEFAULT_RETRY_DELAY",
    "EventDropped",
    "EventQueue",
    "EventRetried",
    "QueueReport",
    "describe_queued",
    "failure_folder",
    "open_event_queue",
]

DEFAULT_RETRY_DELAY = 1.0
"""Seconds before the first retry in `okibi dev`; Lambda waits 60."""

OWN_FOLDER = Path(".okibi")
"""Where on-failure files go without `--data`: in the current folder."""


@attrs.frozen
class EventRetried:
    """An event will run again after an error of the function.

    Args:
        function: the function's name.
        request_id: the request id of all attempts.
        attempts: how many attempts have failed.
        delay: seconds until the next one.
    """

    function: str
    request_id: str
    attempts: int
    delay: float


@attrs.frozen
class EventDropped:
    """An event will not run again. Its record is in the on-failure file.

    Args:
        function: the function's name.
        request_id: the request id of all attempts.
        attempts: how many attempts have failed.
        condition: why it was dropped.
        file: the on-failure file.
    """

    function: str
    request_id: str
    attempts: int
    condition: Condition
    file: Path


QueueReport: TypeAlias = EventRetried | EventDropped
"""What the queue reports for printing."""


@attrs.define(eq=False)
class EventQueue:
    """The queued events of all functions. Created by `open_event_queue`."""

    failure_folder: Path
    """The folder of the on-failure files: one file per function, NAME.jsonl."""
    unserved: Mapping[str, int]
    """How many events of functions that are not served are kept in the data folder, by name."""
    _queues: Mapping[str, "_FunctionQueue"]
    _now: Callable[[], float]

    async def put(self, name: str, invocation: Invocation) -> None:
        """Accept an event, and return when it is safe to acknowledge it (202).

        With a data folder the event has been written to its file then. Log and sink of the
        invocation are not used.

        Args:
            name: the name of a served function.
            invocation: the invocation; its request id is that of all attempts.

        Raises:
            KeyError: no such function is served.
            ValueError: a field contains a character that an HTTP header cannot carry, or the
                payload is not UTF-8.
            OSError: the event cannot be written, as on a full disk. It is not queued then.
        """
        check_headers(invocation)
        self._queues[name].accept(QueuedEvent.of(invocation, self._now()))
        await trio.lowlevel.checkpoint()

    def counts(self) -> dict[str, int]:
        """Return how many events have not ended, by function; those in flight are included.

        Also valid after the queue has been closed: these events have not been run to their end.
        """
        return {name: queue.size for name, queue in self._queues.items() if queue.size}


@asynccontextmanager
async def open_event_queue(
    pools: Iterable[FunctionPool],
    *,
    data: Path | None = None,
    retry_delay: float = DEFAULT_RETRY_DELAY,
    report: Callable[[QueueReport], None] | None = None,
    now: Callable[[], float] = time.time,
) -> AsyncGenerator[EventQueue]:
    """Run the asynchronous events of functions until the block ends.

    At most as many events of a function run at once as it has sandboxes for. The end of the block
    cancels the attempts in flight. With a data folder these events and all that wait are kept, and
    the next queue with that folder goes on with them; their retries count on. Open the queue inside
    the block of the pools: an attempt that a closing pool ends would count as a failure.

    Args:
        pools: the sandboxes of each function.
        data: the folder that keeps the events; None keeps them in memory alone.
        retry_delay: seconds before the first retry. The second comes after twice as long, and the
            pauses after a throttle are scaled too. Lambda's is 60.
        report: called with what is to be printed.
        now: the time in seconds since the epoch.

    Raises:
        FolderInUse: another process uses the data folder.
        EventFileError: a file in the data folder is damaged.
        OSError: the data folder cannot be read or written. Also at the end of the block, if a file
            could not be written in between, as on a full disk; the block is cancelled then.

    Example:
        async with open_event_queue([pool], data=Path("events")) as queue:
            await queue.put("visits", Invocation(b"{}", 3.0))
    """
    if not 0 <= retry_delay < math.inf:
        raise ValueError(f"retry_delay must be seconds >= 0, got {retry_delay!r}")
    failures = failure_folder(data)
    failure: OSError | None = None

    def fail(error: OSError) -> None:
        nonlocal failure
        failure = failure or error
        nursery.cancel_scope.cancel()

    with ExitStack() as stack:
        if data is not None:
            make_private_folder(data)
            make_private_folder(data / "queue")
            stack.callback(os.close, lock_folder(data))
        queues: dict[str, _FunctionQueue] = {}
        for pool in pools:
            name = pool.function.settings.name
            target = _FailureFile(failures / f"{name}.jsonl", data is None)
            stack.callback(target.close)
            queues[name] = queue = _FunctionQueue(pool, target, retry_delay, report, now, fail)
            if data is not None:
                queue.open_file(data / "queue" / f"{name}.jsonl")
                stack.callback(queue.close_file)
        unserved = {} if data is None else _count_unserved(data / "queue", queues)
        async with open_background_nursery() as nursery:
            for queue in queues.values():
                nursery.start_soon(queue.run)
            yield EventQueue(failures, unserved, queues, now)
    if failure is not None:
        raise failure


def failure_folder(data: Path | None) -> Path:
    """Return the folder of the on-failure files.

    Args:
        data: the data folder, or None for `.okibi` in the current folder.
    """
    return (OWN_FOLDER if data is None else data).absolute() / "on-failure"


def describe_queued(counts: Mapping[str, int], data: Path | None) -> list[str]:
    """Return one sentence for each function whose events have not ended when `okibi dev` ends.

    Args:
        counts: the events by function, as from `EventQueue.counts`.
        data: the data folder, or None.

    Example:
        >>> describe_queued({"visits": 2}, None)
        ['2 queued events of visits are lost; keep such events with --data FOLDER']
    """
    sentences: list[str] = []
    for name, count in counts.items():
        events, are = ("event", "is") if count == 1 else ("events", "are")
        end = (
            f"{are} lost; keep such events with --data FOLDER"
            if data is None
            else f"{are} kept; okibi dev --data {data} goes on with them"
        )
        sentences.append(f"{count:,} queued {events} of {name} {end}")
    return sentences


def _count_unserved(folder: Path, served: Iterable[str]) -> dict[str, int]:
    names = sorted(file.stem for file in folder.glob("*.jsonl"))
    counts = {
        name: len(read_events(folder / f"{name}.jsonl")) for name in names if name not in served
    }
    return {name: count for name, count in counts.items() if count}


@attrs.define(eq=False)
class _FailureFile:
    """The on-failure file of a function. It is created for the first record."""

    path: Path
    own_folder: bool
    """Whether the folder is okibi's own, and Git is to ignore it."""
    _file: PrivateFile | None = attrs.field(default=None, init=False)

    def append(self, record: bytes) -> None:
        if self._file is None:
            make_private_folder(self.path.parent)
            ignore = self.path.parent.parent / ".gitignore"
            if self.own_folder and not ignore.exists():
                replace_file(ignore, b"*\n")
            self._file = PrivateFile(self.path)
        self._file.append(record)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@attrs.define(eq=False)
class _FunctionQueue:
    """The queued events of one function."""

    _pool: FunctionPool
    _failures: _FailureFile
    _retry_delay: float
    _report: Callable[[QueueReport], None] | None
    _now: Callable[[], float]
    _fail: Callable[[OSError], None]
    """Ends the queue: a file cannot be written."""
    _due: deque[QueuedEvent] = attrs.field(factory=deque[QueuedEvent], init=False)
    _delayed: list[tuple[float, int, QueuedEvent]] = attrs.field(
        factory=list[tuple[float, int, QueuedEvent]], init=False
    )
    """A heap of events, by the time of their next attempt on trio's clock."""
    _order: "itertools.count[int]" = attrs.field(factory=itertools.count, init=False)
    _in_flight: int = attrs.field(default=0, init=False)
    size: int = attrs.field(default=0, init=False)
    """How many events have not ended."""
    _file: EventFile | None = attrs.field(default=None, init=False)
    _changed: trio.Event = attrs.field(factory=trio.Event, init=False)

    def open_file(self, path: Path) -> None:
        """Keep the events in a file, and take those that are in it."""
        self._file, events = open_event_file(path)
        self._due.extend(events)
        self.size = len(events)

    def close_file(self) -> None:
        if self._file is not None:
            self._file.close()

    def accept(self, event: QueuedEvent) -> None:
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
        """How many events may be in flight at once."""
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
            self._tell(EventRetried(self._name, event.request_id, event.attempts, step.delay))
        due = trio.current_time() + step.delay
        heapq.heappush(self._delayed, (due, next(self._order), event))

    def _drop(self, step: DropEvent, result: InvokeResult | None) -> None:
        arn = self._pool.function.settings.arn
        self._failures.append(encode_record(failure_record(step, arn, result, self._now())))
        event = step.event
        self._tell(
            EventDropped(
                self._name, event.request_id, event.attempts, step.condition, self._failures.path
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

    @property
    def _name(self) -> str:
        return self._pool.function.settings.name

    def _tell(self, what: QueueReport) -> None:
        if self._report is not None:
            self._report(what)
