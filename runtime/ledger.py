"""What the four actors share: the lanes with their deliveries, and which workers are ready."""

from collections.abc import Callable
from typing import Any, Protocol

import attrs

from actors import Actor, Name, Ref

from .delivery import Delivery, State
from .lane import Lane, wake

DISPATCHER: Name[Actor] = Name("lambda.dispatcher", Actor)


# Workers and threads that could not be ended, before the process is worth less than a cold start.
ABANDON_LIMIT = 8
# Events that find no worker in all their time.
UNSERVED_LIMIT = 2


class Watch(Protocol):
    """Who holds the deadlines when the loop cannot: the watchdog, or nobody."""

    def arm(self, limit: float, /) -> None: ...

    def settled(self) -> None: ...


@attrs.define(eq=False)
class Ledger:
    """The truth about what is in flight. It outlives every actor of the tree.

    Args:
        lanes: one for each event that may be in flight.
        fail: ends the process, non-zero, with a sentence that says why.
        watch: told of each event that has come and each that is settled.
    """

    lanes: list[Lane]
    fail: Callable[[str], None]
    watch: Watch
    ready: dict[Ref[Any], None] = attrs.field(factory=dict[Ref[Any], None], init=False)
    # Counts each change of `ready`, so that the dispatcher sees one by a single comparison.
    changes: int = attrs.field(default=0, init=False)
    # Looks whether the sandbox was frozen, while anybody wants to know (room `thaw`): told whether
    # something is in flight from now on.
    looks: Callable[[bool], None] | None = attrs.field(default=None, init=False)
    unserved: int = attrs.field(default=0, init=False)
    # Whether a second loop, asyncio's, hangs: then the watchdog has the last word, as with trio's.
    stuck: Callable[[], bool] = attrs.field(default=lambda: False, init=False)
    _abandoned: list[Callable[[], bool]] = attrs.field(factory=list[Callable[[], bool]], init=False)

    def received(self, lane: Lane, delivery: Delivery) -> None:
        """A delivery is in its lane: hold its deadline, have it given out."""
        self.watch.arm(delivery.limit)
        if self.looks is not None:
            # Before anybody else hears of the event: who has to drop a connection does so in time.
            self.looks(True)
        wake(DISPATCHER, lane)

    def settled(self, lane: Lane) -> None:
        """A delivery has its answer: have it sent."""
        self.watch.settled()
        if self.looks is not None:
            self.looks(self.in_flight())
        wake(lane.responder, lane)

    def in_flight(self) -> bool:
        """Whether an event waits for its answer."""
        return any(lane.delivery is not None and lane.delivery.unsettled for lane in self.lanes)

    def worker_ready(self, worker: Ref[Any]) -> None:
        """Enter a worker that has an instance to serve with, and have the dispatcher look."""
        self.ready[worker] = None
        self.changes += 1
        self.unserved = 0
        wake(DISPATCHER, worker)

    def worker_not_ready(self, worker: Ref[Any]) -> None:
        """Take a worker out whose instance is gone."""
        self.ready.pop(worker, None)

    def worker_idle(self) -> None:
        """Have the dispatcher look, if a delivery waits for a worker."""
        for lane in self.lanes:
            if lane.delivery is not None and lane.delivery.state is State.RECEIVED:
                wake(DISPATCHER, lane)
                return

    def abandon(self, what: str, goes_on: Callable[[], bool]) -> None:
        """Count something that goes on past its deadline and cannot be ended.

        Args:
            what: what the log calls it.
            goes_on: whether it still does; what has ended by itself is counted no more.
        """
        self._abandoned = [each for each in (*self._abandoned, goes_on) if each()]
        count = len(self._abandoned)
        if count > ABANDON_LIMIT:
            self.fail(f"{what} is one of {count} that do not end in time")

    def leave_unserved(self) -> None:
        """Count an event that no worker has become free for in all its time.

        One may come into a long `init`. Two, and no worker ready between them, say that each is
        stuck: then no event would ever be served again.
        """
        self.unserved += 1
        if self.unserved >= UNSERVED_LIMIT:
            self.fail(f"no worker has become free for {self.unserved} events, one after the other")
