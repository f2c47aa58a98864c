"""The life of one incarnation.

    STARTING   the factory and `init` run. Who started it waits; what it is sent waits too.
    RUNNING    `init` has returned and the starter knows.
    DYING      its end is certain. Calls fail at once; `terminate` may be running.
    DEAD       its name is free, its callers have failed, its monitors know: in this order.

    STARTING -> RUNNING    init returned
    STARTING -> DEAD       init failed, was cut off, or was asked to stop; no `terminate`
    RUNNING  -> DYING      the body returned or raised, or it was asked to stop
    DYING    -> DEAD       `terminate` returned, raised, or its grace was over

Two scopes carry it. `kill` is the outer: cancelled, the actor ends without ceremony, and its
deadline is the grace. `stop`, inside it, holds the body alone: cancellation is level-triggered, so
a `terminate` that awaits must run where nothing is cancelled yet. An actor without a `terminate`
does with the one scope. A body's exception is caught outside its scope, which would break.

Under a supervisor `kill` is shielded: of an outer cancellation only the supervisor hears, and it
stops its children one by one, in its order. Unshielded, trio cancels all at once.

Actors are protected from KeyboardInterrupt. It goes to the main task, whose cancellation then
takes the tree down in order; inside an actor it would be one more crash to restart from. The
tasks that an actor starts itself are beyond that protection: one that lands there ends the actor
and is passed on to the main task. Where SIGINT is neither Python's own nor trio's to take, one that
leaves an actor was raised by somebody's code, and is a crash like any other.
"""

