"""A child's place, and what fills and empties it: the part that all supervisors share.

A place is found by the process that lives there, in one look-up, and is as small as it can be:
a supervisor of a hundred thousand children has a hundred thousand of them.
"""

import math
import os
from collections.abc import Callable
from typing import Any

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
from ..actors.names import expect, expect_no_more
from ..actors.process import Phase, Process
from ..actors.start import GRACE, spawn
from ..actors.wait_cycles import let_end
from .any_supervisor_spec import Backoff
from .child_state import ChildEvent, ChildState, after
from .spec import BRUTAL_KILL, Child, Restart, build_factory, collect_names
from .stop_reports import Stopped, StopReport
from .strategy import ChildView, RestartDelay, next_delay, should_restart

logger = logs.logger("okibi.supervisors")

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep

# How long a killed child may take before its supervisor says where it sits. It needs one step
# to die in; what takes longer is a shield, a thread, or code that does not await.
PATIENCE = 0.1


class Place:
    """Where a child stands: its spec, and the incarnation that lives there now, if one does.

    Attributes:
        id: what it is called among its siblings, the last part of its path.
        state: where in its life cycle it is; `move` alone changes it.
        process: who lives there, in the states that `life.LIVING` names.
        starts: how often somebody was put there.
        retry: the message that will bring the next attempt, while RESTARTING.
        pause: how long the last attempt was put off, if it was, and until when nobody ran since.
    """

    __slots__ = ("delay", "id", "process", "retry", "spec", "starts", "state")

    def __init__(self, spec: Child[Any], id: str | None = None) -> None:  # noqa: A002
        self.id = spec.id if id is None else id
        self.spec = spec
        self.state = ChildState.UNDEFINED
        self.process: Process | None = None
        self.starts = 0
        self.retry: Retry | None = None
        self.delay: RestartDelay | None = None

    def move(self, event: ChildEvent) -> None:
        """Let something happen to it.

        Raises:
            LifeCycleError: it cannot happen now.
        """
        self.state = after(self.state, event)
        if self.state is not ChildState.RESTARTING:
            self.retry = None

    @property
    def temporary(self) -> bool:
        """Whether it is forgotten when nobody lives there any more."""
        return self.spec.restart is Restart.TEMPORARY

    def ref(self) -> Ref[Any] | None:
        """Who lives there."""
        return None if self.process is None else Ref(self.process)

    def standing(self) -> ChildView:
        """What a decision needs to know of it."""
        return ChildView(self.id, self.spec.restart, self.state, self.spec.significant)

    def next_delay(self, backoff: Backoff | None, period: float) -> float:
        """How many seconds its next start is to wait; without back-off none."""
        if backoff is None:
            return 0.0
        self.delay = next_delay(backoff, self.delay, period, trio.current_time())
        return self.delay.seconds

    def begin_run(self) -> None:
        """Count from now on how long its child has run: until here it was put off, or starting."""
        if self.delay is not None:
            self.delay = RestartDelay(self.delay.seconds, trio.current_time())

    def __repr__(self) -> str:
        return f"<Place {self.id} {self.state.value}, {self.starts} starts>"


class Retry:
    """A supervisor's message to itself: try again to start who stands there.

    Called off by taking it away from its place: then it finds itself outdated.

    Attributes:
        place: where.
        uncounted: why the start before failed, if this attempt is still to be counted.
    """

    __slots__ = ("place", "uncounted")

    def __init__(self, place: Place, uncounted: ExitReason | None = None) -> None:
        self.place = place
        self.uncounted = uncounted

    @property
    def wanted(self) -> bool:
        """Whether this attempt has not been called off, or overtaken by another."""
        return self.place.retry is self


class ChildEnded:
    """What a supervisor is sent when a child of its own has ended.

    Not a Down: one such watcher serves all the children, where each Down needs a Monitor of its
    own at every start.
    """

    __slots__ = ("process",)

    def __init__(self, process: Process) -> None:
        self.process = process


