"""A parent that restarts its children and limits the number of restarts.

Supervisor and DynamicSupervisor decide differently after the end of a child
(`_handle_child_end`, `_restart`). This base class counts the restarts, delays them with back-off,
and schedules another attempt after a failed start.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import trio

from ..actors import ExitReason, StartError, logs
from ..actors.exits import is_a
from ..actors.process import Process
from .child_place import ChildEnded, Children, Place, Recovered, Retry, describe_row
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

    __slots__ = ()

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

    def _make_children(self, nursery: trio.Nursery) -> Children:
        options = self._options
        return Children(self._process, nursery, options.period if options.backoff else None)

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
        elif is_a(message, Recovered):
            place = message.place
            process = place.process
            if (
                place.starts == message.starts
                and process is not None
                and process.life.reason is None
            ):
                place.delay = None  # the next end begins a new row
                logger.warning(
                    "%s/%s runs again, %.0f s after its first end",
                    self.path,
                    place.id,
                    trio.current_time() - message.since,
                )
        else:
            await super().handle_info(message)

    def _count_restart(self, place: Place, reason: ExitReason) -> None:
        decision = count_restart(self._options, self._restarts, trio.current_time())
        if decision.give_up:
            raise self._give_up(place.id, reason)
        # Each subclass has the slot.
        self._restarts = decision.restarts  # type: ignore[misc]

    def _give_up(self, child: str, reason: ExitReason) -> SupervisorGaveUp:
        """Count the end of this supervisor, and build its error."""
        logs.count(logs.GIVE_UPS, self.path)
        return SupervisorGaveUp(self.path, self._options, child, reason)

    def _handle_failed_start(
        self, place: Place, failure: StartError, along: Iterable[Place] = ()
    ) -> None:
        """Schedule the next attempt to start a child.

        Args:
            place: the place of the child.
            failure: why the child did not start.
            along: the places that the next attempt starts along.
        """
        if not place.repeats:
            # Without the traceback, which the crash report of the child has.
            logger.error("%s", failure)
        if self._options.backoff is None:
            self._children.schedule_retry(place, 0.0, failure.reason)
            return
        # Count now: otherwise the supervisor might wait first and give up afterwards.
        self._count_restart(place, failure.reason)
        self._schedule_restart(place, self._next_delay(place, failure.reason), along)

    def _next_delay(self, place: Place, reason: ExitReason) -> float:
        """Return the delay before the next start of a child that has ended, in seconds.

        Args:
            place: the place of the child.
            reason: why the child has ended, or has not started.
        """
        if self._options.backoff is None:
            return 0.0
        seconds = place.next_delay(self._options.backoff)
        # In one line: an error's text may have several.
        place.reason = " ".join(str(reason).split())
        if seconds > 0 and place.delay is not None and place.delay.crashes > 1:
            # Restarts at once have not helped. A first delay is only the rule of the back-off.
            logs.count(logs.GIVE_UPS, f"{self.path}/{place.id}")
        if place.repeats or seconds > 0:
            row = "" if place.delay is None else describe_row(place.delay)
            start = f"in {round(seconds, 2):g} s" if seconds > 0 else "now"
            line = "%s/%s has ended%s: %s; its next start is %s"
            logger.warning(line, self.path, place.id, row, place.reason, start)
        return seconds

    def _schedule_restart(self, place: Place, delay: float, along: Iterable[Place] = ()) -> None:
        """Start the child after a delay, and tell the tasks that wait for names.

        Args:
            place: the place of the child.
            delay: seconds until the start.
            along: the places that are started along.
        """
        self._children.schedule_retry(place, delay)
        if delay > 0:
            for each in (place, *along):
                self._children.announce_wait(each, place)

    def _handle_restarted(self, place: Place) -> None:
        """Log that a child runs again; after a delay, once it has run for a period."""
        if logs.counters:
            logs.count(logs.RESTARTS, f"{self.path}/{place.id}")
        logger.info("%s/%s restarted", self.path, place.id)
        self._children.check_recovery(place, self._options.period)
