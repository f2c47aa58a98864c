"""The dispatcher: assigns events to idle workers, ends them for dead and late workers.

`plan` decides, purely. `Dispatcher` performs the plan.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import trio

from ...actors import Actor, Down, Ref, logs
from ...actors.actor import make_receiver
from ...actors.trio_internals import tasks_are_runnable
from ..deadlines.where_it_stood import deadline_error_from_worker
from ..errors.error_response import platform_error
from ..in_flight.delivery import STREAMING, Delivery, DeliveryState
from ..in_flight.handover import wake
from ..in_flight.lane import Lane
from ..in_flight.ledger import NO_TIME, Ledger
from ..in_flight.turns import TurnRunner
from ..logs.lambda_log import log_error
from ..protocol.outcome import Outcome

logger = logs.logger("okibi")

WORKER_EXITED = "the worker of this invocation ended before it responded"
WORKER_ENDED = "its worker ended"


class DeliveryStatus(NamedTuple):
    """One lane's delivery, as `plan` sees it."""

    lane: int
    state: DeliveryState
    worker_lives: bool
    late: bool


class Action(NamedTuple):
    """What to do about one lane's delivery.

    Args:
        what: one of the six below.
        lane: number of the lane.
        worker: gets the delivery; None unless it is assigned.
    """

    what: str
    lane: int
    worker: Ref[Any] | None = None


ASSIGN = "assign"
# The worker died before it began: the delivery waits for another worker.
GIVE_BACK = "give back"
# The worker died while it ran the handler: respond with an error, never run it again.
SETTLE_DEAD = "settle for a dead worker"
# The deadline has passed: respond with an error, abandon the worker.
SETTLE_LATE = "settle for a late worker"
# The worker died before its follow-ups had ended: end them, without a response.
FINISH_DEAD = "finish for a dead worker"
# The deadline has passed, and the follow-ups have not ended: end them, abandon the worker.
FINISH_LATE = "finish for a late worker"


def plan(deliveries: Sequence[DeliveryStatus], idle: Sequence[Ref[Any]]) -> list[Action]:
    """Decide what to do about the deliveries. Pure.

    Args:
        deliveries: every unfinished delivery.
        idle: living workers with an instance and without a delivery, in the order of use.
    """
    actions: list[Action] = []
    free = iter(idle)
    for lane, state, worker_lives, late in deliveries:
        settled = state > STREAMING
        if late:
            actions.append(Action(FINISH_LATE if settled else SETTLE_LATE, lane))
            continue
        if state >= DeliveryState.RUNNING and not worker_lives:
            actions.append(Action(FINISH_DEAD if settled else SETTLE_DEAD, lane))
            continue
        waiting = state is DeliveryState.RECEIVED
        if state is DeliveryState.ASSIGNED and not worker_lives:
            actions.append(Action(GIVE_BACK, lane))
            waiting = True
        worker = next(free, None) if waiting else None
        if worker is not None:
            actions.append(Action(ASSIGN, lane, worker))
    return actions


