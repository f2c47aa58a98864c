"""A parent that restarts its children and limits the number of restarts.

Supervisor and DynamicSupervisor decide differently after the end of a child
(`_handle_child_end`, `_restart`). This base class counts the restarts, delays them with back-off,
and schedules another attempt after a failed start.
"""

from typing import TYPE_CHECKING, Any, Protocol

import trio

from ..actors import ExitReason, StartError, logs
from ..actors.exits import is_a
from ..actors.process import Process
from .child_place import ChildEnded, Place, Retry
from .parent import Parent
from .strategy import count_restart

if TYPE_CHECKING:
    from .backoff import Backoff
    from .strategy import Limits

    class _RestartOptions(Limits, Protocol):
        @property
        def backoff(self) -> Backoff | None: ...


logger = logs.logger("okibi.supervisors")


class SupervisorGaveUp(Exception):
    """More than `intensity` restarts within `period`: the supervisor stops all children and ends.

    The error of the child that exceeded the limit is the `__cause__`. Giving up is a crash. In OTP
    the exit reason is `shutdown`, and a transient sub-supervisor that gives up is not restarted.

    Attributes:
        first: the path and the exit reason of the child that caused the first supervisor to give
            up. That child may be several levels below this supervisor.
    """

    def __init__(self, path: str, spec: "Limits", child: str, reason: ExitReason) -> None:
        self.first, cause = f"{path}/{child} ended ({reason})", f"{child} ended ({reason})"
        if is_a(reason.error, SupervisorGaveUp):
            # Name the first child only. Otherwise each level would repeat the message below it.
            self.first = reason.error.first
            cause = f"{child} gave up because {self.first}"
        restarts = "1 restart" if spec.intensity == 1 else f"{spec.intensity} restarts"
        super().__init__(
            f"{path} gave up after more than {restarts} within {spec.period:g} s: {cause}"
        )
        self.__cause__ = reason.error


class Restarter(Parent):
    """A parent that restarts its children, with an intensity and an optional back-off."""

    __slots__ = ("_restarts",)

    # Each subclass has a spec class. A generic Restarter would forbid
    # `class Mine(Generic[T], Supervisor)`.
    spec: Any
    _restarts: tuple[float, ...]

    # -- to override

    async def _handle_child_end(self, place: Place, process: Process) -> None:
        """Decide what to do after a child has ended by itself, and do it."""
        raise NotImplementedError(f"{type(self).__name__} needs a `_handle_child_end`")

    async def _restart(self, place: Place) -> None:
        """Make a scheduled attempt to start a child."""
        raise NotImplementedError(f"{type(self).__name__} needs a `_restart`")

    # -- restarts

    @property
    def _options(self) -> "_RestartOptions":
        options: _RestartOptions = self.spec
        return options

    @property
    def restarts(self) -> tuple[float, ...]:
        """The times of the restarts that the last decision counted, in seconds of trio's clock."""
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
        decision = count_restart(self._options, self._restarts, trio.current_time())
        if decision.give_up:
            raise SupervisorGaveUp(self.path, self._options, place.id, reason)
        self._restarts = decision.restarts

    def _handle_failed_start(self, place: Place, failure: StartError) -> None:
        logger.error("%s", failure, exc_info=failure.reason.error)
        if self._options.backoff is None:
            self._schedule_retry(place, failure.reason)
        else:
            # Count now: otherwise the supervisor might wait first and give up afterwards.
            self._count_restart(place, failure.reason)
            self._schedule_retry(place)

    def _schedule_retry(self, place: Place, uncounted: ExitReason | None = None) -> None:
        delay = place.next_delay(self._options.backoff, self._options.period)
        self._children.schedule_retry(place, delay, uncounted)
