"""The life cycle of one incarnation of an actor.

    STARTING   the factory and `init` run. The starter waits; messages wait in the mailbox.
    RUNNING    `init` has returned and the starter has been woken.
    DYING      the body has ended; `terminate` may be running.
    DEAD       the name is free, calls have failed, monitors have their Down, in this order.

    STARTING -> RUNNING    init returned
    STARTING -> DEAD       init failed, or was cancelled by a stop or kill; `terminate` not run
    RUNNING  -> DYING      the body returned or raised, perhaps after a stop or kill
    DYING    -> DEAD       `terminate` returned, raised, or exceeded its grace

A stop or kill request does not change the phase, but sets `ending_reason` at once: calls and sends
then fail, although the body may still run.

A process has two cancel scopes. The outer, `_kill`, ends the actor without `terminate`; its
deadline is the end of the grace. The inner, `_stop`, contains only the body: cancellation is
level-triggered, so a `terminate` that awaits must run outside every cancelled scope. An actor
without `terminate` needs only `_kill`. An exception of the body is caught after it has left
`_stop`, because a scope must see the Cancelled that it has sent.

Under a supervisor, `_kill` is shielded. An outer cancellation reaches only the supervisor, which
stops its children one by one, in order. Without the shield trio would cancel all of them at once.

KeyboardInterrupt (Ctrl-C) reaches the main task, whose cancellation then stops the tree in order.
A method that computes, and never returns to trio's loop, would hold it off for ever. So trio raises
KeyboardInterrupt in such a method, as in any task: the actor ends, without a crash report, and
SIGINT is raised again for the main task. The code of this layer, `terminate` and supervisors are
protected. If SIGINT is handled neither by Python nor by trio, user code raised the
KeyboardInterrupt, and it is a crash like any other.
"""

import contextlib
import enum
import math
import signal
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from types import FunctionType
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
    check_reason,
    has_keyboard_interrupt,
    is_a,
    last_reply_in,
    reason_for,
    sigint_raises,
)
from .mailbox import Mailbox
from .request import NameWait, Request
from .safe_repr import class_name

if TYPE_CHECKING:
    from .status import Debugging

    class HostedActor(Protocol):
        """The methods of an actor that its process calls."""

        async def live(self, started: Callable[[], None], /) -> None: ...
        async def terminate(self, reason: ExitReason, /) -> None: ...
        def _redacts(self) -> bool: ...
        def _traceback_is_logged_elsewhere(self, crash: BaseException, /) -> bool: ...


logger = logs.logger("okibi.actors")


class Phase(enum.Enum):
    """The phase of an incarnation; the module docstring has the transitions."""

    STARTING = "starting"
    RUNNING = "running"
    DYING = "dying"
    DEAD = "dead"