class Dispatcher(Actor):
    """Assigns each event to an idle worker. Performs the plan when something may be wrong.

    A new event goes to the idle worker that was used last, without a look at other lanes. The whole
    plan is performed after a wake-up: a worker became ready or idle, a worker died, or the watchdog
    found a delivery late.

    The dispatcher has no state that matters: it starts by looking at the ledger. Its mailbox stays
    short. The ledger keeps at most one wake-up pending, each lane has at most one event, and the
    watchdog sends one wake-up per late event.
    """

    __slots__ = ("_now", "_watched", "ledger")

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._watched = set[Ref[Any]]()
        self._now: Callable[[], float] = trio.current_time

    async def run(self) -> None:
        self.ledger.dispatcher = self.ref
        # trio's clock, without two calls of trio's around it.
        self._now = trio.lowlevel.current_clock().current_time
        receive = make_receiver(self, TurnRunner(self._turn))
        self._turn(None)
        while True:
            # No local name: it would keep a delivery alive until the next message.
            self._turn(await receive())

    def _turn(self, message: object) -> bool:
        """Handle a message: a new event, a wake-up (None), or the end of a worker (Down)."""
        if isinstance(message, tuple):
            self._assign_new_event(cast("tuple[Lane, Delivery]", message))
            return True
        if message is None:
            # Before the look: each later change sends a wake-up again.
            self.ledger.dispatcher_woken = False
        elif isinstance(message, Down) and message.ref is not None:
            self._watched.discard(message.ref)
            self.ledger.remove_worker(message.ref)
        self._watch_workers()
        self._perform_plan()
        return True

    def _assign_new_event(self, message: tuple[Lane, Delivery]) -> None:
        """Assign a new event to an idle worker, or perform the whole plan.

        Other lanes are not looked at: with sixty lanes, that would take longer than all the rest.
        The watchdog reports late deliveries, and a Down reports a dead worker.

        The handler may begin within this call. Nothing may follow it.
        """
        lane, delivery = message
        waits = delivery.worker is None and not delivery.is_overdue(self._now())
        worker = self._last_idle() if waits else None
        if worker is None:
            self._perform_plan()
        else:
            # Tasks that were woken before the event arrived go first, for example an actor that
            # was notified of a freeze.
            self._assign(lane, delivery, worker, now=not tasks_are_runnable())

    def _watch_workers(self) -> None:
        for worker in self.ledger.ready:
            if worker not in self._watched:
                self._watched.add(worker)
                self.monitor(worker)

    def _perform_plan(self) -> None:
        now = self._now()
        # Only those that may need an action: most have a living worker and time left.
        deliveries: list[DeliveryStatus] = []
        for lane in self.ledger.lanes:
            delivery = lane.delivery
            if delivery is None or not delivery.unfinished:
                continue
            worker = delivery.worker
            lives = worker is not None and worker.alive
            late = delivery.is_overdue(now)
            if late or not lives:
                deliveries.append(DeliveryStatus(lane.index, delivery.state, lives, late))
        if deliveries:
            for action in plan(deliveries, self._idle_workers()):
                self._perform(action)
        left = [self.ledger.lanes[each.lane].delivery for each in deliveries]
        self.ledger.backlog = any(d is not None and d.state is DeliveryState.RECEIVED for d in left)
        self.ledger.idle = self._idle_workers()[::-1]

    def _last_idle(self) -> Ref[Any] | None:
        """Return the worker that became idle last, without a look at all workers."""
        idle = self.ledger.idle
        while idle:
            if self._is_idle(worker := idle.pop()):
                return worker
        return None

    def _idle_workers(self) -> list[Ref[Any]]:
        return [worker for worker in self.ledger.ready if self._is_idle(worker)]

    def _is_idle(self, worker: Ref[Any]) -> bool:
        try:
            last = self.ledger.ready[worker]
        except KeyError:
            # Its instance is gone.
            return False
        # As `unfinished`, without a call: each event comes here.
        return worker.alive and (
            last is None or (last.state > STREAMING and last.follow_ups is None)
        )

    def _perform(self, action: Action) -> None:
        lane = self.ledger.lanes[action.lane]
        delivery = lane.delivery
        if delivery is None:
            return
        if action.worker is not None:
            self._assign(lane, delivery, action.worker)
        elif action.what == GIVE_BACK:
            delivery.give_back()
        elif action.what == SETTLE_DEAD:
            kind, request_id = "Runtime.WorkerExited", delivery.request_id
            exited = platform_error(kind, WORKER_EXITED, request_id)
            self._settle(lane, delivery, exited, WORKER_ENDED)
        elif action.what == FINISH_DEAD:
            self._end_telemetry(delivery, Outcome(b"", error_type="Runtime.WorkerExited"))
            self.ledger.finish(lane, delivery, WORKER_ENDED)
        else:
            self._end_late(lane, delivery)

    def _end_late(self, lane: Lane, delivery: Delivery) -> None:
        error = deadline_error_from_worker(delivery, self._watched)
        if delivery.unsettled:
            self._settle(lane, delivery, error, NO_TIME)
        else:
            log_error(error.body)
            self._end_telemetry(delivery, error)
            self.ledger.finish(lane, delivery, NO_TIME)
        if delivery.worker is not None:
            self._abandon(delivery.worker)
        else:
            self.ledger.check_workers()

    def _assign(
        self, lane: Lane, delivery: Delivery, worker: Ref[Any], *, now: bool = False
    ) -> None:
        if delivery.assign(worker):
            self.ledger.ready[worker] = delivery
            wake(worker, (lane, delivery), now=now)

    def _abandon(self, worker: Ref[Any]) -> None:
        logger.error("abandoning %s: it did not end in time", worker.path)
        self.ledger.remove_worker(worker)
        worker.kill()
        abandon_task: Callable[[], Callable[[], bool]] | None
        abandon_task = getattr(worker.process().actor, "abandon_task", None)
        goes_on = abandon_task() if abandon_task is not None else lambda: worker.reason is None
        self.ledger.count_abandoned_worker(worker, goes_on)

    def _settle(self, lane: Lane, delivery: Delivery, outcome: Outcome, why: str) -> None:
        self._end_telemetry(delivery, outcome)
        if delivery.settle(outcome):
            log_error(outcome.body)
            delivery.drop_follow_ups(why)
            self.ledger.respond(lane)

    def _end_telemetry(self, delivery: Delivery, outcome: Outcome) -> None:
        if self.ledger.telemetry is not None:
            self.ledger.telemetry.end_and_export(delivery, outcome)
