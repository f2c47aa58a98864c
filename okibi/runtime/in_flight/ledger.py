"""What the four actors share: the lanes with their deliveries, and which workers are ready."""

import math
from collections.abc import Callable
from typing import Any, Protocol

import trio

from ...actors import Actor, Address, Name, Ref, logs
from ...actors.safe_repr import class_name
from .delivery import Delivery
from .handover import wake
from .lane import Lane

logger = logs.logger("okibi")

DISPATCHER: Name[Actor] = Name("lambda.dispatcher", Actor)


# Workers and threads that could not be ended, before the process is worth less than a cold start;
# for each lane, since all their handlers may hang in the same outage.
ABANDON_LIMIT = 8
# Seconds after which an abandoned worker that has not ended is held for one that never will. Half
# of Lambda's least time-out: it is known when the next event's worker has to be abandoned, too.
HANG_SECONDS = 0.5
NO_WORKER = "no worker is left: each was abandoned at a deadline, and does not end"
# Starts of a lane's two actors without an event between, before it is a lane that does not serve;
# of workers, for each lane, without one that gets ready.
STARTS_LIMIT = 10


class Watch(Protocol):
    """Who holds the deadlines when the loop cannot: the watchdog, or nobody."""

    def arm(self, delivery: Delivery, /) -> None: ...

    def settled(self) -> None: ...


