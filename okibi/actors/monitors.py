"""Monitors: being told, once, that an actor has ended.

A monitor is one way and there may be any number of them; each brings exactly one `Down`, on the
control lane. A monitor of somebody dead brings it at once, with the reason if it is still known
(OTP forgets it and says `noproc`).
"""

from typing import Any, Protocol, TypeVar

import attrs

from .exits import NO_PROCESS, ExitReason, NoProcess
from .process import Phase, Process
from .ref import Address, Ref
from .run_guard import refuse_elsewhere

M_co = TypeVar("M_co", covariant=True)


@attrs.frozen
class Down:
    """The one message that a monitor brings.

    Attributes:
        path: the actor's path; the key of a name that no actor had; the name of a CallingTask.
        reason: why.
        monitor: which of one's monitors this is.
        ref: the incarnation that ended; None when there was none, and of a CallingTask.
    """

    path: str
    reason: ExitReason
    monitor: "Monitor"
    ref: Ref[Any] | None


class Monitor:
    """One actor's interest in another's end."""

    __slots__ = ("_watched", "_watcher")

    def __init__(self, watcher: Process, watched: Process | None) -> None:
        self._watcher = watcher
        self._watched = watched

    def demonitor(self) -> None:
        """Lose interest. No Down of this monitor is seen after it, not even a waiting one."""
        if self._watched is not None:
            self._watched.watchers.pop(self, None)
        self._watcher.watching.pop(self, None)
        self._watcher.mailbox.forget(lambda m: isinstance(m, Down) and m.monitor is self)


class Watched(Protocol[M_co]):
    """What else than an address can be monitored, and the monitor of it: a Group."""

    def watched_by(self, watcher: Process, /) -> M_co:
        """Have `watcher` told of what happens to it."""
        ...


def watch(watcher: Process, address: Address[Any]) -> Monitor:
    """Have `watcher` told when whoever is at `address` now ends (OTP: `monitor/2`).

    Raises:
        RuntimeError: that one lives, and not in this run of trio's.
    """
    try:
        watched = address.process()
    except NoProcess as nobody:
        monitor = Monitor(watcher, None)
        watcher.mailbox.post(Down(nobody.path, NO_PROCESS, monitor, None))
        return monitor
    refuse_elsewhere(watched, "monitor")
    monitor = Monitor(watcher, watched)

    def tell(process: Process) -> None:
        watcher.watching.pop(monitor, None)
        reason = process.reason or NO_PROCESS
        watcher.mailbox.post(Down(process.path, reason, monitor, Ref(process)))

    if watched.phase is Phase.DEAD:
        tell(watched)
    elif watcher.phase is not Phase.DEAD:
        watched.watchers[monitor] = tell
        watcher.watching[monitor] = watched
    return monitor
