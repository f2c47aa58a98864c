"""The ledger: the state that poller, dispatcher, worker and responder share.

It holds the lanes with their deliveries, and the workers that are ready. It outlives every actor of
the tree. It also counts failures that no supervisor can judge, and ends the process when a cold
start is the better cure: too many abandoned handlers, no usable worker, no usable lane.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import trio

from ...actors import Actor, Address, Name, Ref, logs
from ...actors.safe_repr import class_name
from ..protocol.outcome import Outcome
from .delivery import Delivery
from .handover import wake
from .lane import Lane

if TYPE_CHECKING:

    class Watch(Protocol):
        """The watchdog, as the ledger sees it: it holds deadlines when trio's loop cannot."""

        def arm(self, delivery: Delivery, /) -> None: ...

        def settled(self) -> None: ...

    class Telemetry(Protocol):
        """The telemetry, as the actors see it: it ends the observation of an event."""

        def end_and_export(self, delivery: Delivery, outcome: Outcome, /) -> None: ...

        def end_process(self, delivery: Delivery, outcome: Outcome, seconds: float, /) -> None: ...

        async def close(self, failed: bool, /) -> None: ...


logger = logs.logger("okibi")

DISPATCHER: Name[Actor] = Name("lambda.dispatcher", Actor)


# Abandoned threads and workers that may run on, per lane, before the process ends. Per lane,
# because the handlers of all lanes may hang in the same outage.
ABANDON_LIMIT = 8
# Seconds after which an abandoned worker that has not ended counts as hanging. Half of Lambda's
# shortest time-out: it is known before the next event's worker must be abandoned, too.
HANG_SECONDS = 0.5
NO_WORKER = "no worker is left: each was abandoned at a deadline and has not ended"
NO_WORKER_READY = "no worker is ready: an event has waited for one until its deadline"
# Why a function did not run after the response, or was cut.
NO_TIME = "no time was left"
# Starts of a lane's poller and responder without an event between, before the lane is unavailable.
STARTS_LIMIT = 10


