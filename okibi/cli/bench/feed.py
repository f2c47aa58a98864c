"""What a measured runtime is served: the same event again and again, on one lane or on many.

Without I/O: it is told of what the runtime does by the platform's side of the Runtime API, and asks
a clock. Once all lanes have come, each that asks for an event gets one at once, so that the runtime
is never the one to wait; what it took is known from the moments at which events were handed out,
answered, and come back from.

Throughput is what ends in the measured time, which begins and ends with the end of an event and
lasts for whole rounds of all lanes: else the events in flight at either edge would count for less
than they are. What an event takes is told of those that began in it, the slow ones too: nothing is
handed out after it, and those in flight are waited for, as long as they have time.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs

from ...local.classic_mode import Exchange
from ...local.connection import Connection
from ...local.invocation import Invocation
from ...local.journal import Journal
from ...local.multi_concurrency import Slots
from ...local.outcomes import timed_out
from ...local.platform import Waiter
from ...local.settings import arn_of
from ...local.states import Refusal

__all__ = ["Feed"]

ARN = arn_of("function")
TRACE = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0"


def _nothing() -> None:
    """Nobody listens."""


class Discarded:
    """Where a streamed answer goes piece by piece, as Lambda takes it: nobody reads it here."""

    full = False

    def begin(self, content_type: str) -> None:
        """Another answer."""

    def write(self, piece: bytes) -> None:
        """A piece of it."""


DISCARDED = Discarded()


@attrs.define(eq=False)
class OneAtATime(Exchange):
    """The classic mode; `on_next` is told of each question for an event once it waits."""

    on_next: Callable[[], None] = _nothing

    def next(self, waiter: Waiter) -> Refusal | Invocation | None:
        said = super().next(waiter)
        # One that asks twice has its event already, or it waits for its extensions.
        if said is None and self.offered is None:
            self.on_next()
        return said

    @property
    def oldest(self) -> Invocation | None:
        """What has been in flight for the longest; the runtime may still have to come back."""
        return self.current

    def expire(self, invocation: Invocation) -> None:
        """Its time is up, and with it the sandbox's."""
        self.end(lambda request_id: timed_out(request_id, invocation.timeout))


@attrs.define(eq=False)
class ManyAtOnce(Slots):
    """Multi-concurrency; as `OneAtATime`."""

    on_next: Callable[[], None] = _nothing

    @property
    def oldest(self) -> Invocation | None:
        """As `OneAtATime`, of those that are not answered."""
        return next(iter(self.running.values()), None)

    def next(self, waiter: Waiter) -> Refusal | Invocation | None:
        said = super().next(waiter)
        self.on_next()
        return said


@attrs.define(eq=False)
class Feed:
    """Serves one run.

    Args:
        event: the payload.
        timeout: seconds that the runtime is told an event has.
        warm_events, warm_seconds: what ends the warm-up, whichever is first; one event at least.
        seconds: what is measured.
        slots: events at once, or None for the classic mode.
        on_warm, on_end: told when the measured time begins and when it is over.
        clock: seconds.

    Attributes:
        done: whether all that was handed out has come back.
        lanes: how many have come.
        first_next, first_answer: when they came; NaN before.
        served: events answered.
        errors: of these, by error type.
        count: events that ended in the measured time.
        cycles, answers, busy: seconds of those that began in it (see `Run`).
        began, ended: of the measured time; infinite and NaN before.
    """

    event: bytes
    timeout: float
    warm_events: int
    warm_seconds: float
    seconds: float
    slots: int | None = None
    on_warm: Callable[[], None] = _nothing
    on_end: Callable[[], None] = _nothing
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
    _all_came: float = attrs.field(default=math.nan, init=False)
    _in_flight: int = attrs.field(default=0, init=False)
    _made: int = attrs.field(default=0, init=False)
    _last: Invocation | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        kind = OneAtATime if self.slots is None else ManyAtOnce
        self.platform = kind(
            self.clock,
            time.time,
            Journal(limit=0),
            on_answer=self._answered,
            on_end=self._ended,
            on_next=self._asked,
        )

    def connection(self, send: Any) -> Connection:
        """A connection of the runtime."""
        return Connection(self.platform, ARN, send)

    @property
    def wanted(self) -> int:
        """How many lanes there are to be."""
        return self.slots or 1

    @property
    def due(self) -> float:
        """When the time of an event in flight is up next; infinite if none is."""
        oldest = self.platform.oldest
        return math.inf if oldest is None else oldest.begun + oldest.timeout

    def expire(self) -> None:
        """The time of those that are due is up (Lambda): an error, and it took as long as that.

        With one event at a time nothing more may come of the runtime's process, but for what a new
        one says. Of many it lives on.
        """
        now = self.clock()
        while self.due <= now:
            assert self.platform.oldest is not None  # it is due
            self.platform.expire(self.platform.oldest)

    def _asked(self) -> None:
        now = self.clock()
        if math.isnan(self.first_next):
            self.first_next = now
        if self.lanes < self.wanted:
            self._come(now)
        elif math.isnan(self.ended):
            if math.isinf(self.began) and self._is_warm(now):
                self.on_warm()
                # Whatever that took, the events in flight began before.
                self.began = self.clock()
            self._hand_out()

    def _come(self, now: float) -> None:
        self.lanes += 1
        if self.lanes == self.wanted:
            self._all_came = now
            for _ in range(self.wanted):
                self._hand_out()

    def _hand_out(self) -> None:
        event = self._event()
        self._in_flight += 1
        self.platform.offer(event)
        if self.slots is None and not math.isinf(self.began):
            if self._last is not None:
                self.cycles.append(event.begun - self._last.begun)
            self._last = event

    def _is_warm(self, now: float) -> bool:
        if not self.served:
            return False
        return self.served >= self.warm_events or now >= self._all_came + self.warm_seconds

    def _event(self) -> Invocation:
        # An id of Lambda's own form would be a call into the kernel's random numbers.
        self._made += 1
        request_id = f"00000000-0000-4000-8000-{self._made:012x}"
        return Invocation(
            self.event, self.timeout, request_id=request_id, trace_id=TRACE,
            invocation_id=request_id, sink=DISCARDED,
        )  # fmt: skip

    def _answered(self, invocation: Invocation) -> None:
        self.served += 1
        if math.isnan(self.first_answer):
            self.first_answer = self.clock()
        outcome = invocation.outcome
        assert outcome is not None  # the platform tells of it once it is there
        if outcome.error_type is not None:
            self.errors[outcome.error_type] += 1

    def _ended(self, invocation: Invocation) -> None:
        self._in_flight -= 1
        if math.isinf(self.began):
            return
        # One that has not begun is NaN, which is less than nothing.
        if invocation.begun >= self.began:
            self.answers.append(invocation.answered - invocation.begun)
            self.busy.append(invocation.ended - invocation.begun)
        if math.isnan(self.ended):
            self._count(invocation)
        self.done = not math.isnan(self.ended) and not self._in_flight

    def _count(self, invocation: Invocation) -> None:
        self.count += 1
        if invocation.ended < self.began + self.seconds or self.count % self.wanted:
            return
        self.ended = invocation.ended
        if self.slots is None:
            # No event follows that would end its cycle.
            self.cycles.append(invocation.ended - invocation.begun)
        self.on_end()
