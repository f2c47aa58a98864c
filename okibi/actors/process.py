"""One incarnation of an actor: its task runs `Process.live`.

What a process knows lies in types of their own, each written by its own module:

    Life           the phase, the requests to end, how the actor ended
    Work           the message being handled, continuations, calls whose reply was put off
    Waits          for whom tasks of the actor wait, and who waits for the actor
    CancelScopes   the scopes around the life and the body, and the grace

KeyboardInterrupt (Ctrl-C) reaches the main task, whose cancellation then stops the tree in order.
A method that computes, and never returns to trio's loop, would hold it off for ever. So trio raises
KeyboardInterrupt in such a method, as in any task: the actor ends, without a crash report, and
SIGINT is raised again for the main task. The code of this layer, `terminate` and supervisors are
protected. If SIGINT is handled neither by Python nor by trio, user code raised the
KeyboardInterrupt, and it is a crash like any other.
"""

import contextlib
import math
import signal
from collections.abc import Callable
from contextvars import ContextVar
from types import FunctionType
from typing import TYPE_CHECKING, Final, Protocol

import trio
from trio.lowlevel import Task, checkpoint_if_cancelled, current_root_task, current_task

from . import hook_errors, logs
from .cancel_scopes import CancelScopes
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
from .life import DEAD, RUNNING, STARTING, Life
from .mailbox import Mailbox
from .request import Request
from .safe_repr import class_name
from .wait_cycles import Waits
from .work import Work

if TYPE_CHECKING:

    class HostedActor(Protocol):
        """The methods of an actor that its process calls."""

        async def live(self, started: Callable[[], None], /) -> None: ...
        async def terminate(self, reason: ExitReason, /) -> None: ...
        def _redacts(self) -> bool: ...
        def _traceback_is_logged_elsewhere(self, crash: BaseException, /) -> bool: ...

    class TiedMonitor(Protocol):
        """A monitor that ends with the actor that has set it."""

        def demonitor(self) -> None: ...


logger = logs.logger("okibi.actors")