class Children:
    """Who lives under one supervisor now, and how they come and go.

    Args:
        owner: the supervisor's own process.
        nursery: where they live.
    """

    __slots__ = (
        "_expected_places",
        "_nursery",
        "_owner",
        "_stop_durations",
        "_stop_times",
        "_stuck_lines",
        "by_process",
    )

    def __init__(self, owner: Process, nursery: trio.Nursery) -> None:
        self.by_process: dict[Process, Place] = {}
        self._owner = owner
        self._nursery = nursery
        self._stop_times: dict[Process, float] = {}
        self._stop_durations: dict[Process, float] = {}
        self._stuck_lines: dict[Process, str] = {}
        # Places whose names were noted as about to be borne again.
        self._expected_places: set[Place] = set()
        # Called after the watcher of the supervisor's own parent, which may expect the same names.
        owner.watchers[self] = self._owner_ended

    # -- they come

    async def start(self, place: Place, make: Callable[[], Actor] | None = None) -> Ref[Any] | None:
        """Put somebody there and wait until its `init` has returned; None if it ignored.

        Nobody is started once the supervisor is asked to stop, or cancelled. Cancelled while it
        waits, it leaves the child as it is: to be stopped when its turn comes.

        Args:
            place: where.
            make: who, if it is not what the spec alone makes.

        Raises:
            StartError: it failed, took too long, or its name is taken; nobody lives there then.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        process = self._spawn(place, make or build_factory(place.spec))
        try:
            if not await process.starts_within(place.spec.start_timeout):
                raise await self._end_late_start(place, process)
        except StartError as failure:
            await process.wait_dead()
            self.detach(place)
            if failure.reason is IGNORED:
                self.stop_expecting_names(place)
                return None
            raise
        finally:
            place.begin_run()
        place.move(ChildEvent.STARTED)
        if self._expected_places and not _is_dead(process):
            self.stop_expecting_names(place)
        return Ref(process)

    async def _end_late_start(self, place: Place, process: Process) -> StartError:
        """End who has not started in time, and not in silence: it may not die."""
        self.kill(process)
        await self.wait_ended(place)
        late = TimeoutError(f"its init took longer than {place.spec.start_timeout:g} s")
        return StartError(process.path, crashed(late))

    def _spawn(self, place: Place, make: Callable[[], Actor]) -> Process:
        spec = place.spec
        place.move(ChildEvent.START)
        place.starts += 1
        path = f"{self._owner.path}/{place.id}"
        try:
            process = spawn(
                self._nursery,
                make,
                path=path,
                name=spec.name,
                incarnation=place.starts,
                # BRUTAL_KILL is what this supervisor does; an end of the child's own is not cut.
                grace=GRACE if isinstance(spec.shutdown, str) else spec.shutdown,
                supervised=True,
            )
        except AlreadyRegistered as taken:
            place.move(ChildEvent.ENDED)
            raise StartError(path, crashed(taken)) from None
        place.process = process
        self.by_process[process] = place
        # Itself, not a bound method for each.
        process.watchers[self] = self
        return process

    def expect_names(self, place: Place) -> None:
        """Note that whoever bears the names of this place is about to be started again."""
        keys = collect_names(place.spec)
        if keys:
            self._expected_places.add(place)
            expect(keys, self._owner)

    def stop_expecting_names(self, place: Place) -> None:
        """Note that it has been started, or will not be: tasks that wait for a name are woken."""
        if place in self._expected_places:
            self._expected_places.remove(place)
            expect_no_more(collect_names(place.spec), self._owner)

    def _owner_ended(self, _: Process) -> None:
        for place in list(self._expected_places):
            self.stop_expecting_names(place)

    def schedule_retry(
        self, place: Place, delay: float, uncounted: ExitReason | None = None
    ) -> None:
        """Try again later, by way of the mailbox: what was asked meanwhile comes first.

        Not as a `send`, which an actor that has just been asked to stop refuses; and whatever room
        there is, for the mailbox may be one of the user's.
        """
        place.move(ChildEvent.RETRY)
        place.retry = message = Retry(place, uncounted)
        if delay > 0:
            self._owner.mailbox.add(Timer(trio.current_time() + delay, message))
        else:
            self._owner.mailbox.end_with(message)

    # -- they go

    def __call__(self, process: Process) -> None:
        """Be told that one of them has ended."""
        if process in self._stop_times:
            # Of those that are stopped all at once most end while another is waited for.
            self._stop_durations[process] = trio.current_time() - self._stop_times[process]
        elif not process.failed and not (place := self.by_process[process]).temporary:
            self._ended_by_itself(place, process.reason or NORMAL)
        self._owner.mailbox.post(ChildEnded(process))

    def _ended_by_itself(self, place: Place, reason: ExitReason) -> None:
        """Note at once whether its names come back: the supervisor's own turn comes later."""
        if should_restart(place.spec.restart, reason) and self._owner.doom is None:
            self.expect_names(place)
        else:
            self.stop_expecting_names(place)

    def detach(self, place: Place) -> None:
        """Note that whoever lived there has ended."""
        process, place.process = place.process, None
        if process is not None:
            del self.by_process[process]
            self._stop_times.pop(process, None)
            self._stop_durations.pop(process, None)
            self._stuck_lines.pop(process, None)
            place.move(ChildEvent.ENDED)

    def request_stop(self, place: Place) -> None:
        """Ask who lives there to end, without waiting; call off the next attempt."""
        place.move(ChildEvent.STOP)
        process = place.process
        if process is None:
            return
        self._stop_times.setdefault(process, trio.current_time())
        if place.spec.shutdown == BRUTAL_KILL:
            process.kill()
        else:
            process.stop()
        let_end(process, self._owner, trio.lowlevel.current_task())

    def kill(self, process: Process) -> None:
        """Cut one of them off, without waiting."""
        self.by_process[process].move(ChildEvent.STOP)
        self._stop_times.setdefault(process, trio.current_time())
        process.kill()

    async def wait_ended(self, place: Place) -> Stopped | None:
        """Wait until who was asked to end, or killed, has ended; None if nobody lives there.

        By its end, not by the message of it: that finds nobody any more and is passed over.
        """
        process = place.process
        if process is None:
            return None
        if not _is_dead(process):
            limit = max(process.deadline(), trio.current_time()) + PATIENCE
            if not await process.ends_by(limit):
                self._log_stuck(process)
                await process.wait_dead()
        stopped = self.report_stop(place, process)
        self.detach(place)
        return stopped

    async def stop(self, place: Place) -> Stopped | None:
        """Stop one child and wait: asked, given its grace, then killed."""
        self.request_stop(place)
        return await self.wait_ended(place)

    def report_stop(self, place: Place, process: Process) -> Stopped:
        """How it has taken to being stopped, so far if it has not ended."""
        now = trio.current_time()
        took = self._stop_durations.get(process, now - self._stop_times.get(process, now))
        reason = process.reason if _is_dead(process) else None
        # Of what falls with a supervisor that was killed by name nobody need be told.
        killed = reason is not None and reason.kind == "killed" and not self._killed()
        return Stopped(
            process.path,
            took,
            reason,
            killed and place.spec.shutdown != BRUTAL_KILL,
            self._stuck_lines.get(process, ""),
            report_of(process),
        )

    def _killed(self) -> bool:
        return self._owner.deadline() == -math.inf

    def _log_stuck(self, process: Process) -> None:
        from ..actors.frames import line_of

        where = line_of(process.task, _HERE) or "no line of its own"
        self._stuck_lines[process] = where
        logger.warning(
            "%s has not ended %g s after it was killed: it sits in %s; its supervisor waits for it",
            process.path,
            PATIENCE,
            where,
        )


def report_of(process: Process) -> StopReport | None:
    """The report of a supervisor's own stop: as it stands, or as it has left it."""
    report: Callable[[], StopReport | None] | None = getattr(process.actor, "stop_report", None)
    if report is not None:
        return report()
    return process.legacy if isinstance(process.legacy, StopReport) else None


def _is_dead(process: Process) -> bool:
    return process.phase is Phase.DEAD
