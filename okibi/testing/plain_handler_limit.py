"""The deadline of a plain `def` that runs on the main thread, in a test.

The handler blocks trio's loop, so virtual time stands still and only real time passes. In a sandbox
the watchdog interrupts the handler by a signal; its later steps end the process. In a test there is
only the signal, repeated until the handler has ended.
"""

import math
import threading

import trio

from ..runtime.deadlines.interrupt import DeadlineInterrupt
from ..runtime.deadlines.watchdog import SIGNAL_EVERY
from ..runtime.in_flight.delivery import Delivery


class PlainHandlerLimit:
    """Interrupts a plain handler on the main thread once its real time is up.

    Args:
        interrupt: raises DeadlineExceeded in the handler.
        runs_inline: whether the handler runs on the main thread.
    """

    def __init__(self, interrupt: DeadlineInterrupt, *, runs_inline: bool) -> None:
        self._interrupt = interrupt
        self._runs_inline = runs_inline
        self._settled = threading.Event()

    def arm(self, delivery: Delivery) -> None:
        """An event has arrived."""
        self.settled()
        if self._runs_inline and delivery.due < math.inf:
            self._settled = settled = threading.Event()
            seconds = delivery.limit - trio.current_time()
            threading.Thread(
                target=self._watch, args=(settled, seconds), name="deadline", daemon=True
            ).start()

    def settled(self) -> None:
        """The event is settled."""
        self._settled.set()

    def _watch(self, settled: threading.Event, seconds: float) -> None:
        if settled.wait(max(seconds, 0.0)):
            return
        while not settled.wait(SIGNAL_EVERY):
            self._interrupt.send_signal()