class Process:
    """One incarnation of an actor.

    Args:
        path: path in the tree, `/function/visits`.
        incarnation: the number of the start under this path, from 1.
        grace: seconds from a stop request until the actor is killed; infinity for no limit.
        mailbox: created with the policy of the actor's class.
        parent: the process that started this one.
        linked: whether a crash is raised into the surrounding nursery, and whether an outer
            cancellation reaches the actor.
        started_at: the time of the start, in seconds of trio's clock.
        root: trio's root task, which identifies the run; None after the end.

    Attributes:
        actor: the actor; None before the factory has made the actor, and after the end.
        watchers: the functions to call when the actor ends, by key.
    """

    __slots__ = (
        "actor", "incarnation", "life", "mailbox", "parent", "path", "root", "scopes", "started_at",
        "waits", "watchers", "work",
    )  # fmt: skip

    def __init__(
        self, path: str, incarnation: int, grace: float, mailbox: Mailbox,
        parent: "Process | None" = None, linked: bool = False, started_at: float = 0.0,
        root: Task | None = None,
    ) -> None:  # fmt: skip
        self.path = path
        self.incarnation = incarnation
        self.mailbox = mailbox
        self.parent = parent
        self.started_at = started_at
        self.root = root
        self.actor: HostedActor | None = None
        self.life = Life()
        self.work = Work()
        self.waits = Waits(path, mailbox)
        self.scopes = CancelScopes(grace, linked)
        self.watchers: dict[object, Callable[[Process], None]] = {}

    # -- called from other tasks

    def stop(self, reason: ExitReason = SHUTDOWN, grace: float | None = None) -> None:
        """Request the end: cancel or drain the body, run `terminate`, begin the grace.

        Raises:
            TypeError: `reason` is not an ExitReason.
            ValueError: `grace` is less than 0 or not a number.
        """
        if reason is not SHUTDOWN:
            check_reason(reason)
        if grace is not None:
            check_grace(self.path, grace)
        life, scopes = self.life, self.scopes
        if life.phase is not DEAD:
            # First, because it raises in another thread: half a stop would hang.
            scopes.begin_grace(scopes.grace if grace is None else grace)
        if life.ask(reason):
            if self.work.drains and life.phase is RUNNING:
                self.mailbox.put_last(DRAINED)
            elif self.actor is not None:
                (scopes.stop or scopes.kill).cancel()

    def kill(self) -> None:
        """End the actor without `terminate` and without grace (OTP: `exit(Pid, kill)`)."""
        life = self.life
        if life.phase is not DEAD and not life.killed:
            trio.current_time()  # raises in another thread: half a kill would hang
            life.kill()
            self.scopes.cancel_all()

    def deadline(self) -> float:
        """Return the end of the grace in seconds of trio's clock; -inf after a kill."""
        return -math.inf if self.life.killed else self.scopes.kill.deadline

    async def wait_started(self) -> None:
        """Wait until `init` has returned.

        Raises:
            StartError: the actor ended before.
        """
        life = self.life
        while life.phase is STARTING:
            await self.waits.next_phase(life, CURRENT.get())
        if life.reason is not None and life.start_failed:
            raise StartError(self.path, life.reason)

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
        life, waiter = self.life, CURRENT.get()
        await self.waits.next_phase(life, waiter, False)
        if life.phase is STARTING:
            with trio.move_on_at(self.started_at + timeout):
                await self.waits.next_phase(life, waiter)
        if life.start_failed and life.reason is not None:
            # Polling is shielded. A cancellation of this task goes before the StartError.
            await checkpoint_if_cancelled()
            raise StartError(self.path, life.reason)
        return life.phase is not STARTING

    async def wait_dead(self) -> ExitReason:
        """Wait for the end; return the exit reason."""
        life = self.life
        while life.phase is not DEAD:
            await self.waits.next_phase(life, CURRENT.get())
        return life.reason or NORMAL

    async def wait_dead_by(self, until: float) -> bool:
        """Wait for the end, at most until `until` of trio's clock; False if still alive then.

        For the task that has just requested the stop: most actors end in their next step.
        """
        life = self.life
        # Polling is shielded, so it would miss the end of the supervisor's own grace.
        in_time = trio.current_effective_deadline() > trio.current_time()
        if in_time and until != math.inf and life.phase is not DEAD:
            await self.waits.next_phase(life, CURRENT.get(), False)
        if life.phase is not DEAD:
            with trio.move_on_at(until):
                await self.wait_dead()
        return life.phase is DEAD

    # -- watchers

    def watch(self, key: object, notify: "Callable[[Process], None]") -> None:
        """Call a function when the actor ends, after the functions of earlier calls.

        Args:
            key: the key for `unwatch`.
            notify: called with this process. It must not raise.
        """
        self.watchers[key] = notify

    def watch_first(self, key: object, notify: "Callable[[Process], None]") -> None:
        """Like `watch`, but call the function before all others."""
        self.watchers = {key: notify, **self.watchers}

    def unwatch(self, key: object) -> None:
        """Undo `watch`; no effect if it was undone, or the actor has ended."""
        self.watchers.pop(key, None)

    def tie(self, monitor: "TiedMonitor") -> None:
        """End a monitor that this actor has set, when the actor ends. Undone by `unwatch`."""
        self.watchers[monitor] = lambda _: monitor.demonitor()

    # -- the actor's own task

    async def live(self, make: "Callable[[], HostedActor]") -> None:
        """Run the whole life cycle, as the body of the actor's task. Raises only if linked.

        Args:
            make: makes the actor.
        """
        CURRENT.set(self)
        self.waits.begin_loop(current_task())
        life, scopes = self.life, self.scopes
        reason = ended = KILLED
        public = None
        try:
            with scopes.kill:
                body = self._run(make)
                # Drop the reference to the factory and to all that its closure holds.
                del make
                reason = await body
                if life.phase is STARTING:
                    reason = IGNORED if is_a(reason.error, Ignore) else reason
                else:
                    # From here on, calls and sends fail at once.
                    public = self._redact(reason)
                    life.begin_to_die(public)
                    if scopes.stop is not None:
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
        del self, reason, public, ended, life, scopes
        if crash is not None:
            try:
                raise crash
            finally:
                del crash

    async def _run(self, make: "Callable[[], HostedActor]") -> ExitReason:
        life, scopes = self.life, self.scopes
        try:
            self.actor = make()
            del make
            if life.asked is not None:
                (scopes.stop or scopes.kill).cancel()
            if scopes.stop is None:
                await self.actor.live(self._set_running)
            else:
                with scopes.stop:
                    await self.actor.live(self._set_running)
        except BaseException as error:
            # Not stored in a variable of this frame: the traceback holds the frame, and the cycle
            # would wait for the garbage collector.
            self.work.set_last_reply(last_reply_in(error))
            cut_off = life.killed or scopes.grace_has_ended()
            return reason_for(error, killed=cut_off, asked=life.asked)
        return reason_for(None, killed=life.killed, asked=life.asked)

    def _set_running(self) -> None:
        self.life.run()
        self.waits.wake_phase_waiters()

    def _redact(self, reason: ExitReason) -> ExitReason:
        """Return the reason for callers, monitors and the supervisor: after `format_status`."""
        actor = self.actor
        if reason.detail is None or actor is None or not actor._redacts():
            return reason
        from .status import redact_reason

        return redact_reason(actor, self.work.message, reason)

    def _error_to_raise(self, crash: ExitReason, public: ExitReason) -> BaseException | None:
        """Return the exception for the nursery of a linked actor.

        A KeyboardInterrupt is sent to the main task instead.
        """
        if _is_ctrl_c(crash):
            signal.raise_signal(signal.SIGINT)
            return None
        if not self.scopes.linked or self.life.start_failed:
            return None
        return ActorExited(self.path, public) if public.error is None else public.error

    async def _terminate(self, reason: ExitReason) -> ExitReason:
        """Run `terminate` within the grace, unless the actor was killed. Return the exit reason."""
        life, scopes = self.life, self.scopes
        cut_off = reason.kind == "killed" and scopes.kill.cancel_called
        if life.killed or cut_off or self.actor is None:
            return reason
        scopes.shield_clean_up()
        scopes.begin_grace(scopes.grace if life.asked is None else math.inf)
        try:
            await hook_errors.require_awaitable(
                self.actor.terminate(reason), self.actor, "terminate"
            )
            ended = KILLED if life.killed else NORMAL
        except BaseException as error:
            cut_off = life.killed or scopes.grace_has_ended()
            ended = reason_for(error, killed=cut_off, asked=None)
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

    def _finish(self, reason: ExitReason, public: ExitReason) -> None:
        """Fail the calls, release the name, notify the monitors, then report a crash.

        In this order: a monitor that gets the Down can register the name at once. User code, such
        as a `__str__`, runs only after all of them.

        Args:
            reason: the exit reason.
            public: the exit reason that callers and monitors get.
        """
        life, work = self.life, self.work
        # An actor that is still STARTING here never started.
        life.end(public)
        left = self.mailbox.close()
        if work.last_reply is not NOTHING and is_a(work.message, Request):
            work.message.answer(work.last_reply)
        if left or work.deferred_calls or work.message is not None:
            for message in (work.message, *(work.deferred_calls or ()), *left):
                if is_a(message, Request) and message.waited_for:
                    message.fail(ActorExited(self.path, public, str(message)))
        # The table of names is the first watcher of an actor with a name, behind the groups.
        watchers, self.watchers = self.watchers, {}
        for notify in watchers.values():
            notify(self)
        self.waits.wake_phase_waiters()
        if not reason.quiet and not life.reported_elsewhere and not _is_ctrl_c(reason):
            if logs.counters:
                logs.count(logs.CRASHES, self.path)
            self._report(reason, left)
        # A Ref of a dead actor keeps only the exit reason alive.
        self.root = self.actor = None
        work.end()
        self.waits.end_loop()
        self._empty_frames(reason)

    def _empty_frames(self, reason: ExitReason) -> None:
        """Free what the traceback of a reported crash keeps alive."""
        # An error that is reported elsewhere is still raised, and keeps its frames.
        if reason.error is not None and not self.life.reported_elsewhere:
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


