"""Notify actors after the process was frozen, for seconds or hours, and ran on.

Lambda freezes a sandbox between two events.

    class Pool(Server):
        async def init(self) -> None:
            self.monitor(FREEZES)

        async def handle_info(self, message: object) -> None:
            if isinstance(message, Freeze) and message.seconds > 300:
                self.drop_connections()

The message has priority: the actor handles it before any call from the handler of the event that
ended the freeze. (OTP: `erlang:monitor(time_offset, clock_service)`.)

Detection. Somebody looks at two clocks every 0.5 s: okibi's Lambda runtime while any actor monitors
freezes (`runtime.serving.freeze_detector`), and a FreezeWatch during a piece of work. The process
meant to sleep 0.5 s; a longer time on a clock is a freeze. trio's clock advances during a freeze
when the process is stopped (Lambda's cgroup freezer). Only the wall clock does when a virtual
machine is stopped. Either shows the whole freeze or none of it, and the longer time counts.

A gap under 1 s is no freeze: a busy machine may cause it, and no connection dies in it.

In virtual time (trio's MockClock) the wall clock is trio's clock.
"""

import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import trio
from trio.lowlevel import ParkingLot, RunVar

from .life import Phase
from .process import Process

CHECK_INTERVAL = 0.5
# Seconds: a shorter gap is no freeze.
SHORTEST_FREEZE = 1.0


class Freeze(NamedTuple):
    """Message to an actor that monitors FREEZES: the sandbox was frozen and runs again.

    Attributes:
        seconds: duration of the freeze, exact to 0.5 s.
        monitor: the monitor that `self.monitor(FREEZES)` returned.
    """

    seconds: float
    monitor: "FreezeMonitor"


class FreezeMonitor:
    """One actor's monitor of freezes. It ends with the actor."""

    __slots__ = ("_watcher",)

    def __init__(self, watcher: Process) -> None:
        self._watcher = watcher

    def demonitor(self) -> None:
        """End the monitor, and discard its messages that the actor has not received yet."""
        current_monitors().monitors.pop(self, None)
        self._watcher.unwatch(self)
        self._watcher.mailbox.remove_control(lambda m: isinstance(m, Freeze) and m.monitor is self)

    def notify(self, seconds: float) -> None:
        """Put a Freeze into the mailbox, ahead of ordinary messages."""
        self._watcher.mailbox.post(Freeze(seconds, self))


class FreezeSource:
    """The type of FREEZES, which an actor passes to `self.monitor`."""

    __slots__ = ()

    def add_monitor(self, watcher: Process) -> FreezeMonitor:
        """Create a monitor for `watcher`. Called by `Actor.monitor`."""
        monitor = FreezeMonitor(watcher)
        if watcher.life.phase is not Phase.DEAD:
            current_monitors().add(monitor)
            watcher.tie(monitor)
        return monitor

    def __repr__(self) -> str:
        return "FREEZES"


FREEZES = FreezeSource()


class ClockReadings(NamedTuple):
    """trio's clock and the wall clock at one moment, in seconds."""

    trio: float
    wall: float


def frozen_seconds(last: ClockReadings, now: ClockReadings, planned: float, blocked: bool) -> float:
    """Return the seconds of a freeze between two readings; 0 if less than SHORTEST_FREEZE.

    Args:
        last: the earlier reading.
        now: the later reading.
        planned: seconds that the process meant to sleep between them.
        blocked: whether a handler may have blocked the loop between them.

    >>> frozen_seconds(ClockReadings(10, 500), ClockReadings(70.5, 560.5), 0.5, blocked=False)
    60.0
    >>> frozen_seconds(ClockReadings(10, 500), ClockReadings(70.5, 560.5), 0.5, blocked=True)
    0.0
    >>> frozen_seconds(ClockReadings(10, 500), ClockReadings(10.5, 560.5), 0.5, blocked=True)
    60.0
    """
    on_trio, on_wall = now.trio - last.trio, now.wall - last.wall
    seconds = on_wall - on_trio if blocked else max(on_trio, on_wall) - planned
    return seconds if seconds >= SHORTEST_FREEZE else 0.0


class FreezeMonitors:
    """The monitors of one run of trio, and the last reading of the clocks.

    Attributes:
        wall_clock: seconds since the epoch; in virtual time, trio's clock.
    """

    __slots__ = ("_blocked", "_last", "_waiting", "monitors", "wall_clock")

    def __init__(self) -> None:
        self.wall_clock: Callable[[], float] = trio.current_time if is_virtual() else time.time
        self.monitors: dict[FreezeMonitor, None] = {}
        self._last: ClockReadings | None = None
        self._blocked = False
        self._waiting = ParkingLot()

    def add(self, monitor: FreezeMonitor) -> None:
        """Notify a monitor from now on."""
        self.monitors[monitor] = None
        self._waiting.unpark_all()

    async def wait_for_monitors(self) -> None:
        """Wait until there is a monitor. The next check only reads the clocks."""
        self._last = None
        while not self.monitors:
            await self._waiting.park()

    def read_clocks(self) -> ClockReadings:
        """Read both clocks."""
        return ClockReadings(trio.current_time(), self.wall_clock())

    def check(self, blocked: bool) -> None:
        """Notify all monitors if the process was frozen since the last check.

        Args:
            blocked: whether a handler may block the loop from now on.
        """
        last, self._last = self._last, self.read_clocks()
        was_blocked, self._blocked = self._blocked, blocked
        if last is None:
            return
        seconds = frozen_seconds(last, self._last, CHECK_INTERVAL, was_blocked)
        if seconds:
            for monitor in list(self.monitors):
                monitor.notify(seconds)


_monitors_of_run: RunVar[FreezeMonitors] = RunVar("freeze monitors")


def current_monitors() -> FreezeMonitors:
    """Return the monitors of this run of trio."""
    try:
        return _monitors_of_run.get()
    except LookupError:
        monitors = FreezeMonitors()
        _monitors_of_run.set(monitors)
        return monitors


def is_virtual() -> bool:
    """Return whether this run of trio uses a MockClock, without an import of trio.testing."""
    testing = sys.modules.get("trio.testing")
    return testing is not None and isinstance(trio.lowlevel.current_clock(), testing.MockClock)


class FreezeWatch:
    """Notices a freeze during a piece of work, in any trio program.

        watch = FreezeWatch()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            ...
            nursery.cancel_scope.cancel()
        print(watch.frozen())

    Work that holds the loop for over a second counts as a freeze too.
    """

    __slots__ = ("_clocks", "_frozen", "_last")

    def __init__(self) -> None:
        self._clocks = current_monitors()
        self._last = self._clocks.read_clocks()
        self._frozen = 0.0

    async def run(self, scope: trio.CancelScope | None = None) -> None:
        """Look at the clocks until cancelled. After a freeze, cancel the scope, if one is given."""
        while True:
            await trio.sleep(CHECK_INTERVAL)
            if self.frozen() and scope is not None:
                scope.cancel()

    def frozen(self) -> float:
        """Look at the clocks, and return how many seconds of the work the process was frozen."""
        last, self._last = self._last, self._clocks.read_clocks()
        self._frozen += frozen_seconds(last, self._last, CHECK_INTERVAL, blocked=False)
        return self._frozen
