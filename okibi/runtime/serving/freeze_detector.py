"""The sandbox is frozen between two invocations, for seconds or for an hour: who must know is told.

    class Pool(Server):
        async def init(self) -> None:
            self.monitor(FREEZES)

        async def handle_info(self, message: object) -> None:
            if isinstance(message, Freeze) and message.seconds > 300:
                self.drop_connections()

It comes on the control lane, before anything that the handler of the event that thawed the
sandbox asks of the actor. OTP has the form of it: `erlang:monitor(time_offset, clock_service)`.

How it is noticed. Between two looks, half a second apart as long as anybody cares, the process
was planned to sleep that long. What the clocks say beyond that is the time for which it did not
run: trio's clock where it runs on through a freeze (a stopped process, Lambda's cgroup freezer),
the wall clock where that alone does (a stopped virtual machine). The longer of both, for either
shows all of a freeze or nothing of it. It is looked at, too, as an event comes: the time spent in
/next ends with it, and it began as the one before was answered. Between event and answer the
sandbox is not frozen, but a handler may hold the loop: of that time only what the wall clock has
gained on trio's counts.

A freeze of less than a second is none: nothing has died of that.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import trio
from trio.lowlevel import ParkingLot, RunVar

from ...actors import Actor
from ...actors.process import Phase, Process
from ..in_flight.ledger import Ledger

LOOK_EVERY = 0.5
# Seconds that it takes to be a freeze, and not a busy machine.
LEAST = 1.0


class Freeze(NamedTuple):
    """The sandbox has been frozen and goes on.

    Attributes:
        seconds: for how long; exact to half a second.
        monitor: which of one's monitors this is.
    """

    seconds: float
    monitor: "SandboxMonitor"


class SandboxMonitor:
    """One actor's interest in thaws; it ends with the actor."""

    __slots__ = ("_watcher",)

    def __init__(self, watcher: Process) -> None:
        self._watcher = watcher

    def demonitor(self) -> None:
        """Lose interest. No message of this monitor is seen after it, not even a waiting one."""
        freezes().monitors.pop(self, None)
        self._watcher.watchers.pop(self, None)
        self._watcher.mailbox.remove_control(lambda m: isinstance(m, Freeze) and m.monitor is self)

    def tell(self, seconds: float) -> None:
        """Put the message on the watcher's control lane."""
        self._watcher.mailbox.post(Freeze(seconds, self))


class Sandbox:
    """What `FREEZES` is: what an actor monitors to be told of each `Freeze`."""

    __slots__ = ()

    def add_monitor(self, watcher: Process) -> SandboxMonitor:
        """Have `watcher` told of thaws: what an actor's `monitor` does."""
        monitor = SandboxMonitor(watcher)
        if watcher.phase is not Phase.DEAD:
            freezes().tell(monitor)
            # A short-lived watcher must leave nothing behind.
            watcher.watchers[monitor] = lambda _: monitor.demonitor()
        return monitor

    def __repr__(self) -> str:
        return "FREEZES"


FREEZES = Sandbox()


class Moment(NamedTuple):
    """What both clocks said."""

    ran: float
    wall: float


def frozen(last: Moment, now: Moment, planned: float, held: bool) -> float:
    """For how many seconds the process did not run between two moments; 0 for less than LEAST.

    Args:
        last: then.
        now: now.
        planned: seconds that it was to sleep between them.
        held: whether a handler may have held the loop.

    >>> frozen(Moment(10, 500), Moment(70.5, 560.5), 0.5, held=False)
    60.0
    >>> frozen(Moment(10, 500), Moment(70.5, 560.5), 0.5, held=True)
    0.0
    >>> frozen(Moment(10, 500), Moment(10.5, 560.5), 0.5, held=True)
    60.0
    """
    ran, wall = now.ran - last.ran, now.wall - last.wall
    seconds = wall - ran if held else max(ran, wall) - planned
    return seconds if seconds >= LEAST else 0.0


class Freezes:
    """Who is told of thaws in this run of trio, and when it was last looked.

    Args:
        wall_clock: seconds since the epoch.
    """

    __slots__ = ("_held", "_last", "_nobody", "monitors", "wall_clock")

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self.wall_clock = wall_clock
        self.monitors: dict[SandboxMonitor, None] = {}
        self._last: Moment | None = None
        self._held = False
        # Who waits for the first of them.
        self._nobody = ParkingLot()

    def tell(self, monitor: SandboxMonitor) -> None:
        """Have it told from now on."""
        self.monitors[monitor] = None
        self._nobody.unpark_all()

    async def until_wanted(self) -> None:
        """Wait until anybody is to be told: nothing is known of the time until the next look."""
        self._last = None
        while not self.monitors:
            await self._nobody.park()

    def look(self, held: bool) -> None:
        """Tell who cares, if the process was frozen since the last look.

        Args:
            held: whether a handler may hold the loop from now on.
        """
        last, self._last = self._last, Moment(trio.current_time(), self.wall_clock())
        was_held, self._held = self._held, held
        if last is None:
            return
        seconds = frozen(last, self._last, LOOK_EVERY, was_held)
        if seconds:
            for monitor in list(self.monitors):
                monitor.tell(seconds)


_of_this_run: RunVar[Freezes] = RunVar("freezes")


def freezes() -> Freezes:
    """Those of this run of trio."""
    try:
        return _of_this_run.get()
    except LookupError:
        made = Freezes()
        _of_this_run.set(made)
        return made


class Clock(Actor):
    """Looks at the clocks as long as anybody wants to know, and has the ledger do so, too.

    Args:
        ledger: of what is in flight; looks as each event comes, and as each is settled.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    async def run(self) -> None:
        known, ledger = freezes(), self.ledger
        while True:
            if not known.monitors:
                ledger.check_freeze = None
                await known.until_wanted()
            if ledger.check_freeze is None:
                ledger.check_freeze = known.look
                known.look(ledger.in_flight())
            await trio.sleep(LOOK_EVERY)
            known.look(ledger.in_flight())
