"""Serve the same event to a measured runtime again and again, on one lane or many.

No I/O: the platform's side of the Runtime API calls this module, which reads a clock. After all
lanes have connected, each `GET /next` gets an event immediately: the runtime never waits for an
event. The times of an event follow from its hand-out, its answer, and the next request.

Throughput counts the events that end in the measured time. That time begins and ends with the end
of an event and covers whole rounds of all lanes; otherwise events in flight at either end would be
counted wrongly. Durations cover all events that begin in the measured time, slow ones too: after
it no event is handed out, and the events in flight are awaited until they time out.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs

from ..local.platform.classic_mode import ClassicPlatform
from ..local.platform.hooks import RuntimeApiHooks
from ..local.platform.invocation import Invocation
from ..local.platform.journal import Journal
from ..local.platform.multi_concurrency import MultiConcurrencyPlatform
from ..local.platform.outcomes import timed_out
from ..local.platform.platform import PendingNext
from ..local.platform.states import ApiError
from ..local.server.connection import Connection
from ..local.settings import arn_of

ARN = arn_of("function")
TRACE = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0"


def _ignore() -> None:
    """The default callback."""


class Discarded:
    """A sink that discards the pieces of a streamed answer."""

    full = False

    def begin(self, content_type: str) -> None:
        """Begin an answer."""

    def write(self, piece: bytes) -> None:
        """Discard a piece."""


DISCARDED = Discarded()


@attrs.define(eq=False)
class OneAtATime(ClassicPlatform):
    """The classic mode, with a callback `on_next` for each waiting `GET /next`."""

    on_next: Callable[[], None] = _ignore

    def next(self, waiter: PendingNext) -> ApiError | Invocation | None:
        reply = super().next(waiter)
        # A repeated request has an offered event already, or waits for extensions.
        if reply is None and self.offered is None:
            self.on_next()
        return reply

    @property
    def oldest(self) -> Invocation | None:
        """The event that has been in flight for the longest time, until the next `GET /next`."""
        return self.current

    def expire(self, invocation: Invocation) -> None:
        """Time out an event, and end the sandbox."""
        self.end(lambda request_id: timed_out(request_id, invocation.timeout))


@attrs.define(eq=False)
class ManyAtOnce(MultiConcurrencyPlatform):
    """Multi-concurrency, with a callback `on_next` for each `GET /next`."""

    on_next: Callable[[], None] = _ignore

    @property
    def oldest(self) -> Invocation | None:
        """The unanswered event that has been in flight for the longest time."""
        return next(iter(self.running.values()), None)

    def next(self, waiter: PendingNext) -> ApiError | Invocation | None:
        reply = super().next(waiter)
        self.on_next()
        return reply


@attrs.define(eq=False)
class EventFeed:
    """Serves the events of one run.

    Args:
        event: the payload.
        timeout: time-out of an event in seconds.
        warm_events, warm_seconds: the warm-up ends at the first of these limits, after at least
            one event.
        seconds: the measured time.
        slots: events at once; None for the classic mode.
        on_warm, on_end: called at the begin and the end of the measured time.
        clock: returns seconds.

    Attributes:
        done: whether all events have ended.
        lanes: the number of connected lanes.
        first_next, first_answer: the times of the first request and answer; NaN before.
        served: events answered.
        errors: counts of error answers, by error type.
        count: events that ended in the measured time.
        cycles, answers, busy: durations in seconds (see `RunResult`).
        began, ended: begin and end of the measured time; infinity and NaN before.
    """

    event: bytes
    timeout: float
    warm_events: int
    warm_seconds: float
    seconds: float
    slots: int | None = None
    on_warm: Callable[[], None] = _ignore
    on_end: Callable[[], None] = _ignore
    clock: Callable[[], float] = time.perf_counter

    done: bool = attrs.field(default=False, init=False)
    lanes: int = attrs.field(default=0, init=False)
    first_next: float = attrs.field(default=math.nan, init=False)
    first_answer: float = attrs.field(default=math.nan, init=False)
    served: int = attrs.field(default=0, init=False)
    errors: Counter[str] = attrs.field(factory=Counter[str], init=False)
    count: int = attrs.field(default=0, init=False)
    cycles: list[float] = attrs.field(factory=list[float], init=False)
    answers: list[float] = attrs.field(factory=list[float], init=False)
    busy: list[float] = attrs.field(factory=list[float], init=False)
    began: float = attrs.field(default=math.inf, init=False)
    ended: float = attrs.field(default=math.nan, init=False)
    platform: OneAtATime | ManyAtOnce = attrs.field(init=False)
    _all_connected: float = attrs.field(default=math.nan, init=False)
    _in_flight: int = attrs.field(default=0, init=False)
    _event_count: int = attrs.field(default=0, init=False)
    _last_event: Invocation | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        kind = OneAtATime if self.slots is None else ManyAtOnce
        self.platform = kind(
            self.clock,
            time.time,
            Journal(limit=0),
            on_answer=self._record_answer,
            hooks=RuntimeApiHooks(on_end=self._record_end),
            on_next=self._handle_next,
        )

    def connection(self, send: Any) -> Connection:
        """Make a connection for the runtime."""
        return Connection(self.platform, ARN, send)

    @property
    def expected_lanes(self) -> int:
        """The number of lanes that must connect before the first event."""
        return self.slots or 1

    @property
    def due(self) -> float:
        """The time of the next time-out; infinity without an event in flight."""
        oldest = self.platform.oldest
        return math.inf if oldest is None else oldest.begun_at + oldest.timeout

    def expire(self) -> None:
        """Time out all events that are due; the error counts with the time-out as its duration.

        In the classic mode the sandbox ends: only a new process may send requests then. With many
        slots the process continues.
        """
        now = self.clock()
        while self.due <= now:
            assert self.platform.oldest is not None  # because `due` is finite
            self.platform.expire(self.platform.oldest)

    def _handle_next(self) -> None:
        now = self.clock()
        if math.isnan(self.first_next):
            self.first_next = now
        if self.lanes < self.expected_lanes:
            self._add_lane(now)
        elif math.isnan(self.ended):
            if math.isinf(self.began) and self._is_warm(now):
                self.on_warm()
                # Read the clock again: on_warm takes time that must not count.
                self.began = self.clock()
            self._hand_out()

    def _add_lane(self, now: float) -> None:
        self.lanes += 1
        if self.lanes == self.expected_lanes:
            self._all_connected = now
            for _ in range(self.expected_lanes):
                self._hand_out()

    def _hand_out(self) -> None:
        event = self._make_event()
        self._in_flight += 1
        self.platform.offer(event)
        if self.slots is None and not math.isinf(self.began):
            if self._last_event is not None:
                self.cycles.append(event.begun_at - self._last_event.begun_at)
            self._last_event = event

    def _is_warm(self, now: float) -> bool:
        if not self.served:
            return False
        return self.served >= self.warm_events or now >= self._all_connected + self.warm_seconds

    def _make_event(self) -> Invocation:
        # A counter in place of a random id, which would cost a system call.
        self._event_count += 1
        request_id = f"00000000-0000-4000-8000-{self._event_count:012x}"
        return Invocation(
            self.event, self.timeout, request_id=request_id, trace_id=TRACE,
            invocation_id=request_id, sink=DISCARDED,
        )  # fmt: skip

    def _record_answer(self, invocation: Invocation) -> None:
        self.served += 1
        if math.isnan(self.first_answer):
            self.first_answer = self.clock()
        outcome = invocation.outcome
        assert outcome is not None  # set before the platform calls on_answer
        if outcome.error_type is not None:
            self.errors[outcome.error_type] += 1

    def _record_end(self, invocation: Invocation) -> None:
        self._in_flight -= 1
        if math.isinf(self.began):
            return
        # False for an event that was never handed out: its `begun` is NaN.
        if invocation.begun_at >= self.began:
            self.answers.append(invocation.answered_at - invocation.begun_at)
            self.busy.append(invocation.ended_at - invocation.begun_at)
        if math.isnan(self.ended):
            self._count(invocation)
        self.done = not math.isnan(self.ended) and not self._in_flight

    def _count(self, invocation: Invocation) -> None:
        self.count += 1
        if invocation.ended_at < self.began + self.seconds or self.count % self.expected_lanes:
            return
        self.ended = invocation.ended_at
        if self.slots is None:
            # No next hand-out will end this cycle.
            self.cycles.append(invocation.ended_at - invocation.begun_at)
        self.on_end()
