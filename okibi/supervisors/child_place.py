"""Places of children, and how a supervisor starts and stops the processes in the places.

All kinds of supervisor use this module. A supervisor finds a place by the child's process in one
look-up. Places are small, because a supervisor may have a hundred thousand of them.
"""

import math
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

from ..actors import (
    IGNORED,
    NORMAL,
    Actor,
    AlreadyRegistered,
    ExitReason,
    Ref,
    StartError,
    Timer,
    crashed,
    logs,
)
from ..actors.life import DEAD
from ..actors.names import (
    ExpectedRestart,
    announce_wait,
    awaited_name,
    expect_no_restart,
    expect_restart,
)
from ..actors.process import Process
from ..actors.safe_repr import class_name, short_repr, traceback_of
from ..actors.start import GRACE, spawn
from ..actors.wait_cycles import fail_calls_that_block
from .child_state import ChildEvent, ChildState, next_state
from .spec import BRUTAL_KILL, Child, Restart, build_factory, collect_names
from .stop_reports import Stopped, StopReport
from .strategy import ChildView, RestartDelay, next_delay, should_restart

if TYPE_CHECKING:
    from .backoff import Backoff

logger = logs.logger("okibi.supervisors")

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep

# Seconds between a kill and the warning that the child has not ended. A killed child normally ends
# in its next step. A shield, a thread, or code that does not await takes longer.
KILL_PATIENCE = 0.1


class Place:
    """A child spec, and the process of the child while the child runs.

    Attributes:
        id: the child's id among its siblings: the last part of the child's path.
        spec: the child spec.
        state: the state; only `move` changes it.
        process: the process of the current incarnation, in the states of `HAS_PROCESS`.
        starts: the number of incarnations so far.
        retry: the message that brings the next attempt to start; set in RESTARTING only.
        delay: the last delay of the row of crashes. None without back-off, and after a run of
            longer than a period, which ends the row.
        began: the end of the child's start, as a time of trio's clock, if `delay` is not None;
            infinity until then.
        crash: the last crash, if the supervisor has a back-off.
        reason: the last exit reason as text, redacted, if the supervisor has a back-off.
        repeats: whether the last crash repeats the crash before. If so, the log has one line of it.
    """

    __slots__ = (
        "began", "crash", "delay", "id", "process", "reason", "repeats", "retry", "spec", "starts",
        "state",
    )  # fmt: skip

    def __init__(self, spec: Child[Any], id: str | None = None) -> None:  # noqa: A002
        self.id = spec.id if id is None else id
        self.spec = spec
        self.state = ChildState.UNDEFINED
        self.process: Process | None = None
        self.starts = 0
        self.retry: Retry | None = None
        self.delay: RestartDelay | None = None
        self.began = math.inf
        self.crash: Crash | None = None
        self.reason = ""
        self.repeats = False

    def move(self, event: ChildEvent) -> None:
        """Change the state.

        Raises:
            LifeCycleError: the current state does not allow the event.
        """
        self.state = next_state(self.state, event)
        if self.state is not ChildState.RESTARTING:
            self.retry = None

    @property
    def temporary(self) -> bool:
        """Whether the supervisor drops the spec after the child has ended."""
        return self.spec.restart is Restart.TEMPORARY

    def ref(self) -> Ref[Any] | None:
        """Return the Ref of the running child; None without a process."""
        return None if self.process is None else Ref(self.process)

    def view(self) -> ChildView:
        """Return the facts that a decision of `strategy` depends on."""
        return ChildView(self.id, self.spec.restart, self.state, self.spec.significant)

    def next_delay(self, backoff: "Backoff") -> float:
        """Return the delay before the next start, in seconds."""
        self.delay = next_delay(backoff, self.delay, trio.current_time())
        return self.delay.seconds

    def end_row(self, process: Process, period: float) -> None:
        """End the row of crashes, if the process that has ended ran for longer than a period.

        The delay before the start, and `init`, are no running time.
        """
        if not process.life.start_failed and trio.current_time() - self.began > period:
            self.delay = None

    def note_crash(self, error: BaseException | None) -> None:
        """Note a crash, and whether it repeats the crash before: its type and line, in one row.

        Args:
            error: the exception; None if the end is no crash.
        """
        before, self.crash = self.crash, None if error is None else find_crash(error)
        self.repeats = self.delay is not None and before is not None and before == self.crash

    def describe_wait(self, for_callers: bool = False) -> str:
        """Return why the child waits for its next start; empty if the child does not wait.

        Args:
            for_callers: whether to leave out the text of the error. It may hold data of the event
                that crashed the child, and another event's handler may send it to its invoker.
        """
        delay = self.delay
        if delay is None or delay.seconds == 0 or self.state is not ChildState.RESTARTING:
            return ""
        reason = self.reason
        if for_callers:
            crash = self.crash
            reason = reason.partition(" (")[0] if crash is None else class_name(crash.kind)
        return f"it has ended{describe_row(delay)}: {reason}"

    def __repr__(self) -> str:
        return f"<Place {self.id} {self.state.value}, {self.starts} starts>"


