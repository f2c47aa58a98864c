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
from .child_state import Event, State, after
from .spec import BRUTAL_KILL, Child, Restart, factory_of, names_of
from .stop_reports import Stopped, StopReport
from .strategy import Pause, Standing, put_off, runs_again

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

    __slots__ = ("id", "pause", "process", "retry", "spec", "starts", "state")

    def __init__(self, spec: Child[Any], id: str | None = None) -> None:  # noqa: A002
        self.id = spec.id if id is None else id
        self.spec = spec
        self.state = State.UNDEFINED
        self.process: Process | None = None
        self.starts = 0
        self.retry: Retry | None = None
        self.pause: Pause | None = None

    def move(self, event: Event) -> None:
        """Let something happen to it.

        Raises:
            LifeCycleError: it cannot happen now.
        """
        self.state = after(self.state, event)
        if self.state is not State.RESTARTING:
            self.retry = None

    @property
    def temporary(self) -> bool:
        """Whether it is forgotten when nobody lives there any more."""
        return self.spec.restart is Restart.TEMPORARY

    def ref(self) -> Ref[Any] | None:
        """Who lives there."""
        return None if self.process is None else Ref(self.process)

    def standing(self) -> Standing:
        """What a decision needs to know of it."""
        return Standing(self.id, self.spec.restart, self.state, self.spec.significant)

    def put_off(self, backoff: Backoff | None, period: float) -> float:
        """How many seconds its next start is to wait; without back-off none."""
        if backoff is None:
            return 0.0
        self.pause = put_off(backoff, self.pause, period, trio.current_time())
        return self.pause.seconds

    def begin_run(self) -> None:
        """Count from now on how long its child has run: until here it was put off, or starting."""
        if self.pause is not None:
            self.pause = Pause(self.pause.seconds, trio.current_time())

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