import contextlib
import enum
import math
import signal
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import trio
from trio.lowlevel import (
    Abort,
    RaiseCancelT,
    Task,
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from . import hook_errors, logs
from .exits import (
    IGNORED,
    KILLED,
    NORMAL,
    NOTHING,
    SHUTDOWN,
    ActorExited,
    ExitReason,
    Ignore,
    StartError,
    check_grace,
    checked,
    farewell_in,
    interrupted,
    is_a,
    reason_for,
    sigint_raises,
)
from .mailbox import Mailbox
from .request import Request
from .safe_repr import class_name

if TYPE_CHECKING:
    from .status import Debugging

logger = logs.logger("okibi.actors")


class Phase(enum.Enum):
    """How far an incarnation has come; the table above says what moves it on."""

    STARTING = "starting"
    RUNNING = "running"
    DYING = "dying"
    DEAD = "dead"


class Living(Protocol):
    """What a process needs of the actor that lives in it."""

    async def live(self, started: Callable[[], None], /) -> None: ...
    async def terminate(self, reason: ExitReason, /) -> None: ...
    def _redacts(self) -> bool: ...
    def _was_told(self, crash: BaseException, /) -> bool: ...


class Process:
    """One incarnation of an actor: its mailbox, scopes, watchers, and why it ended.

    Args:
        path: where it stands in its tree, `/function/visits`.
        incarnation: which start of that place this is; the first is 1.
        grace: seconds from being asked to stop until it is killed; infinity for no limit.
        mailbox: made to the policy of the actor's class.
        parent: the process that started it.
        linked: whether a crash is raised into the nursery it runs in, and an outer cancellation
            reaches it.
    """

    __slots__ = (
        "_around", "_asked", "_kill", "_killed", "_stop", "_waiting", "actor", "answers",
        "began", "cleans_up", "continuations", "current", "debug", "deferred", "doom", "drains",
        "factory", "failed", "farewell", "grace", "incarnation", "legacy", "linked", "mailbox",
        "on_grace", "on_kill", "parent", "path", "phase", "reason", "release_name", "root",
        "silent", "since", "task", "waiters", "waits", "watchers", "watching",
    )  # fmt: skip

    def __init__(
        self, path: str, incarnation: int, grace: float, mailbox: Mailbox,
        parent: "Process | None" = None, linked: bool = False,
    ) -> None:  # fmt: skip
        self.path = path
        self.incarnation = incarnation
        self.grace = grace
        self.mailbox = mailbox
        self.parent = parent
        self.linked = linked
        # Whether `terminate` does anything (else its scopes would cost); whether it answers calls.
        self.cleans_up = self.answers = True
        # Whether what waits in its mailbox is still handled when it is asked to stop.
        self.drains = False
        # Whether somebody else tells of its crash: a task's, that is given to whoever awaits it.
        self.silent = False
        self.phase = Phase.STARTING
        self.reason: ExitReason | None = None
        # Why nothing can be asked of it any more, for every message is checked against it.
        self.doom: ExitReason | None = None
        self.factory: Callable[[], Living] | None = None
        self.actor: Living | None = None
        self.current: object = None
        # When it turned to that, and when its life began, in seconds of trio's clock.
        self.since = self.began = 0.0
        # Who looks into it (`actors.debug`), None as long as nobody does.
        self.debug: Debugging | None = None
        # What `handle_continue` is still to be given, before the mailbox gets its turn again.
        self.continuations: list[object] | None = None
        # Calls that will be answered later.
        self.deferred: dict[Request, None] | None = None
        # Waits that hold a loop (module `wait_cycles`): of its own tasks for whom, and who for it.
        self.waits: dict[Task, tuple[Process, Request | None]] = {}
        self.waiters: dict[Task, Process] = {}
        # The reply to the current call that it left with: given when `terminate` has run.
        self.farewell: object = NOTHING
        self.task: Task | None = None
        self.root: Task | None = None  # trio's own, of the run that it lives in
        self.watchers: dict[object, Callable[[Process], None]] = {}
        self.watching: dict[object, Process] = {}
        self.release_name: Callable[[], None] | None = None
        self.on_kill: Callable[[], None] | None = None
        self.on_grace: Callable[[], None] | None = None
        # What it leaves to be read when it has ended, its actor being gone.
        self.legacy: object = None
        # Its start has failed: who started it is told, and it never was anybody to others.
        self.failed = False
        # The nurseries that stand around its loop: their tasks live beside it.
        self._around: Sequence[trio.Nursery] = ()
        self._asked: ExitReason | None = None
        self._killed = False
        # Only for an actor that cleans up: it takes 670 bytes, and time at each start.
        self._stop: trio.CancelScope | None = None
        self._kill = trio.CancelScope()
        # Who waits for its start or its end, and whether parked: one that is not looks by itself.
        self._waiting: dict[Task, bool] | None = None

    # -- asked from outside

    def stop(self, reason: ExitReason = SHUTDOWN, grace: float | None = None) -> None:
        """Ask it to end: its body is cancelled or drains, `terminate` runs, its grace begins.

        Raises:
            TypeError: `reason` is no ExitReason.
            ValueError: `grace` is less than 0, or not a number.
        """
        checked(reason)
        if grace is not None:
            check_grace(self.path, grace)
        if self.phase is not Phase.DEAD:
            # First what raises in another thread: half a stop would be a hang.
            self._begin_grace(self.grace if grace is None else grace)
        if self._asked is None and self.reason is None:
            self._asked = reason
            self.doom = self.doom or reason
            if self.drains and self.phase is Phase.RUNNING:
                self.mailbox.end_with(LAST)
            elif self.actor is not None:
                (self._stop or self._kill).cancel()

    def kill(self) -> None:
        """Cut it off: no `terminate`, no grace (OTP: `exit(Pid, kill)`)."""
        if self.phase is not Phase.DEAD and not self._killed:
            trio.current_time()  # which raises in another thread: half a kill would be a hang
            self._killed = True
            self.doom = self.doom or KILLED
            self._kill.cancel()
            if self.on_kill is not None:
                self.on_kill()

    def deadline(self) -> float:
        """When its grace is over, in seconds of trio's clock; it is long over for the killed."""
        return -math.inf if self._killed else self._kill.deadline

    async def wait_started(self) -> None:
        """Wait until `init` has returned.

        Raises:
            StartError: it ended before that.
        """
        while self.phase is Phase.STARTING:
            await self._change()
        if self.reason is not None and self.failed:
            raise StartError(self.path, self.reason)

    async def starts_within(self, timeout: float) -> bool:
        """Wait until `init` has returned, for so many seconds of its life; False if it has not.

        For who has just spawned it. Most `init`s do not wait for anything: those have returned
        when the first step is over, and a timer for them would cost as much as all the rest.

        Raises:
            StartError: it ended before that.
        """
        if timeout == math.inf:
            await self.wait_started()
            return True
        await self._change(park=False)
        if self.phase is Phase.STARTING:
            with trio.move_on_at(self.began + timeout):
                await self._change()
        if self.failed and self.reason is not None:
            # Who is cancelled with it, unheard while it looked, is told of that.
            await checkpoint_if_cancelled()
            raise StartError(self.path, self.reason)
        return self.phase is not Phase.STARTING

    async def wait_dead(self) -> ExitReason:
        """Wait until it has ended, and say why."""
        while self.phase is not Phase.DEAD:
            await self._change()
        return self.reason or NORMAL

    async def ends_by(self, until: float) -> bool:
        """Wait until it has ended, until then by trio's clock; False if it has not.

        For who has just asked it to: most have ended when their next step is over.
        """
        # A look would not hear that the supervisor's own grace is over.
        in_time = trio.current_effective_deadline() > trio.current_time()
        if in_time and until != math.inf and self.phase is not Phase.DEAD:
            await self._change(park=False)
        if self.phase is not Phase.DEAD:
            with trio.move_on_at(until):
                await self.wait_dead()
        return self.phase is Phase.DEAD

    # -- its own task

    @trio.lowlevel.enable_ki_protection
    async def live(self) -> None:
        """The whole life, as the body of a task of its own. Raises only if it is linked."""
        CURRENT.set(self)
        self.task = current_task()
        self._kill.shield = not self.linked
        reason = ended = KILLED
        told = error = None
        try:
            with self._kill:
                reason = await self._run()
                if self.phase is Phase.STARTING:
                    reason = IGNORED if is_a(reason.error, Ignore) else reason
                else:
                    # The door is closed: what it is asked for now fails at once.
                    self.reason = self.doom = told = self._redact(reason)
                    self.phase = Phase.DYING
                    if self.cleans_up:
                        ended = await self._terminate(reason)
                        if ended is not reason:
                            reason, told = ended, None
        except RuntimeError as left:
            # Trio's word for a scope that was left open inside: it must not break the end.
            if reason.error is None:
                reason, told = reason_for(left, killed=False, asked=None), None
        told = told or self._redact(reason)
        self._end(reason, told)
        crash = self._passed_on(reason, told) if reason.kind == "crashed" else None
        # The traceback of what is raised holds this frame, which must not hold the process.
        del self, reason, told, ended, error
        if crash is not None:
            try:
                raise crash
            finally:
                del crash

    async def _run(self) -> ExitReason:
        try:
            # What made it is let go of.
            make, self.factory = self.factory, None
            assert make is not None
            self.actor = make()
            if self.cleans_up:
                self._stop = trio.CancelScope()
            if self._asked is not None:
                (self._stop or self._kill).cancel()
            if self._stop is None:
                await self.actor.live(self._started)
            else:
                with self._stop:
                    await self.actor.live(self._started)
        except BaseException as error:
            # In no variable that outlives this block: its traceback holds this frame, and the two
            # would wait for the garbage collector.
            self.farewell = farewell_in(error)
            return reason_for(error, killed=self._was_cut(), asked=self._asked)
        return reason_for(None, killed=self._killed, asked=self._asked)

    def _redact(self, reason: ExitReason) -> ExitReason:
        """What others are told of a reason: not what its own `format_status` hides of it."""
        actor = self.actor
        if reason.detail is None or actor is None or not actor._redacts():
            return reason
        from .status import told

        return told(actor, self.current, reason)

    def _passed_on(self, crash: ExitReason, told: ExitReason) -> BaseException | None:
        """What is raised into its link; a KeyboardInterrupt goes to the main task instead."""
        if interrupted(crash.error) and sigint_raises():
            signal.raise_signal(signal.SIGINT)
            return None
        if not self.linked or self.failed:
            return None
        return ActorExited(self.path, told) if told.error is None else told.error

    async def _terminate(self, reason: ExitReason) -> ExitReason:
        """Let it clean up within its grace, unless it was killed."""
        cut_off = reason.kind == "killed" and self._kill.cancel_called
        if self._killed or cut_off or self.actor is None:
            return reason
        # An outer cancellation must not cut the clean-up, and the grace must end it.
        self._kill.shield = True
        self._begin_grace(self.grace if self._asked is None else math.inf)
        try:
            await hook_errors.awaited(self.actor.terminate(reason), self.actor, "terminate")
            ended = KILLED if self._killed else NORMAL
        except BaseException as error:
            ended = reason_for(error, killed=self._was_cut(), asked=None)
        if ended is NORMAL:
            return reason
        if reason.kind == "crashed":
            # The error that began all this is told and logged first, whatever came of it.
            if ended.error is None:
                logger.warning("%s did not end its terminate: %s", self.path, ended)
                return reason
            self._report(reason, [])
            self._forget_frames(reason)
        return ended

    def _was_cut(self) -> bool:
        """Whether it was killed by name, or cancelled because its grace was over."""
        if self._killed or not self._kill.cancel_called:
            return self._killed
        # Without a scope of its own its body is asked to stop by the same one.
        return self._stop is not None or trio.current_time() >= self._kill.deadline

    def _begin_grace(self, grace: float) -> None:
        self._kill.deadline = min(self._kill.deadline, trio.current_time() + grace)
        if self.on_grace is not None:
            self.on_grace()

    # -- turning to its mailbox

    def turn_to_mailbox(self) -> None:
        """Note which nurseries stand around its loop: their tasks live beside it."""
        if (task := self.task) is None:
            raise RuntimeError(f"{self.path} has ended: no message comes to it")
        self._around = task.child_nurseries or ()

    def runs_inside(self, nursery: trio.Nursery) -> bool:
        """Whether its loop runs inside a nursery of its own, and so does not wait for it."""
        return nursery in self._around

    # -- waits that hold a loop (module `wait_cycles`)

    def held_by(self, task: Task) -> bool:
        """Whether it cannot turn to its mailbox before `task` has ended."""
        while task is not self.task:
            nursery = task.parent_nursery
            if nursery is None or self.runs_inside(nursery):
                return False
            task = nursery.parent_task
        return True

    def begin_wait(self, task: Task, callee: "Process", request: Request | None) -> None:
        """Note that a task which holds its loop waits for `callee`, and with which request."""
        self.waits[task] = (callee, request)
        callee.waiters[task] = self

    def end_wait(self, task: Task, callee: "Process") -> None:
        """Note that the task waits for `callee` no more, or not for its loop."""
        if self.waits.pop(task, None) is not None:
            del callee.waiters[task]

    def holds(self, task: Task) -> bool:
        """Whether a task waits for its start or its end, or for room in its mailbox."""
        return task in (self._waiting or ()) or self.mailbox.blocks(task)

    def _started(self) -> None:
        self.phase = Phase.RUNNING
        self._announce()

    def _end(self, reason: ExitReason, told: ExitReason) -> None:
        """Name, callers, monitors: whoever sees the Down can have the name at once.

        Nothing is put into words before all of them have heard.

        Args:
            reason: why it ended.
            told: the same, as others are told.
        """
        # Whatever brought it here: what has not started by now never will.
        self.failed = self.phase is Phase.STARTING
        self.reason = self.doom = told
        self.phase = Phase.DEAD
        if self.release_name is not None:
            self.release_name()
        left = self.mailbox.close()
        if self.farewell is not NOTHING and is_a(self.current, Request):
            self.current.answer(self.farewell)
        if left or self.deferred or self.current is not None:
            for message in (self.current, *(self.deferred or ()), *left):
                if is_a(message, Request) and message.waited_for:
                    message.fail(ActorExited(self.path, told, str(message)))
        watchers, self.watchers = self.watchers, {}
        for notify in watchers.values():
            notify(self)
        # A short-lived watcher must leave nothing behind in a long-lived actor.
        while self.watching:
            monitor, watched = self.watching.popitem()
            watched.watchers.pop(monitor, None)
        self._announce()
        if not reason.quiet and not self.silent:
            self._report(reason, left)
        # A Ref of the dead keeps nothing alive but why it ended.
        self.current = self.deferred = self.task = self.root = self.actor = self.debug = None
        self.continuations, self.farewell = None, NOTHING
        self.on_kill = self.on_grace = None
        self._around = ()
        self._forget_frames(reason)

    def _forget_frames(self, reason: ExitReason) -> None:
        """Have the traceback of a crash keep nothing of the actor, now that all is told."""
        # A task's error is raised to whoever awaits it, with its frames.
        if reason.error is not None and not self.silent:
            from .empty_frames import empty_frames

            with contextlib.suppress(Exception):  # what cannot be copied is kept as it is
                empty_frames(reason.error)

    def _report(self, reason: ExitReason, left: list[object]) -> None:
        """Tell of a crash, and nobody may be waiting for it: that must not break the end itself."""
        try:
            from .crash_report import log_crash

            error, actor = reason.error, self.actor
            told = error is not None and actor is not None and actor._was_told(error)
            log_crash(self, reason, left, told=told)
        except BaseException as failed:
            # Without what either says: a hook that was to redact it may be what failed.
            where = f"{self.path} (incarnation {self.incarnation})"
            kind, why = reason.kind, class_name(type(failed))
            logger.error("%s ended: %s; its crash report failed with %s", where, kind, why)

    # -- who waits for a change

    async def _change(self, park: bool = True) -> None:
        """Wait until it has started, or ended; without `park`, until its next step is over."""
        task, caller = current_task(), CURRENT.get()
        # Its own call back to whoever waits for it would never return (`actors.wait_cycles`).
        if caller is not None and (task in caller.waits or not caller.held_by(task)):
            caller = None
        if caller is not None:
            caller.begin_wait(task, self, None)
        waiting = self._waiting = self._waiting or {}
        waiting[task], phase = park, self.phase
        try:
            if park:
                await wait_task_rescheduled(partial(_leave, waiting, task))
            else:
                # In one pass of trio's loop either of the two may have its turn first.
                await cancel_shielded_checkpoint()
                if self.phase is phase:
                    await cancel_shielded_checkpoint()
        finally:
            waiting.pop(task, None)
            if caller is not None:
                caller.end_wait(task, self)

    def _announce(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting:
            for task, parked in waiting.items():
                if parked:
                    reschedule(task)


def _leave(waiting: dict[Task, bool], task: Task, _: RaiseCancelT) -> Abort:
    del waiting[task]
    return Abort.SUCCEEDED


# The message behind which a mailbox that drains has nothing more.
LAST: Final[object] = object()

CURRENT: ContextVar[Process | None] = ContextVar("actor", default=None)

# The task for which another one asks in its place, as a Portal's does (`Server.caller`).
ON_BEHALF: ContextVar[Task] = ContextVar("on behalf")
