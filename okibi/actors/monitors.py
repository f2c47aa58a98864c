"""Monitors: one message when an actor ends.

A monitor works in one direction. An actor may have any number; each brings exactly one `Down`,
behind what the actor had sent before. A monitor of a dead actor brings the Down at once, with the
reason if it is known (OTP forgets the reason and says `noproc`).
"""

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs

from .exits import NO_PROCESS, ExitReason, NoProcess
from .life import Phase
from .process import Process, check_same_run
from .ref import Address, Ref
from .timers import Notice

if TYPE_CHECKING:
    M_co = TypeVar("M_co", covariant=True)

    class Monitorable(Protocol[M_co]):
        """A value for `Actor.monitor` that is no address: Group, Pending, Task, CallingTask."""

        def add_monitor(self, watcher: Process, /) -> M_co:
            """Send `watcher` messages from now on."""
            ...


@attrs.frozen
class Down(Notice):
    """The message that a monitor brings when the monitored actor or task has ended.

    Attributes:
        path: the path of the actor; the key of a name without an actor; the name of a CallingTask.
        reason: why the actor ended.
        monitor: the monitor that `Actor.monitor` returned.
        ref: the incarnation that ended. None if the name had no actor, or for a CallingTask.
    """

    path: str
    reason: ExitReason
    monitor: "Monitor"
    ref: Ref[Any] | None


class Monitor:
    """A monitor that one actor has set on another. Made by `Actor.monitor`."""

    __slots__ = ("_watched", "_watcher")

    def __init__(self, watcher: Process, watched: Process | None) -> None:
        self._watcher = watcher
        self._watched = watched

    def demonitor(self) -> None:
        """End the monitoring. A Down that waits in the mailbox is removed (OTP: `flush`)."""
        if self._watched is not None:
            self._watched.unwatch(self)
        self._watcher.unwatch(self)
        self._watcher.mailbox.remove_notices(self)


def watch(watcher: Process, address: Address[Any]) -> Monitor:
    """Send `watcher` a Down when the actor that is at `address` now ends (OTP: `monitor/2`).

    Raises:
        RuntimeError: the actor belongs to another `trio.run`.
    """
    try:
        watched = address.process()
    except NoProcess as absent:
        monitor = Monitor(watcher, None)
        watcher.mailbox.notify(Down(absent.path, NO_PROCESS, monitor, None))
        return monitor
    check_same_run(watched, "monitor")
    monitor = Monitor(watcher, watched)

    def notify(process: Process) -> None:
        watcher.unwatch(monitor)
        reason = process.life.reason or NO_PROCESS
        watcher.mailbox.notify(Down(process.path, reason, monitor, Ref(process)))

    if watched.life.phase is Phase.DEAD:
        notify(watched)
    elif watcher.life.phase is not Phase.DEAD:
        watched.watch(monitor, notify)
        # A short-lived watcher must not leave monitors in a long-lived actor.
        watcher.tie(monitor)
    return monitor
