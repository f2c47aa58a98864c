"""Addresses: `call`, `cast` and `send`.

A message is a method of the receiver's class: `ref.call(Visits.visit, "bob")`. Type checkers see
the receiver's class, the arguments and the reply. Rejected: proxies, which make a remote call look
local, and message classes, which must be kept in step with the methods.

A `Ref` is one incarnation and stays dead when the incarnation has ended. A `Name` (`actors.names`)
is looked up at each send, so it survives restarts. Both are an `Address`.

A caller limits its wait with trio: `with trio.fail_after(1): await ref.call(...)`.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Concatenate, Generic, ParamSpec, TypeVar

from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    current_task,
    enable_ki_protection,
)

from . import logs
from .exits import NO_PROCESS, SHUTDOWN, ActorExited, ExitReason, is_a
from .life import Phase
from .mailbox import NEW_PEAK, NOTHING_DROPPED, MailboxFull, WhenFull
from .process import CURRENT, Process, check_same_run, logger, protect_methods, wrong_run_error
from .request import PendingRequest, Request, describe, message_name
from .safe_repr import class_name
from .wait_cycles import (
    fail_calls_that_block,
    find_cycle,
    format_chain,
    refuse_cycle,
    refuse_wait_for_own_end,
)

if TYPE_CHECKING:
    from .mailbox_statistics import MailboxStatistics
    from .pending import Pending

A_co = TypeVar("A_co", covariant=True)
P = ParamSpec("P")
R = TypeVar("R")


class Address(Generic[A_co]):
    """The address of an actor: base class of Ref and Name."""

    __slots__ = ()

    # Hidden from type checkers: they would accept any attribute.
    if not TYPE_CHECKING:  # pragma: no branch

        def __getattr__(self, name: str) -> object:
            """Say how to send a message, in place of `visits.visit()`."""
            kind = type(self).__name__
            how = (
                "" if name.startswith("_") else f"; a message is sent as in call(Class.{name}, ...)"
            )
            raise AttributeError(f"{kind!r} object has no attribute {name!r}{how}")

    def process(self) -> Process:
        """Return the process that the address leads to now.

        Raises:
            NoProcess: no actor has the name.
        """
        raise NotImplementedError

    async def call(
        self,
        method: Callable[Concatenate[A_co, P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run a method in the actor and wait for its result (OTP: `gen_server:call`).

            seen = await visits.call(Visits.visit, "bob")

        The wait has no limit (OTP: 5 s); use `trio.fail_after`. If the caller is cancelled, a reply
        that comes later is discarded.

        Args:
            method: a public async method of the receiver's class, written `Class.method`.
            *args: positional arguments of the method.
            **kwargs: keyword arguments of the method.

        Returns:
            The value that the method returned.

        Raises:
            ActorExited: the actor has ended, is ending, or ends before it replies.
            NoProcess: no actor has the name (`Name.waiting` waits for one).
            CallingSelf: an actor calls itself.
            CallCycle: the actors would wait for each other; `paths` names them.
            MailboxFull: the receiver's mailbox rejected the message, or dropped it for a newer one.
            Refusal: the method raised it.
            TypeError: `method` is private, a hook, or bound to an instance; or the receiver is no
                Server, has no such method, or the method does not accept the arguments.
        """
        await checkpoint_if_cancelled()
        process = self.process()
        if not process.work.answers_calls:
            raise _not_a_server_error(process, method)
        caller, task = CURRENT.get(), current_task()
        request = Request(message_name(method), args, kwargs, caller, True, task)
        reply: R
        if caller is None or not caller.waits.held_by(task):
            request.origin = task
            if not _deliver(process, request, "call"):
                await process.mailbox.wait_for_space(request)
            reply = await request.reply()
            return reply
        waits, callee = caller.waits, process.waits
        if waits is callee or (
            # An actor that is ending refuses the call at once: no cycle.
            waits.callers and callee.callees and process.life.ending_reason is None
        ):
            refuse_cycle(waits, callee, task, request)
        waits.begin(task, callee, request)
        try:
            if not _deliver(process, request, "call"):
                await process.mailbox.wait_for_space(request)
            reply = await request.reply()
            return reply
        finally:
            waits.end(task, callee)

    async def request(
        self,
        method: Callable[Concatenate[A_co, P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> "Pending[R]":
        """Send a call now and take its reply later (OTP: `gen_server:send_request`).

            pending = await visits.request(Visits.visit, "bob")
            seen = await pending.result()

        Waits only if the mailbox is full. An actor that must not wait for the result monitors the
        Pending.

        Args:
            method: a public async method of the receiver's class, written `Class.method`.
            *args: positional arguments of the method.
            **kwargs: keyword arguments of the method.

        Raises:
            ActorExited, NoProcess, MailboxFull: the message could not be sent (see `cast`). If the
                actor ends later, `result` raises ActorExited.
            TypeError: `method` is no message, or the receiver is no Server.
        """
        process = self.process()
        if not process.work.answers_calls:
            raise _not_a_server_error(process, method)
        request = PendingRequest(message_name(method), args, kwargs, CURRENT.get(), True)
        if request.caller is None:
            _note_origin(request)
        await _send(process, request, "request")
        # Imported here: few functions use one.
        from .pending import Pending

        return Pending(process, request)

    async def cast(
        self,
        method: Callable[Concatenate[A_co, P], Awaitable[object]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Run a method in the actor without waiting for it (OTP: `gen_server:cast`).

            await visits.cast(Visits.visit, "bob")

        Waits only if the mailbox is full. The method's result is discarded.

        Args:
            method: a public async method of the receiver's class, written `Class.method`.
            *args: positional arguments of the method.
            **kwargs: keyword arguments of the method.

        Raises:
            ActorExited: the actor has ended or is ending (OTP: no error).
            NoProcess: no actor has the name.
            MailboxFull: the mailbox is full, and one of these holds: its policy is REJECT; the
                receiver is the sender; the receiver waits for the sender, and the mailbox holds
                twice its capacity.
            TypeError: `method` is no message.
        """
        process = self.process()
        request = Request(message_name(method), args, kwargs, CURRENT.get(), False)
        if request.caller is None:
            _note_origin(request)
        await _send(process, request, "cast")

    def cast_nowait(
        self,
        method: Callable[Concatenate[A_co, P], Awaitable[object]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Like `cast`, but never waits. Use it in clean-up, where a cancelled task cannot wait:

            finally:
                LOCK.cast_nowait(Lock.release)

        While an exception is being handled, in `finally` or `except`, an ActorExited or MailboxFull
        is logged instead of raised: clean-up never hides the first error.

        Do not call it in `__del__` or in a weakref callback. The garbage collector runs these at
        any moment, in trio's loop too, and a task woken there is lost. Use the `run_sync_soon` of a
        `trio.lowlevel.current_trio_token()` instead, and catch ActorExited in the function that it
        runs.

        Raises:
            ActorExited, NoProcess, TypeError: the cast failed (see `cast`).
            MailboxFull: the mailbox is full, and its policy is not DROP_OLDEST.
            RuntimeError: this thread does not run trio; use `from_thread` or a `Portal`.
        """
        first = sys.exception()
        try:
            cast_now(self, method, args, kwargs)
        except (ActorExited, MailboxFull) as failure:
            if first is None:
                raise
            name, kind = message_name(method), class_name(type(first))
            logger.warning("a cast of %s() failed while %s was handled: %s", name, kind, failure)

    async def send(self, message: object) -> None:
        """Send a value (OTP: `Pid ! Message`). A Server gets it in `handle_info`.

        Args:
            message: any value.

        Raises:
            ActorExited, NoProcess, MailboxFull: the message could not be sent (see `cast`).
        """
        await _send(self.process(), message, "send")

    def send_nowait(self, message: object) -> None:
        """Like `send`, but never waits. Not for `__del__`, as `cast_nowait`.

        Raises:
            ActorExited, NoProcess, MailboxFull, RuntimeError: the message could not be sent (see
                `cast_nowait`).
        """
        process = self.process()
        if not _deliver(process, message, "send"):
            raise _mailbox_full(process, message)


def cast_now(
    address: Address[object],
    method: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> None:
    """Cast without waiting. Raises also where `cast_nowait` logs."""
    request = Request(message_name(method), args, kwargs, CURRENT.get(), False)
    if request.caller is None:
        _note_origin(request)
    process = address.process()
    if not _deliver(process, request, "cast"):
        raise _mailbox_full(process, request)


class Ref(Address[A_co]):
    """The address of one incarnation of an actor (OTP: pid). Returned by `start`.

    Once the actor has ended, every message raises ActorExited, also after a restart: use a Name to
    reach the next incarnation. Two Refs are equal if they are for the same incarnation.
    """

    __slots__ = ("_process",)

    def __init__(self, process: Process) -> None:
        self._process = process

    def process(self) -> Process:
        return self._process

    @property
    def path(self) -> str:
        """The actor's place in the supervision tree, `/function/visits`."""
        return self._process.path

    @property
    def incarnation(self) -> int:
        """The number of starts of the actor at this path, up to this start; from 1."""
        return self._process.incarnation

    @property
    def alive(self) -> bool:
        """Whether the actor accepts messages: started, and neither ending nor dead."""
        return (
            self._process.life.phase is Phase.RUNNING and self._process.life.ending_reason is None
        )

    @property
    def reason(self) -> ExitReason | None:
        """The reason for the end of the actor; None until `init` has failed or `run` has ended."""
        return self._process.life.reason

    def stop(self, reason: ExitReason = SHUTDOWN, *, grace: float | None = None) -> None:
        """Ask the actor to end; kill it when its grace is over (OTP: `gen_server:stop/3`).

        Returns at once; `okibi.actors.stop` waits for the end. NORMAL ends the actor like any other
        reason (OTP: `exit/2` with `normal` is ignored). A second stop keeps the first reason.

        Args:
            reason: the exit reason for `terminate`, the monitors and the supervisor.
            grace: seconds until the actor is killed. Default: the actor's own grace. Of several
                stops, the supervisor's included, the earliest end of a grace counts.

        Raises:
            TypeError: `reason` is no ExitReason.
            ValueError: `grace` is negative or NaN.
            RuntimeError: this thread runs no trio, or another `trio.run`; use
                `trio.from_thread.run_sync(ref.stop)`.
        """
        check_same_run(self._process, "stop")
        self._process.stop(reason, grace)

    def send_nowait(self, message: object) -> None:
        # Like Address.send_nowait, without the call of `process`: each event makes four sends.
        if not _deliver(self._process, message, "send"):
            raise _mailbox_full(self._process, message)

    @property
    def mailbox_statistics(self) -> "MailboxStatistics":
        """The numbers of messages and senders that wait. Read without a message to the actor."""
        return self._process.mailbox.statistics()

    def kill(self) -> None:
        """End the actor at its next checkpoint, without `terminate` (OTP: `exit(Pid, kill)`).

        Raises:
            RuntimeError: this thread runs no trio, or another `trio.run` (see `stop`).
        """
        check_same_run(self._process, "kill")
        self._process.kill()

    async def wait(self) -> ExitReason:
        """Wait until the actor has ended, and return why.

        If the actor has ended already, it returns the reason even in a cancelled scope.

        Raises:
            CallingSelf: an actor would wait for its own end.
            RuntimeError: this thread runs no trio, or another `trio.run` (see `stop`).
        """
        process, caller = self._process, CURRENT.get()
        check_same_run(process, "wait")
        if process is caller:
            # If the actor was asked to stop and does not drain, it ends here.
            await checkpoint_if_cancelled()
            refuse_wait_for_own_end(process.waits, current_task())
        elif caller is not None and process.life.ending_reason is not None:
            fail_calls_that_block(process.waits, caller.waits, current_task())
        if process.life.phase is Phase.DEAD:
            # A checkpoint, so that a loop around `wait` lets other tasks run.
            await cancel_shielded_checkpoint()
        return await process.wait_dead()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and other._process is self._process

    def __hash__(self) -> int:
        return hash(self._process)

    def __repr__(self) -> str:
        return f"<Ref {self.path} incarnation {self.incarnation} {self._process.life.phase.value}>"


protect_methods(Address, Ref)


@enable_ki_protection
def _deliver(process: Process, message: object, verb: str) -> bool:
    """Put a message into a mailbox. False if the mailbox is full and its policy is to block.

    Raises:
        ActorExited: the actor has ended or is ending.
        MailboxFull: the policy is REJECT.
    """
    life = process.life
    if life.ending_reason is not None:
        raise ActorExited(process.path, life.ending_reason, f"a {verb} of {describe(message)}")
    mailbox = process.mailbox
    if mailbox._reader is None:
        # With a waiting reader, trio raises in another run. Without one, nothing else would.
        check_same_run(process, verb)
    try:
        dropped = mailbox.offer(message)
    except (RuntimeError, AssertionError) as error:
        # AssertionError if this thread has a run of its own.
        raise wrong_run_error(process, verb) from error
    except MailboxFull:
        if mailbox.policy.when_full is WhenFull.REJECT:
            raise _mailbox_full(process, message) from None
        return False
    if dropped is NOTHING_DROPPED:
        return True
    if dropped is NEW_PEAK:
        logs.count(logs.MAILBOX_PEAK, process.path, mailbox.peak)
    else:
        _report_dropped(process, dropped)
    return True


def _mailbox_full(process: Process, message: object) -> MailboxFull:
    logs.count(logs.REFUSED_MESSAGES, process.path)
    return MailboxFull(f"{process.path} cannot take {describe(message)}: its mailbox is full")


def _note_origin(request: Request) -> None:
    """Note the sending task of a request that no actor sends (`Server.caller`)."""
    try:
        task = current_task()
    except RuntimeError:
        # A callback of trio's, in which no task runs.
        return
    request.origin = task


def refuse_calls(process: Process) -> None:
    """Fail the calls that came before the actor was made, because it is no Server."""
    mailbox = process.mailbox
    if not mailbox.data and not mailbox.blocked_senders:
        # Nearly always; runs at each start.
        return

    def refused(message: object) -> bool:
        if not is_a(message, Request) or not message.wanted:
            return False
        message.fail(_not_a_server_error(process, message.method))
        return True

    mailbox.remove_data(refused)


def _not_a_server_error(process: Process, method: object) -> TypeError:
    """Build the error for a call that would wait for ever, because no loop answers it."""
    name = getattr(method, "__name__", method)
    return TypeError(
        f"{process.path} is no Server and would never answer a call of {name}: derive its class "
        f"from Server, or use `send`"
    )


def _report_dropped(process: Process, message: object) -> None:
    """Fail a call that was dropped for a newer message; log any other message."""
    logs.count(logs.REFUSED_MESSAGES, process.path)
    if is_a(message, Request) and message.wanted:
        message.fail(MailboxFull(f"{process.path} dropped {message} for a newer message"))
    else:
        logger.warning("%s dropped %s: its mailbox is full", process.path, describe(message))


async def _send(process: Process, message: object, verb: str) -> None:
    await checkpoint_if_cancelled()
    if _deliver(process, message, verb):
        # Not cancellable: Cancelled would mean that the message was not sent.
        await cancel_shielded_checkpoint()
        return
    if not await _wait_for_space(process, message):
        reason = process.life.reason or NO_PROCESS
        raise ActorExited(process.path, reason, f"a {verb} of {describe(message)}")


async def _wait_for_space(process: Process, message: object) -> bool:
    """Wait until the mailbox has taken a message. False if the actor has ended.

    Raises:
        MailboxFull: the receiver waits for this actor, and its mailbox has twice its capacity.
    """
    caller, task = CURRENT.get(), current_task()
    if caller is None or not caller.waits.held_by(task):
        return await process.mailbox.wait_for_space(message)
    paths = find_cycle(caller.waits, process.waits, task)
    if paths is not None:
        # A cycle of calls: the receiver cannot read its mailbox. OTP's cast would not wait for
        # space, so put the message in beyond the capacity.
        if process is not caller and process.mailbox.put_beyond_capacity(message):
            await cancel_shielded_checkpoint()
            return True
        full = _mailbox_full(process, message)
        if process is caller:
            raise MailboxFull(f"{full}, and the actor would wait for itself")
        raise MailboxFull(f"{full}, and would never empty: {format_chain(paths, 'waits for')}")
    caller.waits.begin(task, process.waits, None)
    try:
        return await process.mailbox.wait_for_space(message)
    finally:
        caller.waits.end(task, process.waits)