def _is_ctrl_c(reason: ExitReason) -> bool:
    """Return whether Ctrl-C has ended the actor: the main task gets the KeyboardInterrupt."""
    return has_keyboard_interrupt(reason.error) and sigint_raises()


def protect_methods(*kinds: type) -> None:
    """Protect the methods of classes from KeyboardInterrupt, which could leave them half done."""
    for kind in kinds:
        for method in vars(kind).values():
            if isinstance(method, FunctionType):
                trio.lowlevel.enable_ki_protection(method)


protect_methods(Mailbox, Request, Life, Work, Waits, CancelScopes, Process)


# The last message in the mailbox of an actor that drains.
DRAINED: Final[object] = object()

CURRENT: ContextVar[Process | None] = ContextVar("actor", default=None)

# The task in whose name another task sends, as that of a Portal does (`Server.caller`).
ON_BEHALF: ContextVar[Task] = ContextVar("on behalf")


# -- use from another thread or another `trio.run`

# trio can wake a task only from its own run. A message from elsewhere would not wake the actor, and
# the actor could not wake the sender.
_CURE = "use `okibi.actors.from_thread`, a Portal, or `trio.from_thread.run_sync`"


def check_same_run(process: Process, action: str) -> None:
    """Check that the current task and the actor belong to the same `trio.run`.

    A dead actor belongs to none, and may be used from anywhere.

    Raises:
        RuntimeError: the task and the actor belong to different runs.
    """
    try:
        here = current_root_task()
    except RuntimeError as no_run:
        raise wrong_run_error(process, action) from no_run
    if process.root is not here and process.root is not None:
        raise wrong_run_error(process, action)


def wrong_run_error(process: Process, action: str) -> RuntimeError:
    """Build the error for an action in another thread or another run."""
    return RuntimeError(
        f"{process.path}: {action} is impossible from another thread or `trio.run`: {_CURE}"
    )


def outside_run_error(action: str) -> RuntimeError:
    """Build the error for an action in a thread that runs no trio."""
    return RuntimeError(f"{action} is possible only inside `trio.run`: {_CURE}")