class Process:
    """One incarnation of an actor: mailbox, cancel scopes, watchers, exit reason.

    Args:
        path: path in the tree, `/function/visits`.
        incarnation: the number of the start under this path, from 1.
        grace: seconds from a stop request until the actor is killed; infinity for no limit.
        mailbox: created with the policy of the actor's class.
        parent: the process that started this one.
        linked: whether a crash is raised into the surrounding nursery, and whether an outer
            cancellation reaches the actor.
    """

    __slots__ = (
        "_kill", "_killed", "_outer_nurseries", "_phase_waiters", "_stop", "_stop_reason", "actor",
        "answers_calls", "continuations", "current", "current_since", "debug", "deferred_calls",
        "drains", "ending_reason", "factory", "grace", "has_terminate", "incarnation",
        "last_reply", "linked", "mailbox", "on_grace", "on_kill", "parent", "path", "phase",
        "reason", "release_name", "reported_elsewhere", "root", "start_failed", "started_at",
        "stop_report", "task", "waiters", "waits", "watchers", "watching",
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
        # Whether the class overrides `terminate` (`_stop` is created only then), and whether it
        # answers calls.
        self.has_terminate = self.answers_calls = True
        # Whether a stop request lets the actor handle the messages that wait in its mailbox.
        self.drains = False
        # Whether another object reports a crash: a task's crash is raised to its awaiter.
        self.reported_elsewhere = False
        self.phase = Phase.STARTING
        self.reason: ExitReason | None = None
        # Set as soon as the end is requested or certain. Each send and call checks it, and fails
        # with it.
        self.ending_reason: ExitReason | None = None
        self.factory: Callable[[], HostedActor] | None = None
        self.actor: HostedActor | None = None
        # The message being handled, and when its handling began and the process started, in
        # seconds of trio's clock.
        self.current: object = None
        self.current_since = self.started_at = 0.0
        # State of `actors.debug`; None unless a debug function is on.
        self.debug: Debugging | None = None
        # Values for `handle_continue`, which go before the next message.
        self.continuations: list[object] | None = None
        # Calls whose reply was put off (`reply_later`).
        self.deferred_calls: dict[Request, None] | None = None
        # Waits that hold a loop (module `wait_cycles`). `waits`: tasks of this actor, each with the
        # process that it waits for. `waiters`: tasks of other actors that wait for this one.
        self.waits: dict[Task, tuple[Process, Request | None]] = {}
        self.waiters: dict[Task, Process] = {}
        # The reply that an Exit gave to the current call; sent after `terminate`.
        self.last_reply: object = NOTHING
        self.task: Task | None = None
        self.root: Task | None = None  # trio's root task, which identifies the run
        self.watchers: dict[object, Callable[[Process], None]] = {}
        self.watching: dict[object, Process] = {}
        self.release_name: Callable[[], None] | None = None
        self.on_kill: Callable[[], None] | None = None
        self.on_grace: Callable[[], None] | None = None
        # The StopReport that an ended supervisor leaves to its own supervisor.
        self.stop_report: object = None
        # Whether the start failed. Only the starter learns of such an end.
        self.start_failed = False
        # Nurseries opened around the actor's loop. Their tasks do not hold the loop.
        self._outer_nurseries: Sequence[trio.Nursery] = ()
        self._stop_reason: ExitReason | None = None
        self._killed = False
        # Only for an actor with `terminate`: a scope takes 670 bytes, and time at each start.
        self._stop: trio.CancelScope | None = None
        self._kill = trio.CancelScope()
        # Tasks that wait for the next phase: by a NameWait, parked (True), or polling (False).
        self._phase_waiters: dict[Task, bool | NameWait] | None = None

    # -- called from other tasks

    def stop(self, reason: ExitReason = SHUTDOWN, grace: float | None = None) -> None:
        """Request the end: cancel or drain the body, run `terminate`, begin the grace.

        Raises:
            TypeError: `reason` is not an ExitReason.
            ValueError: `grace` is less than 0 or not a number.
        """
        check_reason(reason)
        if grace is not None:
            check_grace(self.path, grace)
        if self.phase is not Phase.DEAD:
            # First, because it raises in another thread: half a stop would hang.
            self._begin_grace(self.grace if grace is None else grace)
        if self._stop_reason is None and self.reason is None:
            self._stop_reason = reason
            self.ending_reason = self.ending_reason or reason
            if self.drains and self.phase is Phase.RUNNING:
                self.mailbox.put_last(DRAINED)
            elif self.actor is not None:
                (self._stop or self._kill).cancel()

    def kill(self) -> None:
        """End the actor without `terminate` and without grace (OTP: `exit(Pid, kill)`)."""
        if self.phase is not Phase.DEAD and not self._killed:
            trio.current_time()  # raises in another thread: half a kill would hang
            self._killed = True
            self.ending_reason = self.ending_reason or KILLED
            self._kill.cancel()
            if self.on_kill is not None:
                self.on_kill()

    def deadline(self) -> float:
        """The end of the grace in seconds of trio's clock; -inf after a kill."""
        return -math.inf if self._killed else self._kill.deadline

    async def wait_started(self) -> None:
        """Wait until `init` has returned.

        Raises:
            StartError: the actor ended before.
        """
        while self.phase is Phase.STARTING:
            await self._wait_for_phase_change()
        if self.reason is not None and self.start_failed:
            raise StartError(self.path, self.reason)

    async def wait_started_within(self, timeout: float) -> bool:
        """Wait until `init` has returned; False if it takes more than `timeout` s from the spawn.

        For the task that has just spawned the process. Most `init`s never wait: they have returned
        after the first step of their task, and a timer would double the cost of the start.

        Raises:
            StartError: the actor ended before.
        """
        if timeout == math.inf:
            await self.wait_started()
            return True
        await self._wait_for_phase_change(park=False)
        if self.phase is Phase.STARTING:
            with trio.move_on_at(self.started_at + timeout):
                await self._wait_for_phase_change()
        if self.start_failed and self.reason is not None:
            # Polling is shielded. A cancellation of this task goes before the StartError.
            await checkpoint_if_cancelled()
            raise StartError(self.path, self.reason)
        return self.phase is not Phase.STARTING

    async def wait_dead(self) -> ExitReason:
        """Wait for the end; return the exit reason."""
        while self.phase is not Phase.DEAD:
            await self._wait_for_phase_change()
        return self.reason or NORMAL

    async def wait_dead_by(self, until: float) -> bool:
        """Wait for the end, at most until `until` of trio's clock; False if still alive then.

        For the task that has just requested the stop: most actors end in their next step.
        """
        # Polling is shielded, so it would miss the end of the supervisor's own grace.
        in_time = trio.current_effective_deadline() > trio.current_time()
        if in_time and until != math.inf and self.phase is not Phase.DEAD:
            await self._wait_for_phase_change(park=False)
        if self.phase is not Phase.DEAD:
            with trio.move_on_at(until):
                await self.wait_dead()
        return self.phase is Phase.DEAD

    async def wait_for_phase(self, wait: NameWait) -> None:
        """Wait for the next phase, or until another task ends the wait."""
        waiting = self._phase_waiters = self._phase_waiters or {}
        task = current_task()
        waiting[task] = wait
        try:
            await wait.reply()
        finally:
            waiting.pop(task, None)

    # -- the actor's own task

    async def live(self) -> None:
        """Run the whole life cycle, as the body of the actor's task. Raises only if linked."""
        CURRENT.set(self)
        self.task = current_task()
        self._kill.shield = not self.linked
        reason = ended = KILLED
        public = None
        try:
            with self._kill:
                reason = await self._run()
                if self.phase is Phase.STARTING:
                    reason = IGNORED if is_a(reason.error, Ignore) else reason
                else:
                    # From here on, calls and sends fail at once.
                    self.reason = self.ending_reason = public = self._redact(reason)
                    self.phase = Phase.DYING
                    if self.has_terminate:
                        ended = await self._terminate(reason)
                        if ended is not reason:
                            reason, public = ended, None
        except RuntimeError as error:
            # trio reports a cancel scope that was left open inside. The end must still complete.
            if reason.error is None:
                reason, public = reason_for(error, killed=False, asked=None), None
        public = public or self._redact(reason)
        self._finish(reason, public)
        crash = self._error_to_raise(reason, public) if reason.kind == "crashed" else None
        # The traceback of `crash` holds this frame, and this frame must not hold the process.
        del self, reason, public, ended
        if crash is not None:
            try:
                raise crash
            finally:
                del crash

    async def _run(self) -> ExitReason:
        try:
            # Drop the reference to the factory and to all that its closure holds.
            make, self.factory = self.factory, None
            assert make is not None
            self.actor = make()
            if self.has_terminate:
                self._stop = trio.CancelScope()
            if self._stop_reason is not None:
                (self._stop or self._kill).cancel()
            if self._stop is None:
                await self.actor.live(self._set_running)
            else:
                with self._stop:
                    await self.actor.live(self._set_running)
        except BaseException as error:
            # Not stored in a variable of this frame: the traceback holds the frame, and the cycle
            # would wait for the garbage collector.
            self.last_reply = last_reply_in(error)
            return reason_for(error, killed=self._was_cut_off(), asked=self._stop_reason)
        return reason_for(None, killed=self._killed, asked=self._stop_reason)

    def _redact(self, reason: ExitReason) -> ExitReason:
        """The reason as callers, monitors and the supervisor get it: after `format_status`."""
        actor = self.actor
        if reason.detail is None or actor is None or not actor._redacts():
            return reason
        from .status import redact_reason

        return redact_reason(actor, self.current, reason)

    def _error_to_raise(self, crash: ExitReason, public: ExitReason) -> BaseException | None:
        """The exception for the nursery of a linked actor.

        A KeyboardInterrupt is sent to the main task instead.
        """
        if _is_ctrl_c(crash):
            signal.raise_signal(signal.SIGINT)
            return None
        if not self.linked or self.start_failed:
            return None
        return ActorExited(self.path, public) if public.error is None else public.error

    async def _terminate(self, reason: ExitReason) -> ExitReason:
        """Run `terminate` within the grace, unless the actor was killed. Return the exit reason."""
        cut_off = reason.kind == "killed" and self._kill.cancel_called
        if self._killed or cut_off or self.actor is None:
            return reason
        # Only the grace may cancel the clean-up, an outer cancellation may not.
        self._kill.shield = True
        self._begin_grace(self.grace if self._stop_reason is None else math.inf)
        try:
            await hook_errors.require_awaitable(
                self.actor.terminate(reason), self.actor, "terminate"
            )
            ended = KILLED if self._killed else NORMAL
        except BaseException as error:
            ended = reason_for(error, killed=self._was_cut_off(), asked=None)
        if ended is NORMAL:
            return reason
        if reason.kind == "crashed":
            # Report the original error before the error of `terminate` replaces it.
            if ended.error is None:
                logger.warning("%s: terminate did not finish: %s", self.path, ended)
                return reason
            self._report(reason, [])
            self._empty_frames(reason)
        return ended

    def _was_cut_off(self) -> bool:
        """Whether `kill` was called, or the grace ended."""
        if self._killed or not self._kill.cancel_called:
            return self._killed
        # Without `_stop`, a stop request cancels `_kill` before the deadline.
        return self._stop is not None or trio.current_time() >= self._kill.deadline

    def _begin_grace(self, grace: float) -> None:
        self._kill.deadline = min(self._kill.deadline, trio.current_time() + grace)
        if self.on_grace is not None:
            self.on_grace()

    # -- reading the mailbox

    def record_outer_nurseries(self) -> None:
        """Record the nurseries opened around the loop: their tasks do not hold the loop."""
        if (task := self.task) is None:
            raise RuntimeError(f"{self.path} has ended and receives no more messages")
        self._outer_nurseries = task.child_nurseries or ()

    def runs_inside(self, nursery: trio.Nursery) -> bool:
        """Whether the loop runs inside this nursery, so that the nursery does not hold the loop."""
        return nursery in self._outer_nurseries

    # -- waits that hold a loop (module `wait_cycles`)

    def held_by(self, task: Task) -> bool:
        """Whether the actor cannot read its mailbox before `task` has ended."""
        while task is not self.task:
            nursery = task.parent_nursery
            if nursery is None or self.runs_inside(nursery):
                return False
            task = nursery.parent_task
        return True

    def begin_wait(self, task: Task, callee: "Process", request: Request | None) -> None:
        """Record that a task that holds the loop waits for `callee`, and with which request."""
        self.waits[task] = (callee, request)
        callee.waiters[task] = self

    def end_wait(self, task: Task, callee: "Process") -> None:
        """Record that the task no longer waits for the loop of `callee`."""
        if self.waits.pop(task, None) is not None:
            del callee.waiters[task]

    def is_awaited_without_request_by(self, task: Task) -> bool:
        """Whether a task waits for the start, the end, or space in the mailbox."""
        return task in (self._phase_waiters or ()) or self.mailbox.blocks(task)

    def _set_running(self) -> None:
        self.phase = Phase.RUNNING
        self._wake_phase_waiters()

    def _finish(self, reason: ExitReason, public: ExitReason) -> None:
        """Release the name, fail the calls, notify the monitors, then report a crash.

        In this order: a monitor that gets the Down can register the name at once. User code, such
        as a `__str__`, runs only after all of them.

        Args:
            reason: the exit reason.
            public: the same as callers and monitors get it.
        """
        # An actor that is still STARTING here never started.
        self.start_failed = self.phase is Phase.STARTING
        self.reason = self.ending_reason = public
        self.phase = Phase.DEAD
        if self.release_name is not None:
            self.release_name()
        left = self.mailbox.close()
        if self.last_reply is not NOTHING and is_a(self.current, Request):
            self.current.answer(self.last_reply)
        if left or self.deferred_calls or self.current is not None:
            for message in (self.current, *(self.deferred_calls or ()), *left):
                if is_a(message, Request) and message.waited_for:
                    message.fail(ActorExited(self.path, public, str(message)))
        watchers, self.watchers = self.watchers, {}
        for notify in watchers.values():
            notify(self)
        # A short-lived watcher must not leave monitors in a long-lived actor.
        while self.watching:
            monitor, watched = self.watching.popitem()
            watched.watchers.pop(monitor, None)
        self._wake_phase_waiters()
        if not reason.quiet and not self.reported_elsewhere and not _is_ctrl_c(reason):
            self._report(reason, left)
        # A Ref of a dead actor keeps only the exit reason alive.
        self.current = self.task = self.root = self.actor = self.debug = None
        self.continuations = self.deferred_calls = None
        self.last_reply = NOTHING
        self.on_kill = self.on_grace = None
        self._outer_nurseries = ()
        self._empty_frames(reason)

    def _empty_frames(self, reason: ExitReason) -> None:
        """Free what the traceback of a reported crash keeps alive."""
        # An error that is reported elsewhere is still raised, and keeps its frames.
        if reason.error is not None and not self.reported_elsewhere:
            from .empty_frames import empty_frames

            with contextlib.suppress(Exception):  # a frame that cannot be replaced stays
                empty_frames(reason.error)

    def _report(self, reason: ExitReason, left: list[object]) -> None:
        """Log the crash. An error in the report must not break the end of the actor."""
        try:
            from .crash_report import log_crash

            error, actor = reason.error, self.actor
            logged = (
                error is not None
                and actor is not None
                and actor._traceback_is_logged_elsewhere(error)
            )
            log_crash(self, reason, left, already_logged=logged)
        except BaseException as failed:
            # Without the texts of both errors: the failed code may be the actor's redaction.
            where = f"{self.path} (incarnation {self.incarnation})"
            kind, why = reason.kind, class_name(type(failed))
            logger.error("%s ended: %s; its crash report failed with %s", where, kind, why)

    # -- waiting for the next phase

    async def _wait_for_phase_change(self, park: bool = True) -> None:
        """Wait for the next phase; without `park`, only for the next step of the actor's task."""
        task, caller = current_task(), CURRENT.get()
        # For `wait_cycles`: a call of this actor to the waiting actor would never return.
        if caller is not None and (task in caller.waits or not caller.held_by(task)):
            caller = None
        if caller is not None:
            caller.begin_wait(task, self, None)
        waiting = self._phase_waiters = self._phase_waiters or {}
        waiting[task], phase = park, self.phase
        try:
            if park:
                await wait_task_rescheduled(partial(_stop_waiting, waiting, task))
            else:
                # Two, because trio runs the tasks of one pass in random order.
                await cancel_shielded_checkpoint()
                if self.phase is phase:
                    await cancel_shielded_checkpoint()
        finally:
            waiting.pop(task, None)
            if caller is not None:
                caller.end_wait(task, self)

    def _wake_phase_waiters(self) -> None:
        waiting, self._phase_waiters = self._phase_waiters, None
        if waiting:
            for task, parked in waiting.items():
                if isinstance(parked, NameWait):
                    parked.answer(None)
                elif parked:
                    reschedule(task)


def _is_ctrl_c(reason: ExitReason) -> bool:
    """Whether Ctrl-C has ended the actor: the main task gets the KeyboardInterrupt."""
    return has_keyboard_interrupt(reason.error) and sigint_raises()


def protect_methods(*kinds: type) -> None:
    """Protect the methods of classes from KeyboardInterrupt, which could leave them half done."""
    for kind in kinds:
        for method in vars(kind).values():
            if isinstance(method, FunctionType):
                trio.lowlevel.enable_ki_protection(method)


protect_methods(Mailbox, Request, Process)


def _stop_waiting(waiting: dict[Task, bool | NameWait], task: Task, _: RaiseCancelT) -> Abort:
    del waiting[task]
    return Abort.SUCCEEDED


# The last message in the mailbox of an actor that drains.
DRAINED: Final[object] = object()

CURRENT: ContextVar[Process | None] = ContextVar("actor", default=None)

# The task in whose name another task sends, as that of a Portal does (`Server.caller`).
ON_BEHALF: ContextVar[Task] = ContextVar("on behalf")