class Ledger:
    """The truth about what is in flight. It outlives every actor of the tree.

    Args:
        lanes: one for each event that may be in flight.
        fail: ends the process, non-zero, with a sentence that says why.
        watch: told of each event that has come and each that is settled.
    """

    __slots__ = (
        "_abandoned", "_abandoned_workers", "_starts", "asyncio_stuck", "backlog",
        "check_freeze", "dispatcher", "dispatcher_woken", "fail", "idle", "lanes", "ready",
        "watch", "worker_count",
    )  # fmt: skip

    def __init__(self, lanes: list[Lane], fail: Callable[[str], None], watch: Watch) -> None:
        self.lanes = lanes
        self.fail = fail
        self.watch = watch
        # The workers with an instance, each with what it was last given: settled, it is idle.
        self.ready: dict[Ref[Any], Delivery | None] = {}
        # The idle ones as of the dispatcher's last look, and who has said so since: where it looks
        # first. The last is the one to use: no more of them come to hold connections than need to.
        self.idle: list[Ref[Any]] = []
        # Whether a delivery may wait for one of them: that look has left it so.
        self.backlog = False
        # Whoever dispatches: the actor itself, once it has started, which takes no look into the
        # table of names. One that has ended needs no wake-up, its successor looks first.
        self.dispatcher: Address[Actor] = DISPATCHER
        # Whether a wake-up is on its way to the dispatcher, or to the one that comes after it.
        self.dispatcher_woken = False
        # Looks whether the sandbox was frozen, while anybody wants to know
        # (`serving.freeze_detector`): told whether something is in flight from now on.
        self.check_freeze: Callable[[bool], None] | None = None
        self._starts = 0
        # Whether a second loop, asyncio's, hangs: then the watchdog has the last word, as with
        # trio's.
        self.asyncio_stuck: Callable[[], bool] = lambda: False
        self._abandoned = list[Callable[[], bool]]()
        # How many workers there are, and since when some of them are abandoned. Until one has ended
        # there is none in its place.
        self.worker_count: float = math.inf
        self._abandoned_workers = list[tuple[Ref[Any], float]]()

    def dispatch(self, lane: Lane, delivery: Delivery) -> None:
        """A delivery is in its lane: hold its deadline, have it given out now. Its handler may have
        begun when this returns, and ended.
        """
        self.watch.arm(delivery)
        if self.check_freeze is not None:
            # Before anybody else hears of the event: who has to drop a connection does so in time.
            self.check_freeze(True)
        wake(self.dispatcher, (lane, delivery), now=True)

    def respond(self, lane: Lane, *, at_once: bool = False) -> None:
        """A delivery has its answer: have it sent.

        Args:
            at_once: in this step; for who has nothing else to do before that.
        """
        self.watch.settled()
        if self.check_freeze is not None:
            self.check_freeze(self.in_flight())
        wake(lane.responder, now=at_once)

    def in_flight(self) -> bool:
        """Whether an event waits for its answer."""
        return any(lane.delivery is not None and lane.delivery.unsettled for lane in self.lanes)

    def add_worker(self, worker: Ref[Any]) -> None:
        """Enter a worker that has an instance to serve with, and have the dispatcher look."""
        self.ready[worker] = None
        self._starts = 0
        self.wake_dispatcher()

    def count_worker_start(self) -> None:
        """Count a start of a worker: that none of many gets ready is no failure of one's own.

        As long as one serves, the others are tried again. With a single lane it is their
        supervisor's to count.
        """
        if any(worker.alive for worker in self.ready):
            self._starts = 0
            return
        self._starts += 1
        if len(self.lanes) > 1 and self._starts > STARTS_LIMIT * len(self.lanes):
            self.fail(f"workers have started {self._starts} times, and none has become ready")

    def remove_worker(self, worker: Ref[Any]) -> bool:
        """Take a worker out whose instance is gone. Whether it was there, and had no event yet."""
        return worker in self.ready and self.ready.pop(worker) is None

    def add_idle_worker(self, worker: Ref[Any]) -> None:
        """Note one that has answered; have the dispatcher look, if a delivery may wait for it."""
        self.idle.append(worker)
        if self.backlog:
            self.wake_dispatcher()

    def wake_dispatcher(self) -> None:
        """Have the dispatcher look, once for all that has changed until it does.

        One that is killed with the wake-up in its mailbox is no loss: its successor looks first.
        """
        if not self.dispatcher_woken:
            self.dispatcher_woken = True
            wake(self.dispatcher)

    def count_abandoned(self, what: str, goes_on: Callable[[], bool]) -> None:
        """Count something that goes on past its deadline and cannot be ended.

        Args:
            what: what the log calls it.
            goes_on: whether it still does; what has ended by itself is counted no more.
        """
        self._abandoned = [each for each in (*self._abandoned, goes_on) if each()]
        count = len(self._abandoned)
        if count > ABANDON_LIMIT * len(self.lanes):
            self.fail(f"{what} is one of {count} that do not end in time")

    def count_abandoned_worker(self, worker: Ref[Any], goes_on: Callable[[], bool]) -> None:
        """Count a worker that goes on past its deadline. The process ends if all others hang, each
        abandoned for HANG_SECONDS seconds.

        It ends before the next event is asked for: that would wait for a worker in all its time.
        """
        hang = self._hanging()
        self._abandoned_workers.append((worker, trio.current_time()))
        if hang and hang + 1 >= self.worker_count:
            self.fail(NO_WORKER)
        self.count_abandoned(worker.path, goes_on)

    def check_workers(self) -> None:
        """An event waits for a worker: the process ends if all of them hang."""
        if self._abandoned_workers and self._hanging() >= self.worker_count:
            # Said once.
            self._abandoned_workers.clear()
            self.fail(NO_WORKER)

    def _hanging(self) -> int:
        """How many abandoned workers have not ended in HANG_SECONDS seconds."""
        self._abandoned_workers = [
            each for each in self._abandoned_workers if each[0].reason is None
        ]
        now = trio.current_time()
        return sum(since + HANG_SECONDS <= now for _, since in self._abandoned_workers)

    def fail_interrupted_step(self, step: str, error: BaseException) -> bool:
        """A step that is whole or not at all was left in its middle, by what no room can have
        foreseen: a signal handler of the user's has raised there, for a time limit that his code
        has left ticking. What it had done by then nobody knows, and an answer, or an event, would
        be waited for until the platform's time-out. So the process ends, and tells the invoker now.
        Not with other lanes, whose events would be lost by that: there who tells of it sees to it
        that his lane goes on.

        Returns:
            Whether it ends.
        """
        ends = len(self.lanes) == 1
        if ends:
            kind = class_name(type(error))
            self.fail(f"{kind} was raised in the middle of okibi's own work, {step}")
        return ends

    def count_start(self, lane: Lane) -> None:
        """Count a start of one of a lane's actors: again and again, with no event between, is a
        failure of that lane's. A single lane's is its supervisor's to count.
        """
        lane.starts_without_event += 1
        if lane.starts_without_event > STARTS_LIMIT and len(self.lanes) > 1:
            starts = lane.starts_without_event
            words = f"its poller and its responder have started {starts} times without an event"
            self.mark_unavailable(lane, words)

    def mark_unavailable(self, lane: Lane, why: str) -> None:
        """A lane does not serve. It tries on; the process ends once no lane does."""
        was_lost, lane.unavailable = lane.unavailable, True
        if all(each.unavailable for each in self.lanes):
            self.fail(why)
        elif not was_lost:
            logger.error("lane %d does not serve, and tries on: %s", lane.index, why)
