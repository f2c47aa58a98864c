"""Addresses: what one calls, casts and sends to.

A message is a method of the receiver's class: `ref.call(Visits.visit, "bob")`. The type checker
sees the receiver's class, the arguments and the reply; there is no proxy to pretend that the
call is local, and no message class to keep in step with the method.

A `Ref` is one incarnation and stays dead when that has ended. A `Name` (`actors.names`) is looked
up at every send, so it survives restarts. Both are an `Address`.

A caller's time-out is trio's own: `with trio.fail_after(1): await ref.call(...)`.
"""

from collections.abc import Awaitable, Callable
from typing import Concatenate, Generic, ParamSpec, TypeVar, cast

from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    current_task,
)

from .exits import NO_PROCESS, SHUTDOWN, ActorExited, ExitReason, is_a
from .mailbox import MailboxFull, MailboxStatistics, WhenFull
from .pending import Pending
from .process import CURRENT, Phase, Process, logger
from .request import Asked, Request, message_name, shown
from .run_guard import elsewhere, refuse_elsewhere
from .wait_cycles import chain, circle, let_end, refuse_circle, refuse_own_end

A_co = TypeVar("A_co", covariant=True)
P = ParamSpec("P")
R = TypeVar("R")


class Address(Generic[A_co]):
    """Where an actor can be reached. Made by okibi: a Ref by `start`, a Name by you."""

    __slots__ = ()

    def process(self) -> Process:
        """The incarnation behind this address now.

        Raises:
            NoProcess: there is none.
        """
        raise NotImplementedError

    async def call(
        self,
        method: Callable[Concatenate[A_co, P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Have the actor run one of its methods, and wait for the reply (OTP: `gen_server:call`).

        It waits as long as it takes; limit it with `trio.fail_after`. A reply that comes after
        the caller has given up is dropped.

        Args:
            method: a public async method of the receiver's class.
            *args, **kwargs: what the method takes.

        Raises:
            ActorExited: the actor has ended, is ending, or ends before it replies; at once.
            NoProcess: nobody bears the name (`Name.waiting` waits for somebody).
            CallingSelf: the actor would wait for itself.
            CallCycle: it would wait for somebody who waits for it; `paths` says who.
            MailboxFull: the receiver's policy is to reject, or it dropped this call.
            Refusal: whichever the method raised.
            TypeError: `method` is no message, is bound to an object (write `Class.method`), the
                receiver is no Server, has none of that name, or it does not take these arguments.
        """
        await checkpoint_if_cancelled()
        process = self.process()
        if not process.answers:
            raise _no_server(process, method)
        caller, task = CURRENT.get(), current_task()
        request = Request(message_name(method), args, kwargs, caller, True, task)
        if caller is None or not caller.held_by(task):
            request.origin = task
            if not _deliver(process, request, "call"):
                await process.mailbox.wait_for_room(request)
            return cast("R", await request.reply())
        refuse_circle(caller, process, task, request, False)
        caller.begin_wait(task, process, request)
        try:
            if not _deliver(process, request, "call"):
                await process.mailbox.wait_for_room(request)
            return cast("R", await request.reply())
        finally:
            caller.end_wait(task, process)

    async def request(
        self,
        method: Callable[Concatenate[A_co, P], Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Pending[R]:
        """Ask now and take the reply later (OTP: `gen_server:send_request`).

        It waits only for room in the mailbox, not for the reply. The result says that the actor
        has ended before it replied. An actor that must not wait for the result monitors the
        Pending.

        Raises:
            ActorExited, NoProcess, MailboxFull: as `cast`.
            TypeError: `method` is no message, or the receiver is no Server.
        """
        process = self.process()
        if not process.answers:
            raise _no_server(process, method)
        request = Asked(message_name(method), args, kwargs, CURRENT.get(), True)
        if request.caller is None:
            _note_origin(request)
        await _send(process, request, "request")
        return Pending(process, request)

    async def cast(
        self,
        method: Callable[Concatenate[A_co, P], Awaitable[object]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Have the actor run one of its methods some time; wait only for room in its mailbox.

        Raises:
            ActorExited: the actor has ended or is ending (OTP would say nothing).
            NoProcess: nobody bears the name.
            MailboxFull: the receiver's policy is to reject; or it is this very actor and has no
                room; or it waits for this actor and holds twice its capacity already.
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
        """As `cast`, but never waits: no room is MailboxFull.

        Not from a `__del__`, nor from a weakref's callback: the garbage collector calls these in
        the middle of anything, of trio's own loop as well, which then loses whom it was to wake.
        Have it done there by `run_sync_soon` of a token that `trio.lowlevel.current_trio_token()`
        gave before, and let no ActorExited out of what that calls.

        Raises:
            RuntimeError: this is no thread that runs trio; see `from_thread` and `Portal`.
        """
        process = self.process()
        request = Request(message_name(method), args, kwargs, CURRENT.get(), False)
        if request.caller is None:
            _note_origin(request)
        if not _deliver(process, request, "cast"):
            raise MailboxFull(f"{process.path} has no room for {request}")

    async def send(self, message: object) -> None:
        """Send any value; a Server's `handle_info` is given it (OTP: `Pid ! Message`).

        Raises:
            ActorExited, NoProcess, MailboxFull: as `cast`.
        """
        await _send(self.process(), message, "send")

    def send_nowait(self, message: object) -> None:
        """As `send`, but never waits: no room is MailboxFull. Nor from a `__del__` (`cast_nowait`).

        Raises:
            RuntimeError: as `cast_nowait`.
        """
        process = self.process()
        if not _deliver(process, message, "send"):
            raise MailboxFull(f"{process.path} has no room for {shown(message)}")


class Ref(Address[A_co]):
    """One incarnation of an actor. Two Refs are equal when they mean the same incarnation."""

    __slots__ = ("_process",)

    def __init__(self, process: Process) -> None:
        self._process = process

    def process(self) -> Process:
        return self._process

    @property
    def path(self) -> str:
        """Where it stands in its tree."""
        return self._process.path

    @property
    def incarnation(self) -> int:
        """Which start of that place this is, from 1."""
        return self._process.incarnation

    @property
    def alive(self) -> bool:
        """Whether it can still be asked for something: started, not ending, not dead."""
        return self._process.phase is Phase.RUNNING and self._process.doom is None

    @property
    def reason(self) -> ExitReason | None:
        """Why it ended, None while it lives."""
        return self._process.reason

    def stop(self, reason: ExitReason = SHUTDOWN, *, grace: float | None = None) -> None:
        """Ask it to end; its grace begins, after which it is killed (OTP: `gen_server:stop/3`).

        It does not wait for the end; `okibi.actors.stop` does. NORMAL ends it as any reason does
        (OTP: `exit/2` with `normal` is ignored). Asked again, it keeps the first reason.

        Args:
            reason: what its `terminate`, its monitors and its supervisor are told.
            grace: seconds it has for that; its own, if left out. Asked more than once, by its
                supervisor too, it has until the first of these graces is over.

        Raises:
            TypeError: `reason` is no ExitReason.
            ValueError: `grace` is less than 0, or not a number.
            RuntimeError: this is no thread that runs trio, or another run of it;
                `trio.from_thread.run_sync(ref.stop)`.
        """
        refuse_elsewhere(self._process, "stop")
        self._process.stop(reason, grace)

    def send_nowait(self, message: object) -> None:
        # As any Address, without the question who that is: four of these are on an event's way.
        if not _deliver(self._process, message, "send"):
            raise MailboxFull(f"{self._process.path} has no room for {shown(message)}")

    @property
    def mailbox_statistics(self) -> MailboxStatistics:
        """How its mailbox stands now, read without asking it."""
        return self._process.mailbox.statistics()

    def kill(self) -> None:
        """Cut it off without `terminate` (OTP: `exit(Pid, kill)`).

        Raises:
            RuntimeError: as `stop`.
        """
        refuse_elsewhere(self._process, "kill")
        self._process.kill()

    async def wait(self) -> ExitReason:
        """Wait until it has ended, and say why; of one that has, also to who is cancelled.

        Raises:
            CallingSelf: an actor would wait for its own end.
            RuntimeError: as `stop`.
        """
        process, caller = self._process, CURRENT.get()
        refuse_elsewhere(process, "wait")
        if process is caller:
            # Of one that was asked to stop and does not drain, this is the end.
            await checkpoint_if_cancelled()
            refuse_own_end(process, current_task())
        elif caller is not None and process.doom is not None:
            let_end(process, caller, current_task())
        if process.phase is Phase.DEAD:
            # Others have their turn all the same: who asks in a loop must not keep them from it.
            await cancel_shielded_checkpoint()
        return await process.wait_dead()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ref) and other._process is self._process

    def __hash__(self) -> int:
        return hash(self._process)

    def __repr__(self) -> str:
        return f"<Ref {self.path} incarnation {self.incarnation} {self._process.phase.value}>"


def _deliver(process: Process, message: object, verb: str) -> bool:
    """Put it into the mailbox; False when the policy is to wait for room.

    Raises:
        ActorExited: nobody will read it.
        MailboxFull: the policy is to reject.
    """
    if process.doom is not None:
        raise ActorExited(process.path, process.doom, f"a {verb} of {shown(message)}")
    mailbox = process.mailbox
    if mailbox._reader is None:
        # Who wakes a reader is refused by trio; who does not would be heard by nobody.
        refuse_elsewhere(process, verb)
    try:
        dropped = mailbox.offer(message)
    except (RuntimeError, AssertionError) as error:
        # The latter where this thread has a run of its own.
        raise elsewhere(process, verb) from error
    except MailboxFull:
        if mailbox.policy.when_full is WhenFull.REJECT:
            full = f"{process.path} rejects {shown(message)}: its mailbox is full"
            raise MailboxFull(full) from None
        return False
    if dropped is not None:
        _drop(process, dropped)
    return True


def _note_origin(request: Request) -> None:
    """Note which task asks, where no actor does (`Server.caller`)."""
    try:
        task = current_task()
    except RuntimeError:
        # A callback of trio's asks, in which no task runs.
        return
    request.origin = task


def refuse_calls(process: Process) -> None:
    """Fail what an actor was called for before it was known to be no Server."""
    mailbox = process.mailbox
    if not mailbox.data and not mailbox._senders:
        # Nearly always, and a part of each start.
        return

    def refused(message: object) -> bool:
        if not is_a(message, Request) or not message.wanted:
            return False
        message.fail(_no_server(process, message.method))
        return True

    mailbox.turn_away(refused)


def _no_server(process: Process, method: object) -> TypeError:
    """Of a call that would wait for ever: no loop of okibi's answers it."""
    what = getattr(method, "__name__", method)
    return TypeError(
        f"{process.path} is no Server, so nobody would answer a call of {what}: derive it from "
        f"Server, or `send` what its `receive` is to give"
    )


def _drop(process: Process, message: object) -> None:
    """What becomes of a message that had to make room for a newer one."""
    if is_a(message, Request) and message.wanted:
        message.fail(MailboxFull(f"{process.path} dropped {message} for a newer message"))
    else:
        logger.warning("%s dropped %s: its mailbox is full", process.path, shown(message))


async def _send(process: Process, message: object, verb: str) -> None:
    await checkpoint_if_cancelled()
    if _deliver(process, message, verb):
        # Not a cancellable one: Cancelled would say that it has not been sent.
        await cancel_shielded_checkpoint()
        return
    if not await _room(process, message):
        reason = process.reason or NO_PROCESS
        raise ActorExited(process.path, reason, f"a {verb} of {shown(message)}")


async def _room(process: Process, message: object) -> bool:
    """Wait until the mailbox has taken it; False when it never will.

    Raises:
        MailboxFull: its actor waits for this one, and it holds twice its capacity already.
    """
    caller, task = CURRENT.get(), current_task()
    if caller is None or not caller.held_by(task):
        return await process.mailbox.wait_for_room(message)
    paths = circle(caller, process, task)
    if paths is not None:
        # The circle is made of calls. OTP would not wait for room, so this cast need not either.
        if process is not caller and process.mailbox.overfill(message):
            await cancel_shielded_checkpoint()
            return True
        what = shown(message)
        if process is caller:
            raise MailboxFull(f"{process.path} is full and would wait for itself to take {what}")
        who = chain(paths, "waits for")
        raise MailboxFull(f"{process.path} is full and would never take {what}: {who}")
    caller.begin_wait(task, process, None)
    try:
        return await process.mailbox.wait_for_room(message)
    finally:
        caller.end_wait(task, process)
