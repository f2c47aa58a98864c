"""CallingEvent: an event that an actor handles, as the sender of messages.

An actor that handles one event after the other outlives each of them. What a server lends to the
actor, a lock or a connection, would stay lent when an event ends before it gives the loan back. So
the sender of a message that is sent for an event is the event (`Server.caller`). Everything else
names the actor: waits and call cycles, crash reports, traces.

The actor sets a context variable for each event. Tasks, threads and asyncio tasks that the event
starts inherit the variable. A task that outlives its event sends for the actor.
"""

from collections.abc import Callable

from .exits import NORMAL, ExitReason
from .life import Phase
from .monitors import Down, Monitor
from .process import Process


class CallingEvent:
    """The sender of a message that an actor has sent for an event. `Server.caller` returns it.

    `self.monitor(self.caller)` brings one `Down` when the event ends. Its `reason` is NORMAL if the
    event has a result; its `ref` is None. Two CallingEvents are equal if they are the same event.

    Args:
        process: the actor that handles the event.
    """

    __slots__ = ("_reason", "monitors", "process")

    # None until the first monitor: few events have one.
    monitors: dict[object, Callable[["CallingEvent"], None]] | None

    def __init__(self, process: Process | None) -> None:
        self.process = process
        self._reason: ExitReason | None = None
        self.monitors = None

    @property
    def path(self) -> str:
        """The path of the actor."""
        return "no actor" if self.process is None else self.process.path

    @property
    def reason(self) -> ExitReason | None:
        """The reason for the end of the event; None before. A killed actor does not call `end`."""
        return self._reason or (None if self.process is None else self.process.life.reason)

    @property
    def alive(self) -> bool:
        """Whether the event has not ended."""
        return self.reason is None

    def add_monitor(self, watcher: Process) -> Monitor:
        """Send `watcher` a Down when the event ends. Used by `Actor.monitor`."""
        monitor = EventMonitor(watcher, self)
        if not self.alive:
            monitor.notify(self)
        elif watcher.life.phase is not Phase.DEAD:
            if self.monitors is None:
                self.monitors = {}
                if self.process is not None:
                    # An actor that is killed does not end its event.
                    self.process.watch(self, self._actor_ended)
            self.monitors[monitor] = monitor.notify
            watcher.tie(monitor)
        return monitor

    def end(self, reason: ExitReason = NORMAL) -> None:
        """End the event, and notify its monitors. The first reason counts."""
        # Without `self.reason`: each event of a Lambda ends here.
        if self._reason is None:
            process = self.process
            self._reason = reason if process is None else process.life.reason or reason
        monitors = self.monitors
        if monitors is not None:
            self.monitors = None
            if self.process is not None:
                self.process.unwatch(self)
            for notify in monitors.values():
                notify(self)

    def _actor_ended(self, _: Process) -> None:
        self.end()

    def __repr__(self) -> str:
        return f"<CallingEvent of {self.path}{'' if self.alive else ', ended'}>"


class EventMonitor(Monitor):
    """A monitor of an event."""

    __slots__ = ("_event",)

    def __init__(self, watcher: Process, event: CallingEvent) -> None:
        super().__init__(watcher, None)
        self._event = event

    def demonitor(self) -> None:
        """End the monitoring. A Down that waits in the mailbox is removed."""
        (self._event.monitors or {}).pop(self, None)
        self._watcher.unwatch(self)
        super().demonitor()

    def notify(self, event: CallingEvent) -> None:
        """Post the Down to the watcher."""
        self._watcher.unwatch(self)
        self._watcher.mailbox.notify(Down(event.path, event.reason or NORMAL, self, None))
