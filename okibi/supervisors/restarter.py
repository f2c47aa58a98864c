"""A parent that starts its children again when they end, and counts how often.

What is done about an end is each kind's own (`_child_ended`, `_start_again`). What they share is
here: how they hear of it, and when an attempt that has failed is counted and made again.
"""

from typing import Any, Protocol

import trio

from ..actors import ExitReason, StartError, logs
from ..actors.exits import is_a
from ..actors.process import Process
from .any_supervisor_spec import Backoff
from .child_place import Ended, Place, Retry
from .parent import Parent
from .strategy import Limits, count

logger = logs.logger("okibi.supervisors")


class SupervisorGaveUp(Exception):
    """More restarts than its intensity allows: the supervisor has stopped all its children.

    The error of the child that was one too many is this one's `__cause__`. OTP ends with the
    quiet reason `shutdown` here, which makes a transient sub-supervisor vanish in silence; to
    okibi giving up is a crash.

    Attributes:
        first: the child with which it began, some floors down perhaps, and why that ended.
    """

    def __init__(self, path: str, flags: Limits, child: str, reason: ExitReason) -> None:
        self.first, what = f"{path}/{child} ended ({reason})", f"{child} ended ({reason})"
        if is_a(reason.error, SupervisorGaveUp):
            # Not the whole sentence in each other, floor by floor.
            self.first = reason.error.first
            what = f"{child} gave up, for {self.first}"
        super().__init__(
            f"{path} gave up: {what}, and {flags.intensity} restarts "
            f"within {flags.period:g} s are its limit"
        )
        self.__cause__ = reason.error


class _Flags(Limits, Protocol):
    @property
    def backoff(self) -> Backoff | None: ...


class Restarter(Parent):
    """A parent whose children's restarts have an intensity, and perhaps a back-off."""

    __slots__ = ("_restarts",)

    # Each kind's own. Were this class generic in them, `class Mine(Generic[T], Supervisor)` could
    # not be made.
    flags: Any
    _restarts: tuple[float, ...]

    # -- to override

    async def _child_ended(self, place: Place, process: Process) -> None:
        """Decide what follows from the end of a child, and do it."""
        raise NotImplementedError(f"{type(self).__name__} needs `_child_ended`")

    async def _start_again(self, place: Place) -> None:
        """Make an attempt that was put off, or that had failed before."""
        raise NotImplementedError(f"{type(self).__name__} needs `_start_again`")

    # -- restarts

    @property
    def _limits(self) -> _Flags:
        flags: _Flags = self.flags
        return flags

    @property
    def restarts(self) -> tuple[float, ...]:
        """When the restarts happened that the last decision counted."""
        return self._restarts

    async def handle_info(self, message: object) -> None:
        if is_a(message, Ended):
            place = self._children.living.get(message.process)
            if place is not None:
                await self._child_ended(place, message.process)
        elif is_a(message, Retry):
            if message.wanted:
                if message.uncounted is not None:
                    self._count(message.place, message.uncounted)
                await self._start_again(message.place)
        else:
            await super().handle_info(message)

    def _count(self, place: Place, reason: ExitReason) -> None:
        decision = count(self._limits, self._restarts, trio.current_time())
        if decision.give_up:
            raise SupervisorGaveUp(self.path, self._limits, place.id, reason)
        self._restarts = decision.restarts

    def _start_failed(self, place: Place, failure: StartError) -> None:
        logger.error("%s", failure, exc_info=failure.reason.error)
        if self._limits.backoff is None:
            self._retry(place, failure.reason)
        else:
            # It must not wait only to give up.
            self._count(place, failure.reason)
            self._retry(place)

    def _retry(self, place: Place, uncounted: ExitReason | None = None) -> None:
        delay = place.put_off(self._limits.backoff, self._limits.period)
        self._children.retry(place, delay, uncounted)
