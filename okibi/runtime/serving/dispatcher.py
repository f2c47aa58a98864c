"""The dispatcher: gives each delivery to an idle worker, settles what a dead or late one leaves."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import trio

from ...actors import Actor, Down, Ref, logs
from ...actors.actor import make_receiver
from ...actors.trio_internals import tasks_are_runnable
from ..deadlines.where_it_stood import late_at
from ..errors.error_response import platform_error
from ..in_flight.delivery import Delivery, DeliveryState
from ..in_flight.handover import wake
from ..in_flight.lane import Lane
from ..in_flight.ledger import HANG_SECONDS, Ledger
from ..protocol.outcome import Outcome
from ..telemetry.logs import log_error

logger = logs.logger("okibi")


class Entry(NamedTuple):
    """One lane's delivery as the plan sees it."""

    lane: int
    state: DeliveryState
    worker_lives: bool
    late: bool


class Assign(NamedTuple):
    """Give the lane's delivery to a worker."""

    lane: int
    worker: Ref[Any]


class GiveBack(NamedTuple):
    """Its worker died before it began: it waits for another."""

    lane: int


class SettleDead(NamedTuple):
    """Its worker died in the middle: answer with an error; it is never run again."""

    lane: int


class SettleLate(NamedTuple):
    """Its time is over and nobody has answered: answer with an error, abandon the worker."""

    lane: int


Action = Assign | GiveBack | SettleDead | SettleLate


def plan(entries: Sequence[Entry], idle: Sequence[Ref[Any]]) -> list[Action]:
    """What to do about the deliveries as they stand. Pure: it looks, and changes nothing.

    Args:
        entries: every lane's unsettled delivery.
        idle: living workers with an instance and without a delivery, in the order to use them.
    """
    actions: list[Action] = []
    free = iter(idle)
    for lane, state, worker_lives, late in entries:
        if late:
            actions.append(SettleLate(lane))
            continue
        if state >= DeliveryState.RUNNING and not worker_lives:
            actions.append(SettleDead(lane))
            continue
        waiting = state is DeliveryState.RECEIVED
        if state is DeliveryState.ASSIGNED and not worker_lives:
            actions.append(GiveBack(lane))
            waiting = True
        worker = next(free, None) if waiting else None
        if worker is not None:
            actions.append(Assign(lane, worker))
    return actions