class Ended:
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

    __slots__ = ("_asked", "_expected", "_nursery", "_owner", "_sits", "_took", "living")

    def __init__(self, owner: Process, nursery: trio.Nursery) -> None:
        self.living: dict[Process, Place] = {}
        self._owner = owner
        self._nursery = nursery
        self._asked: dict[Process, float] = {}
        self._took: dict[Process, float] = {}
        self._sits: dict[Process, str] = {}
        # Places whose names were noted as about to be borne again.
        self._expected: set[Place] = set()
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
        process = self._put(place, make or factory_of(place.spec))
        try:
            if not await process.starts_within(place.spec.start_timeout):
                raise await self._late(place, process)
        except StartError as failure:
            await process.wait_dead()
            self.left(place)
            if failure.reason is IGNORED:
                self.expect_no_more(place)
                return None
            raise
        finally:
            place.begin_run()
        place.move(Event.STARTED)
        if self._expected and not _is_dead(process):
            self.expect_no_more(place)
        return Ref(process)

    async def _late(self, place: Place, process: Process) -> StartError:
        """End who has not started in time, and not in silence: it may not die."""
        self.kill(process)
        await self.gone(place)
        late = TimeoutError(f"its init took longer than {place.spec.start_timeout:g} s")
        return StartError(process.path, crashed(late))

    def _put(self, place: Place, make: Callable[[], Actor]) -> Process:
        spec = place.spec
        place.move(Event.START)
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
            place.move(Event.ENDED)
            raise StartError(path, crashed(taken)) from None
        place.process = process
        self.living[process] = place
        # Itself, not a bound method for each.
        process.watchers[self] = self
        return process

    def expect(self, place: Place) -> None:
        """Note that whoever bears the names of this place is about to be started again."""
        keys = names_of(place.spec)
        if keys:
            self._expected.add(place)
            expect(keys, self._owner)

    def expect_no_more(self, place: Place) -> None:
        """Note that it has been started, or will not be: tasks that wait for a name are woken."""
        if place in self._expected:
            self._expected.remove(place)
            expect_no_more(names_of(place.spec), self._owner)

    def _owner_ended(self, _: Process) -> None:
        for place in list(self._expected):
            self.expect_no_more(place)

    def retry(self, place: Place, delay: float, uncounted: ExitReason | None = None) -> None:
        """Try again later, by way of the mailbox: what was asked meanwhile comes first.

        Not as a `send`, which an actor that has just been asked to stop refuses; and whatever room
        there is, for the mailbox may be one of the user's.
        """
        place.move(Event.RETRY)
        place.retry = message = Retry(place, uncounted)
        if delay > 0:
            self._owner.mailbox.add(Timer(trio.current_time() + delay, message))
        else:
            self._owner.mailbox.end_with(message)

    # -- they go

    def __call__(self, process: Process) -> None:
        """Be told that one of them has ended."""
        if process in self._asked:
            # Of those that are stopped all at once most end while another is waited for.
            self._took[process] = trio.current_time() - self._asked[process]
        elif not process.failed and not (place := self.living[process]).temporary:
            self._ended_by_itself(place, process.reason or NORMAL)
        self._owner.mailbox.post(Ended(process))

    def _ended_by_itself(self, place: Place, reason: ExitReason) -> None:
        """Note at once whether its names come back: the supervisor's own turn comes later."""
        if runs_again(place.spec.restart, reason) and self._owner.doom is None:
            self.expect(place)
        else:
            self.expect_no_more(place)

    def left(self, place: Place) -> None:
        """Note that whoever lived there has ended."""
        process, place.process = place.process, None
        if process is not None:
            del self.living[process]
            self._asked.pop(process, None)
            self._took.pop(process, None)
            self._sits.pop(process, None)
            place.move(Event.ENDED)

    def ask(self, place: Place) -> None:
        """Ask who lives there to end, without waiting; call off the next attempt."""
        place.move(Event.STOP)
        process = place.process
        if process is None:
            return
        self._asked.setdefault(process, trio.current_time())
        if place.spec.shutdown == BRUTAL_KILL:
            process.kill()
        else:
            process.stop()
        let_end(process, self._owner, trio.lowlevel.current_task())

    def kill(self, process: Process) -> None:
        """Cut one of them off, without waiting."""
        self.living[process].move(Event.STOP)
        self._asked.setdefault(process, trio.current_time())
        process.kill()

    async def gone(self, place: Place) -> Stopped | None:
        """Wait until who was asked to end, or killed, has ended; None if nobody lives there.

        By its end, not by the message of it: that finds nobody any more and is passed over.
        """
        process = place.process
        if process is None:
            return None
        if not _is_dead(process):
            limit = max(process.deadline(), trio.current_time()) + PATIENCE
            if not await process.ends_by(limit):
                self._say_where(process)
                await process.wait_dead()
        stopped = self.stopped(place, process)
        self.left(place)
        return stopped

    async def stop(self, place: Place) -> Stopped | None:
        """Stop one child and wait: asked, given its grace, then killed."""
        self.ask(place)
        return await self.gone(place)

    def stopped(self, place: Place, process: Process) -> Stopped:
        """How it has taken to being stopped, so far if it has not ended."""
        now = trio.current_time()
        took = self._took.get(process, now - self._asked.get(process, now))
        reason = process.reason if _is_dead(process) else None
        # Of what falls with a supervisor that was killed by name nobody need be told.
        killed = reason is not None and reason.kind == "killed" and not self._killed()
        return Stopped(
            process.path,
            took,
            reason,
            killed and place.spec.shutdown != BRUTAL_KILL,
            self._sits.get(process, ""),
            report_of(process),
        )

    def _killed(self) -> bool:
        return self._owner.deadline() == -math.inf

    def _say_where(self, process: Process) -> None:
        from ..actors.frames import line_of

        where = line_of(process.task, _HERE) or "no line of its own"
        self._sits[process] = where
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
