"""The deadlines that a handler's own cancel scope cannot hold, in a test.

In a sandbox the watchdog holds them (`runtime.deadlines.watchdog`). Of its steps, two are taken
here: a plain `def` on the main thread is interrupted by a signal, and the dispatcher is asked to
abandon a worker whose handler is shielded. The last steps end the process; a test has none of them.

A plain `def` on the main thread blocks trio's loop: the clock runs like the real one, and the time
limit is real.
"""

import math
import threading

import trio

from ..runtime.deadlines.interrupt import DeadlineInterrupt
from ..runtime.deadlines.watchdog import PATIENCE, SIGNAL_EVERY
from ..runtime.in_flight.delivery import Delivery
from ..runtime.in_flight.handover import wake
from ..runtime.in_flight.lane import Lane
from ..runtime.in_flight.ledger import DISPATCHER


class DeadlineWatch:
    """Watches the deadlines of the events in flight.

    Args:
        lanes: the lanes.
        interrupt: raises DeadlineExceeded in a plain handler on the main thread.
        runs_inline: whether the handler runs on the main thread.
        follows_inline: whether a plain `def` that runs after the response does.
    """

    def __init__(
        self,
        lanes: list[Lane],
        interrupt: DeadlineInterrupt,
        *,
        runs_inline: bool,
        follows_inline: bool,
    ) -> None:
        self._lanes = lanes
        self._interrupt = interrupt
        self._runs_inline = runs_inline
        self._follows_inline = follows_inline
        self._armed = trio.Event()
        self._settled = threading.Event()

    async def run(self) -> None:
        """Wake the dispatcher for each event that is overdue."""
        while True:
            self._armed = trio.Event()
            with trio.move_on_at(self._next_overdue()) as limit:
                await self._armed.wait()
            if limit.cancelled_caught and self._next_overdue() <= trio.current_time():
                wake(DISPATCHER)
                await trio.sleep(PATIENCE)

    def _next_overdue(self) -> float:
        deliveries = [lane.delivery for lane in self._lanes]
        overdue = [(d.limit + d.due) / 2 for d in deliveries if d is not None and d.unfinished]
        return min(overdue, default=math.inf)

    def arm(self, delivery: Delivery) -> None:
        """Watch the deadline of an event that has arrived, or whose follow-ups begin."""
        self._armed.set()
        inline = self._runs_inline if delivery.unsettled else self._follows_inline
        if inline and delivery.due < math.inf:
            self.settled()
            self._settled = settled = threading.Event()
            seconds = max(delivery.limit - trio.current_time(), 0.0)
            thread = threading.Thread(target=self._interrupt_late, args=(settled, seconds))
            thread.daemon = True
            thread.start()

    def settled(self) -> None:
        """End the watch for an event that is settled, or whose follow-ups have ended."""
        self._settled.set()

    def _interrupt_late(self, settled: threading.Event, seconds: float) -> None:
        if settled.wait(seconds):
            return
        while not settled.wait(SIGNAL_EVERY):
            self._interrupt.send_signal()
