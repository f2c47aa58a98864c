"""A parent that starts its children again when they end, and counts how often.

What is done about an end is each kind's own (`_handle_child_end`, `_restart`). What they share is
here: how they hear of it, and when an attempt that has failed is counted and made again.
"""

from typing import Any, Protocol

import trio

from ..actors import ExitReason, StartError, logs
from ..actors.exits import is_a
from ..actors.process import Process
from .any_supervisor_spec import Backoff
from .child_place import ChildEnded, Place, Retry
from .parent import Parent
from .strategy import Limits, count_restart

logger = logs.logger("okibi.supervisors")


class SupervisorGaveUp(Exception):
    """More restarts than its intensity allows: the supervisor has stopped all its children.

    The error of the child that was one too many is this one's `__cause__`. OTP ends with the
    quiet reason `shutdown` here, which makes a transient sub-supervisor vanish in silence; to
    okibi giving up is a crash.

    Attributes:
        first: the child with which it began, some floors down perhaps, and why that ended.
    """

    def __init__(self, path: str, spec: Limits, child: str, reason: ExitReason) -> None:
        self.first, what = f"{path}/{child} ended ({reason})", f"{child} ended ({reason})"
        if is_a(reason.error, SupervisorGaveUp):
            # Not the whole sentence in each other, floor by floor.
            self.first = reason.error.first
            what = f"{child} gave up, for {self.first}"
        super().__init__(
            f"{path} gave up: {what}, and {spec.intensity} restarts "
            f"within {spec.period:g} s are its limit"
        )
        self.__cause__ = reason.error


class _RestartOptions(Limits, Protocol):
    @property
    def backoff(self) -> Backoff | None: ...


class Restarter(Parent):
    """A parent whose children's restarts have an intensity, and perhaps a back-off."""

    __slots__ = ("_restarts",)

    # Each kind's own. Were this class generic in them, `class Mine(Generic[T], Supervisor)` could
    # not be made.
    spec: Any
    _restarts: tuple[float, ...]

    # -- to override

    async def _handle_child_end(self, place: Place, process: Process) -> None:
        """Decide what follows from the end of a child, and do it."""
        raise NotImplementedError(f"{type(self).__name__} needs `_handle_child_end`")

    async def _restart(self, place: Place) -> None:
        """Make an attempt that was put off, or that had failed before."""
        raise NotImplementedError(f"{type(self).__name__} needs `_restart`")

    # -- restarts

    @property
    def _limits(self) -> _RestartOptions:
        spec: _RestartOptions = self.spec
        return spec

    @property
    def restarts(self) -> tuple[float, ...]:
        """When the restarts happened that the last decision counted."""
        return self._restarts

    async def handle_info(self, message: object) -> None:
        if is_a(message, ChildEnded):
            place = self._children.by_process.get(message.process)
            if place is not None:
                await self._handle_child_end(place, message.process)
        elif is_a(message, Retry):
            if message.wanted:
                if message.uncounted is not None:
                    self._count_restart(message.place, message.uncounted)
                await self._restart(message.place)
        else:
            await super().handle_info(message)

    def _count_restart(self, place: Place, reason: ExitReason) -> None:
        decision = count_restart(self._limits, self._restarts, trio.current_time())
        if decision.give_up:
            raise SupervisorGaveUp(self.path, self._limits, place.id, reason)
        self._restarts = decision.restarts

    def _handle_failed_start(self, place: Place, failure: StartError) -> None:
        logger.error("%s", failure, exc_info=failure.reason.error)
        if self._limits.backoff is None:
            self._schedule_retry(place, failure.reason)
        else:
            # It must not wait only to give up.
            self._count_restart(place, failure.reason)
            self._schedule_retry(place)

    def _schedule_retry(self, place: Place, uncounted: ExitReason | None = None) -> None:
        delay = place.next_delay(self._limits.backoff, self._limits.period)
        self._children.schedule_retry(place, delay, uncounted)