class Ledger:
    """The lanes, the ready workers, and the counts of failures.

    Args:
        lanes: one for each event that may be in flight.
        fail: ends the process with an error exit code; takes the reason for the log.
        watch: notified of each event that arrives and each delivery that is settled.
    """

    __slots__ = (
        "_abandoned", "_abandoned_workers", "backlog", "check_freeze", "dispatcher",
        "dispatcher_woken", "fail", "idle", "lanes", "ready", "telemetry", "watch",
        "worker_count",
    )  # fmt: skip

    def __init__(self, lanes: list[Lane], fail: Callable[[str], None], watch: "Watch") -> None:
        self.lanes = lanes
        self.fail = fail
        self.watch = watch
        # None for a function without observers of its events.
        self.telemetry: Telemetry | None = None
        # Workers with an instance, each with its last delivery: once that is finished, it is idle.
        self.ready: dict[Ref[Any], Delivery | None] = {}
        # Hints for the dispatcher: workers that have become idle. The last entry is used first,
        # which keeps the number of workers that hold connections small.
        self.idle: list[Ref[Any]] = []
        # Whether a delivery waits for an idle worker, as of the dispatcher's last look.
        self.backlog = False
        # The dispatcher's own ref once it has started; saves a lookup by name.
        self.dispatcher: Address[Actor] = DISPATCHER
        # Whether a wake-up for the dispatcher is on its way.
        self.dispatcher_woken = False
        # Checks whether the sandbox was frozen (`actors.freezes`); None while no actor
        # monitors freezes. The argument says whether an event is in flight from now on.
        self.check_freeze: Callable[[bool], None] | None = None
        self.worker_count: float = math.inf
        # Abandoned threads and workers, each as a function: whether it still runs.
        self._abandoned = list[Callable[[], bool]]()
        # Abandoned workers and when they were abandoned. Their place stays taken until they end.
        self._abandoned_workers = list[tuple[Ref[Any], float]]()

    # -- events

    def dispatch(self, lane: Lane, delivery: Delivery) -> None:
        """Arm the deadline of a new delivery and have the dispatcher assign it.

        The handler may have begun, or ended, when this returns.
        """
        self.watch.arm(delivery)
        if self.check_freeze is not None:
            # First of all: an actor may have to drop a dead connection before the handler asks.
            self.check_freeze(True)
        wake(self.dispatcher, (lane, delivery), now=True)

    def respond(self, lane: Lane, *, at_once: bool = False) -> None:
        """Have the response of a settled delivery sent, or the next event asked for.

        Args:
            at_once: whether to send within this step; the caller must have nothing left to do.
        """
        self.watch.settled()
        if self.check_freeze is not None:
            self.check_freeze(self.in_flight())
        wake(lane.responder, now=at_once)

    def begin_follow_ups(self, delivery: Delivery, worker: Ref[Any]) -> bool:
        """Begin the follow-ups of a delivery, with its deadline armed again. True once."""
        if not delivery.begin_follow_ups(worker):
            return False
        self.watch.arm(delivery)
        return True

    def finish(self, lane: Lane, delivery: Delivery, why: str) -> None:
        """End the follow-ups of a delivery, and have its lane ask for the next event.

        Args:
            lane, delivery: the event; nothing happens if its follow-ups have ended.
            why: the reason for which some may not have run, a clause for the log.
        """
        follow_ups = delivery.follow_ups
        if follow_ups is not None and lane.finish(delivery):
            try:
                # Before the GET leaves: the sandbox may freeze then.
                follow_ups.log_rest(delivery.request_id, why)
            finally:
                self.respond(lane)

    def in_flight(self) -> bool:
        """Return whether any delivery is unsettled, or has follow-ups."""
        return any(lane.delivery is not None and lane.delivery.unfinished for lane in self.lanes)

    # -- workers

    def add_worker(self, worker: Ref[Any]) -> None:
        """Add a worker whose instance is ready, and wake the dispatcher."""
        self.ready[worker] = None
        self.wake_dispatcher()

    def remove_worker(self, worker: Ref[Any]) -> bool:
        """Remove a worker whose instance is gone.

        Returns:
            Whether the worker was ready and its instance had received no event yet.
        """
        return worker in self.ready and self.ready.pop(worker) is None

    def add_idle_worker(self, worker: Ref[Any]) -> None:
        """Note a worker that has finished its delivery; wake the dispatcher if an event waits."""
        self.idle.append(worker)
        if self.backlog:
            self.wake_dispatcher()

    def wake_dispatcher(self) -> None:
        """Wake the dispatcher, once for all changes until it looks.

        A wake-up that dies with the dispatcher is no loss: the next incarnation looks first.
        """
        if not self.dispatcher_woken:
            self.dispatcher_woken = True
            wake(self.dispatcher)

    # -- handlers that do not end

    def count_abandoned(self, what: str, goes_on: Callable[[], bool]) -> None:
        """Count a thread or worker that runs on past its deadline and cannot be ended.

        Args:
            what: the name of the thread or worker in the log.
            goes_on: returns whether the thread or worker still runs; if not, it counts no more.
        """
        self._abandoned = [each for each in (*self._abandoned, goes_on) if each()]
        count, limit = len(self._abandoned), ABANDON_LIMIT * len(self.lanes)
        if count > limit:
            self.fail(
                f"{count} abandoned threads or workers are still running (limit {limit}); "
                f"the last is {what}"
            )

    def count_abandoned_worker(self, worker: Ref[Any], goes_on: Callable[[], bool]) -> None:
        """Count an abandoned worker, and end the process if all others hang.

        A worker hangs if it was abandoned HANG_SECONDS ago and has not ended. The process ends
        before it requests the next event, which would wait for a worker until its deadline.
        """
        hanging = self._count_hanging()
        self._abandoned_workers.append((worker, trio.current_time()))
        if hanging and hanging + 1 >= self.worker_count:
            self.fail(NO_WORKER)
        self.count_abandoned(worker.path, goes_on)

    def check_workers(self) -> None:
        """End the process if no worker is ready. An event has waited for one until its deadline.

        However the workers were lost, or if none leaves its `init`: the next event would wait, too.
        """
        if not self.lanes[0].closing and not any(worker.alive for worker in self.ready):
            self.fail(NO_WORKER_READY)

    def _count_hanging(self) -> int:
        self._abandoned_workers = [
            each for each in self._abandoned_workers if each[0].reason is None
        ]
        now = trio.current_time()
        return sum(since + HANG_SECONDS <= now for _, since in self._abandoned_workers)

    # -- lanes that do not serve

    def fail_interrupted_step(self, step: str, error: BaseException) -> bool:
        """End the process, because a step that must complete was left in its middle.

        A user's signal handler can cause that: it raises within okibi's code, for a time limit that
        the user's code left running. How far the step had come is unknown, and an event or response
        could wait until the platform's time-out. The end of the process tells the invoker now.

        With several lanes the process goes on, because its end would lose the other lanes' events.
        The caller then repairs its own lane.

        Args:
            step: the interrupted step, as in "while reading an event".
            error: the exception that interrupted it.

        Returns:
            Whether the process ends.
        """
        ends = len(self.lanes) == 1
        if ends:
            kind = class_name(type(error))
            self.fail(f"{kind} was raised within okibi's own code while {step}")
        return ends

    def count_start(self, lane: Lane) -> None:
        """Count a start of a lane's poller or responder.

        More than STARTS_LIMIT starts without an event make the lane unavailable. With a single lane
        the supervisor's restart intensity counts instead.
        """
        starts = lane.failures.count_start()
        if starts > STARTS_LIMIT and len(self.lanes) > 1:
            why = f"its poller and its responder have started {starts} times without an event"
            self.mark_unavailable(lane, why)

    def mark_unavailable(self, lane: Lane, why: str) -> None:
        """Mark a lane as unavailable. It retries; the process ends once all lanes are."""
        was_available = lane.failures.mark_unavailable()
        if all(each.failures.unavailable for each in self.lanes):
            self.fail(why)
        elif was_available:
            logger.error("lane %d unavailable, retrying: %s", lane.index, why)