class Dispatcher(Actor):
    """Performs the plan whenever it is woken: by a worker, an end, or the watchdog. A delivery that
    has come it gives out without a look at the others, if a worker is idle.

    It holds nothing, and starts by looking at the ledgers. What is in flight stands in the lanes,
    one delivery each: no more than `AWS_LAMBDA_MAX_CONCURRENCY`, since a lane asks for the next
    event only with, or after, the answer to the last. So little mail waits: one wake-up of the
    ledger's, for another says no more, one of each lane, and one of the watchdog's for each event
    that is late while nothing else runs. A worker is told of one delivery at a time.
    """

    __slots__ = ("_watched", "ledger")

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._watched = set[Ref[Any]]()

    async def run(self) -> None:
        self.ledger.dispatcher = self.ref
        receive = make_receiver(self, self._turn)
        self._turn(None)
        while True:
            # No name for the message: it would keep a delivery until the next one comes.
            self._turn(await receive())

    def _turn(self, message: object) -> bool:
        if isinstance(message, tuple):
            self._give_out(*cast("tuple[Lane, Delivery]", message))
            return True
        if message is None:
            # Before it looks: whatever changes from here on wakes it again.
            self.ledger.dispatcher_woken = False
        elif isinstance(message, Down) and message.ref is not None:
            self._watched.discard(message.ref)
            self.ledger.remove_worker(message.ref)
        self._watch_workers()
        self._look()
        return True

    def _give_out(self, lane: Lane, delivery: Delivery) -> None:
        """Give out what has come, if a worker is idle: what the plan would say of this lane. Its
        handler may begin in here, so nothing may follow.

        Without a look at the others, since to look at sixty would take longer than all else here:
        of what is late the watchdog tells, of a worker that ends itself and its Down.
        """
        waits = delivery.worker is None and not delivery.is_overdue(trio.current_time())
        worker = self._last_idle() if waits else None
        if worker is None:
            self._look()
        else:
            # What was woken before the event came, by a thaw or by the last one's handler, is not
            # to fall behind it.
            self._assign(lane, delivery, worker, now=not tasks_are_runnable())

    def _watch_workers(self) -> None:
        for worker in self.ledger.ready:
            if worker not in self._watched:
                self._watched.add(worker)
                self.monitor(worker)

    def _look(self) -> None:
        """See about which deliveries there may be something to do, and do it: most are with a
        living worker and have time.
        """
        now = trio.current_time()
        entries: list[Entry] = []
        for lane in self.ledger.lanes:
            delivery = lane.delivery
            if delivery is None or delivery.state > DeliveryState.STREAMING:
                continue
            worker = delivery.worker
            lives = worker is not None and worker.alive
            late = delivery.is_overdue(now)
            if late or not lives:
                entries.append(Entry(lane.index, delivery.state, lives, late))
        if entries:
            for action in plan(entries, self._idle()):
                self._perform(action)
        left = [self.ledger.lanes[entry.lane].delivery for entry in entries]
        self.ledger.backlog = any(d is not None and d.state is DeliveryState.RECEIVED for d in left)
        self.ledger.idle = self._idle()[::-1]
        if self.ledger.backlog:
            self.ledger.check_workers()

    def _last_idle(self) -> Ref[Any] | None:
        """The worker that became idle last, without a look at all of them."""
        idle = self.ledger.idle
        while idle:
            if self._is_idle(worker := idle.pop()):
                return worker
        return None

    def _idle(self) -> list[Ref[Any]]:
        return [worker for worker in self.ledger.ready if self._is_idle(worker)]

    def _is_idle(self, worker: Ref[Any]) -> bool:
        try:
            last = self.ledger.ready[worker]
        except KeyError:
            # It has no instance any more.
            return False
        return (last is None or not last.unsettled) and worker.alive

    def _perform(self, action: Action) -> None:
        lane = self.ledger.lanes[action.lane]
        delivery = lane.delivery
        if delivery is None:
            return
        match action:
            case Assign():
                self._assign(lane, delivery, action.worker)
            case GiveBack():
                delivery.give_back()
            case SettleDead():
                text = "The worker of this invocation ended before it answered"
                error = platform_error("Runtime.WorkerExited", text, delivery.request_id)
                self._settle(lane, delivery, error)
            case SettleLate():
                if self.ledger.asyncio_stuck():
                    # No other event would fare better: the watchdog answers and ends the process.
                    return
                self._settle(lane, delivery, late_at(delivery, self._watched))
                if delivery.worker is not None:
                    self._abandon(delivery.worker)

    def _assign(
        self, lane: Lane, delivery: Delivery, worker: Ref[Any], *, now: bool = False
    ) -> None:
        if delivery.assign(worker):
            self.ledger.ready[worker] = delivery
            wake(worker, (lane, delivery), now=now)

    def _abandon(self, worker: Ref[Any]) -> None:
        logger.error("%s is abandoned: it did not end in time", worker.path)
        self.ledger.remove_worker(worker)
        worker.kill()
        let_go: Callable[[], Callable[[], bool]] | None
        let_go = getattr(worker.process().actor, "let_go", None)
        goes_on = let_go() if let_go is not None else lambda: worker.reason is None
        self.ledger.count_abandoned_worker(worker, goes_on)
        # If an event waits then, and no worker ends, nothing else may wake this.
        self.send_after(HANG_SECONDS, None)

    def _settle(self, lane: Lane, delivery: Delivery, outcome: Outcome) -> None:
        if delivery.settle(outcome):
            log_error(outcome.body)
            self.ledger.respond(lane)