def describe_row(delay: RestartDelay) -> str:
    """Return how often a child has ended in a row; empty for once."""
    return "" if delay.crashes == 1 else f" {delay.crashes} times in a row"


class Crash(NamedTuple):
    """The fields that make two crashes equal.

    Attributes:
        kind: the class of the exception.
        file: the file of the code that raised the exception.
        line: the number of the line there.
    """

    kind: type[BaseException]
    file: str
    line: int


def find_crash(error: BaseException) -> Crash | None:
    """Return where an exception was raised; None if the exception does not say so."""
    found, trace = None, traceback_of(error)
    while trace is not None:
        found = Crash(type(error), trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    return found


class Retry:
    """A supervisor's message to itself: make the next attempt to start a child.

    To call an attempt off, the supervisor sets `place.retry` to None. The message is then ignored.

    Attributes:
        place: the place of the child.
        uncounted: the reason of the last failure, if the attempt is not yet counted as a restart.
    """

    __slots__ = ("place", "uncounted")

    def __init__(self, place: Place, uncounted: ExitReason | None = None) -> None:
        self.place = place
        self.uncounted = uncounted

    @property
    def wanted(self) -> bool:
        """Whether the attempt was neither called off nor replaced by another."""
        return self.place.retry is self


class Recovered:
    """A supervisor's message to itself: a period has passed since a start after a delay.

    Attributes:
        place: the place of the child.
        starts: the number of starts then. If the number has changed, the child has ended.
        since: the start of the row of crashes, as a time of trio's clock.
    """

    __slots__ = ("place", "since", "starts")

    def __init__(self, place: Place, since: float) -> None:
        self.place = place
        self.starts = place.starts
        self.since = since


class ChildEnded:
    """A message to a supervisor: one of its children has ended.

    Rejected: Down, the message of monitors. One watcher serves all children, while each Down needs
    a Monitor at each start.
    """

    __slots__ = ("process",)

    def __init__(self, process: Process) -> None:
        self.process = process


class Children:
    """The running children of one supervisor.

    Args:
        owner: the supervisor's process.
        nursery: the nursery for the children's tasks.
        period: a crash that repeats the crash before, after a run of at most this many seconds, is
            reported in one line. None: each crash is reported in full.
    """

    __slots__ = (
        "_expected_places",
        "_nursery",
        "_owner",
        "_period",
        "_stop_durations",
        "_stop_times",
        "_stuck_lines",
        "by_process",
    )

    def __init__(self, owner: Process, nursery: trio.Nursery, period: float | None = None) -> None:
        self.by_process: dict[Process, Place] = {}
        self._owner = owner
        self._nursery = nursery
        self._period = period
        self._stop_times: dict[Process, float] = {}
        self._stop_durations: dict[Process, float] = {}
        self._stuck_lines: dict[Process, str] = {}
        # The places whose names `actors.names` expects to be registered again.
        self._expected_places: set[Place] = set()
        # The watcher of the supervisor's own parent runs first: it may expect the same names.
        owner.watch(self, self._owner_ended)

    # -- start

    async def start(self, place: Place, make: Callable[[], Actor] | None = None) -> Ref[Any] | None:
        """Start a child and wait until `init` has returned.

        A supervisor that has been asked to stop, or that is cancelled, starts no child. If the
        wait is cancelled, the child stays as it is until the supervisor stops it.

        Args:
            place: the place without a process.
            make: makes the actor. Default: the factory of the spec.

        Returns:
            The new child; None if its `init` raised Ignore.

        Raises:
            StartError: `init` failed or took too long, or the name is taken. The place has no
                process.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        process = self._spawn(place, make or build_factory(place.spec))
        try:
            if not await process.wait_started_within(place.spec.start_timeout):
                raise await self._kill_late(place, process)
        except StartError as failure:
            await process.wait_dead()
            self.detach(place)
            if failure.reason is IGNORED:
                self.stop_expecting_names(place)
                return None
            raise
        if place.delay is not None:
            place.began = trio.current_time()
        place.move(ChildEvent.STARTED)
        if self._expected_places and not _is_dead(process):
            self.stop_expecting_names(place)
        return Ref(process)

    async def _kill_late(self, place: Place, process: Process) -> StartError:
        """Kill a child whose `init` takes too long, and wait for the end of the child."""
        from ..actors.frames import line_of

        name, line = awaited_name(process), line_of(process.waits.task, _HERE)
        wait = f", in the wait for the name {short_repr(name)}" if name is not None else ""
        self.kill(process)
        await self.wait_ended(place)
        where = f": it was at {line}{wait}" if line else ""
        late = TimeoutError(f"init took longer than {place.spec.start_timeout:g} s{where}")
        return StartError(process.path, crashed(late))

    def _spawn(self, place: Place, make: Callable[[], Actor]) -> Process:
        spec = place.spec
        place.move(ChildEvent.START)
        place.starts += 1
        # A child may end before the supervisor notices the start.
        place.began = math.inf
        path = f"{self._owner.path}/{place.id}"
        try:
            process = spawn(
                self._nursery,
                make,
                path=path,
                name=spec.name,
                incarnation=place.starts,
                # BRUTAL_KILL applies to stops by the supervisor only. A child that ends by itself
                # has the default grace period for its `terminate`.
                grace=GRACE if isinstance(spec.shutdown, str) else spec.shutdown,
                supervised=True,
            )
        except AlreadyRegistered as taken:
            place.move(ChildEvent.ENDED)
            place.crash, place.repeats = None, False
            raise StartError(path, crashed(taken)) from None
        place.process = process
        self.by_process[process] = place
        # One callable for all children, instead of a bound method for each.
        process.watch(self, self)
        return process

    def expect_names(self, place: Place) -> None:
        """Announce the restart of the child: tasks that wait for its names keep waiting."""
        keys = collect_names(place.spec)
        if keys:
            self._expected_places.add(place)
            expect_restart(keys, self._owner)

    def stop_expecting_names(self, place: Place) -> None:
        """Announce that the child has started, or will not start. Tasks that wait are woken."""
        if place in self._expected_places:
            self._expected_places.remove(place)
            expect_no_restart(collect_names(place.spec), self._owner)

    def _owner_ended(self, _: Process) -> None:
        for place in list(self._expected_places):
            self.stop_expecting_names(place)

    def schedule_retry(
        self, place: Place, delay: float, uncounted: ExitReason | None = None
    ) -> None:
        """Schedule another attempt to start: a message, so that earlier requests come first.

        The message does not go through `send`, because an actor that was asked to stop refuses
        `send`. It does not count against the mailbox's capacity, because a user may set that.
        """
        place.move(ChildEvent.RETRY)
        place.retry = message = Retry(place, uncounted)
        if delay > 0:
            self._owner.mailbox.add(Timer(trio.current_time() + delay, message))
        else:
            self._owner.mailbox.put_last(message)

    def announce_wait(self, place: Place, cause: Place) -> None:
        """Announce why the names of a child are not registered for some time, and how long.

        Args:
            place: the child.
            cause: the place that waits. The strategy starts the child along.
        """
        if place in self._expected_places and cause.delay is not None:
            path = f"{self._owner.path}/{cause.id}"
            note = ExpectedRestart(self._owner, cause.delay.until, path, cause.describe_wait(True))
            announce_wait(collect_names(place.spec), note)

    def check_recovery(self, place: Place, seconds: float) -> None:
        """Send Recovered after some seconds, if the child has started after a delay."""
        if place.delay is not None and place.delay.seconds > 0:
            message = Recovered(place, place.delay.since)
            self._owner.mailbox.add(Timer(trio.current_time() + seconds, message))

    # -- end

    def __call__(self, process: Process) -> None:
        """Handle the end of a child, as a watcher of the child's process."""
        place = self.by_process[process]
        if self._period is not None:
            # Now: the supervisor may be busy, and handle the message much later.
            place.end_row(process, self._period)
        if process in self._stop_times:
            # When children stop together, most of them end while the supervisor waits for another.
            self._stop_durations[process] = trio.current_time() - self._stop_times[process]
        else:
            if self._period is not None and self._owner.life.ending_reason is None:
                self._shorten_repeat(place, process)
            if not process.life.start_failed and not place.temporary:
                self._ended_by_itself(place, process.life.reason or NORMAL)
        self._owner.mailbox.post(ChildEnded(process))

    def _ended_by_itself(self, place: Place, reason: ExitReason) -> None:
        """Announce whether the names will return, before the supervisor handles the message."""
        if should_restart(place.spec.restart, reason) and self._owner.life.ending_reason is None:
            self.expect_names(place)
        else:
            self.stop_expecting_names(place)

    def _shorten_repeat(self, place: Place, process: Process) -> None:
        """If a crash repeats the one before, leave the report to the supervisor: one line."""
        error = None if process.life.reason is None else process.life.reason.error
        place.note_crash(error)
        if place.repeats and error is not None:
            process.life.report_elsewhere()
            logs.count(logs.CRASHES, process.path)
            # Imported here: a start does not need it.
            from ..actors.empty_frames import empty_frames

            with suppress(Exception):  # a frame that cannot be replaced stays
                empty_frames(error)

    def detach(self, place: Place) -> None:
        """Remove the ended process from its place."""
        process, place.process = place.process, None
        if process is not None:
            del self.by_process[process]
            self._stop_times.pop(process, None)
            self._stop_durations.pop(process, None)
            self._stuck_lines.pop(process, None)
            place.move(ChildEvent.ENDED)

    def request_stop(self, place: Place) -> None:
        """Ask a child to stop, without waiting, or call off its next attempt to start."""
        place.move(ChildEvent.STOP)
        process = place.process
        if process is None:
            return
        self._stop_times.setdefault(process, trio.current_time())
        if place.spec.shutdown == BRUTAL_KILL:
            process.kill()
        else:
            process.stop()
        fail_calls_that_block(process.waits, self._owner.waits, trio.lowlevel.current_task())

    def kill(self, process: Process) -> None:
        """Kill a child, without waiting."""
        self.by_process[process].move(ChildEvent.STOP)
        self._stop_times.setdefault(process, trio.current_time())
        process.kill()

    async def wait_ended(self, place: Place) -> Stopped | None:
        """Wait for the end of a child that was asked to stop, or killed; None without a process.

        The ChildEnded message arrives later. The supervisor ignores the message, because the
        process has no place then.
        """
        process = place.process
        if process is None:
            return None
        if not _is_dead(process):
            limit = max(process.deadline(), trio.current_time()) + KILL_PATIENCE
            if not await process.wait_dead_by(limit):
                self._log_stuck(process)
                await process.wait_dead()
        stopped = self.report_stop(place, process)
        self.detach(place)
        return stopped

    async def stop(self, place: Place) -> Stopped | None:
        """Stop a child and wait: a request, the grace period, then a kill."""
        self.request_stop(place)
        return await self.wait_ended(place)

    def report_stop(self, place: Place, process: Process) -> Stopped:
        """Report how a child stopped, or how its stop goes."""
        now = trio.current_time()
        seconds = self._stop_durations.get(process, now - self._stop_times.get(process, now))
        reason = process.life.reason if _is_dead(process) else None
        # A killed supervisor kills its children at once: the children did nothing wrong.
        killed = reason is not None and reason.kind == "killed" and not self._owner_was_killed()
        return Stopped(
            process.path,
            seconds,
            reason,
            killed and place.spec.shutdown != BRUTAL_KILL,
            self._stuck_lines.get(process, ""),
            find_stop_report(process),
        )

    def _owner_was_killed(self) -> bool:
        return self._owner.deadline() == -math.inf

    def _log_stuck(self, process: Process) -> None:
        from ..actors.frames import line_of

        line = line_of(process.waits.task, _HERE) or "an unknown line"
        self._stuck_lines[process] = line
        logger.warning(
            "%s has not ended %g s after a kill: it is at %s; the supervisor keeps waiting",
            process.path,
            KILL_PATIENCE,
            line,
        )


def find_stop_report(process: Process) -> StopReport | None:
    """Return the stop report of a supervisor, running or ended; None for any other actor."""
    report: Callable[[], StopReport | None] | None = getattr(
        process.actor, "_build_stop_report", None
    )
    if report is not None:
        return report()
    left = process.life.stop_report
    return left if isinstance(left, StopReport) else None


def _is_dead(process: Process) -> bool:
    return process.life.phase is DEAD
