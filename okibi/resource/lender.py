"""The actor that lends a resource.

Theory of operation. `lending` decides; a Lender performs each command in a task of its own nursery:

    Open     a task for each generation: opens, waits until the generation retires and its loans
             have ended, closes
    Check    a task in the generation's nursery
    Lend     a task in the generation's nursery: enters the context manager of `lend`, answers the
             borrower, waits for the return, exits the context manager

So a loan outlives its borrower. The borrower's deadline or kill never cuts an exit short: a
rollback ends, and is bounded by LIMIT when no borrower waits for it. Enter and exit of a context
manager run in one task on trio, in two on asyncio. Context variables of one event, such as a
tenant, never reach what all share. A stop or a kill of the Lender cancels the tasks; each
generation closes after its loans.

A borrower returns by a message. The Lender also monitors the borrower's event or actor: what ends
without a return, for example a `def` whose thread never ends, has its loan ended.

Rejected: state that borrowers change themselves, as with Cached. What is lent needs an owner that
outlives the borrowers, and a place in the tree where it closes after them.
"""

import math
import random
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Protocol

import attrs
import trio
from outcome import Error, Value

from ..actors import NO_REPLY, Down, Refusal, Reply, Server, logs
from ..actors.calling_event import CallingEvent
from ..actors.freezes import ClockReadings, current_monitors
from ..actors.loops import Runner, runner
from ..actors.mailbox import MailboxPolicy
from ..actors.monitors import Monitor
from ..actors.ref import Ref
from ..actors.safe_repr import class_name, error_text
from ..actors.timers import Timer
from . import lending
from .lending import (
    Borrower,
    Check,
    Command,
    Decision,
    End,
    Lend,
    Open,
    Phase,
    Refuse,
    Retire,
    Rules,
    State,
    Why,
)

logger = logs.logger("okibi")

Result = Value[Any] | Error

# Seconds for a check, for a close, and for the exit of a context manager without a borrower. Each
# takes a healthy server milliseconds.
LIMIT = 1.0


class LendError(Refusal):
    """Nothing was lent: the text says why and what would help.

    The `__cause__` is the exception of `open`, if one is the reason.
    """


class BorrowerEnded(Exception):
    """A borrower ended without a return. The context manager of `lend` gets it."""


@attrs.frozen
class Client:
    """The functions of a resource, which run on `loop`; see Resource."""

    open: Callable[[], Awaitable[Any]]
    lend: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None
    close: Callable[[Any], Awaitable[object]] | None = None
    check: Callable[[Any], Awaitable[object]] | None = None
    loop: str | None = None


class Lendable(Protocol):
    """The part of a Resource that its Lender uses; the next opening uses what `client` is then."""

    client: Client
    rules: Rules


class Loan:
    """One loan, from the borrower's question to the end of what it held.

    Attributes:
        task: the task that borrows.
        error: what left the borrower's block; None if nothing did.
        returned: set when the borrower has left.
        ended: set when the context manager has exited.
        outcome: of the exit: whether the borrower's exception is suppressed.
    """

    __slots__ = (
        "ended", "entering", "error", "exit_scope", "holder", "monitor", "outcome", "reply",
        "returned", "task",
    )  # fmt: skip

    def __init__(self, task: object) -> None:
        self.task = task
        self.holder = "?"
        self.error: BaseException | None = None
        self.returned = trio.Event()
        self.ended = trio.Event()
        self.outcome: Result = Value(False)
        self.reply: Reply[Any] | None = None
        self.monitor: Monitor | None = None
        # Cancelled when the borrower leaves before it has got anything.
        self.entering = trio.CancelScope()
        self.exit_scope = trio.CancelScope(shield=True)

    def give_back(self, error: BaseException | None) -> None:
        """Note that the borrower has left; the second time, that it has stopped to wait."""
        if self.returned.is_set():
            self.limit_exit()
            return
        self.error = error
        self.returned.set()
        self.entering.cancel()
        if error is not None and not isinstance(error, Exception):
            self.limit_exit()

    def limit_exit(self) -> None:
        """Bound the exit: no borrower waits for it."""
        self.exit_scope.deadline = min(self.exit_scope.deadline, trio.current_time() + LIMIT)


class Generation:
    """What one opening has brought.

    Attributes:
        client: the functions that have opened it, and serve it to its end.
        opening: cancels the opening.
        retired: set when no more is lent of it.
        value: what `open` has returned.
        nursery: the tasks of its loans and checks.
    """

    __slots__ = ("client", "nursery", "opening", "retired", "run", "value")

    value: Any
    nursery: trio.Nursery

    def __init__(self, client: Client) -> None:
        self.client = client
        self.run: Runner = runner(client.loop)
        self.opening = trio.CancelScope()
        self.retired = trio.Event()

    def retire(self) -> None:
        """Lend no more, and close when the loans have ended."""
        self.opening.cancel()
        self.retired.set()


class Lender(Server):
    """Lends a resource. `Child(DATABASE)` makes one; borrowers use `DATABASE.lend()`."""

    __slots__ = (
        "_clocks", "_error", "_generations", "_monitors", "_nursery", "_resource",
        "_state", "_timer",
    )  # fmt: skip

    # A return must never be refused: it is sent by clean-up, which cannot wait.
    mailbox = MailboxPolicy(capacity=sys.maxsize)

    _nursery: trio.Nursery

    def __init__(self, resource: Lendable) -> None:
        self._resource = resource
        self._state = State()
        self._clocks = current_monitors()
        self._generations = dict[int, Generation]()
        self._monitors = dict[Monitor, Loan]()
        self._timer: Timer | None = None
        # Of the last opening that failed.
        self._error: BaseException | None = None

    # -- messages

    async def borrow(self, loan: Loan, until: float) -> Any:
        """Lend to the caller, or raise LendError; the reply is what was lent."""
        caller = self.caller
        holder: Any = caller
        loan.holder = caller.path
        if isinstance(caller, CallingEvent | Ref):
            loan.monitor = self.monitor(caller)
            self._monitors[loan.monitor] = loan
        loan.reply = self.reply_later()
        borrower = Borrower(loan, holder, loan.task, until)
        self._act(lending.ask(self._resource.rules, self._state, borrower, self._now()))
        state = self._state
        waits = bool(state.waiting) and state.waiting[-1] is borrower
        if waits and len(state.lent) >= self._resource.rules.connections:
            logs.count(logs.POOL_WAITS, self.path)
        return NO_REPLY

    async def give_back(self, loan: Loan, error: BaseException | None) -> None:
        """Take back what was lent. A borrower that still waits leaves."""
        self._take_back(loan, error)

    async def handle_info(self, message: object) -> None:
        if isinstance(message, Down):
            loan = self._monitors.get(message.monitor)
            if loan is not None:
                ended = BorrowerEnded(f"{loan.holder} ended and had not returned {self._resource}")
                self._take_back(loan, ended)
        elif message is self:
            self._timer = None
            self._act(lending.settle(self._resource.rules, self._state, self._now()))
        else:
            await super().handle_info(message)

    async def run(self) -> None:
        async with trio.open_nursery() as self._nursery:
            try:
                await super().run()
            finally:
                for each in self._state.lent:
                    loan: Any = each.loan
                    loan.limit_exit()
            self._nursery.cancel_scope.cancel()

    def _take_back(self, loan: Loan, error: BaseException | None) -> None:
        loan.give_back(error)
        if any(each.loan is loan for each in self._state.waiting):
            if isinstance(error, BorrowerEnded) and loan.reply is not None:
                # A task that the event has left behind.
                loan.reply.fail(LendError(f"{self._resource}: {error}, and this task still waits"))
            self._finish(loan, End.RETURNED)
        else:
            self._state = lending.give_back(self._state, loan)

    # -- decisions

    def _now(self) -> ClockReadings:
        return self._clocks.read_clocks()

    def _act(self, decision: Decision) -> None:
        self._state, commands = decision
        for command in commands:
            self._perform(command)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake = lending.next_wake(self._resource.rules, self._state)
        if wake < math.inf:
            self._timer = self.send_after(max(0.0, wake - trio.current_time()), self)

    def _perform(self, command: Command) -> None:
        match command:
            case Open(number):
                opening = self._generations[number] = Generation(self._resource.client)
                self._nursery.start_soon(self._keep, number, opening)
            case Check(number):
                generation = self._generations[number]
                generation.nursery.start_soon(self._check, number, generation)
            case Retire(number):
                self._generations.pop(number).retire()
            case Lend(borrower):
                generation = self._generations[borrower.generation]
                generation.nursery.start_soon(self._hold, borrower, generation)
            case Refuse(borrower, why, state):
                self._refuse(borrower, why, state)

    def _refuse(self, borrower: Borrower, why: Why, state: State) -> None:
        loan: Any = borrower.loan
        error = LendError(self._explain(borrower, why, state))
        if why in (Why.FAILED, Why.AWAY):
            error.__cause__ = self._error
        self._forget(loan)
        loan.reply.fail(error)

    def _forget(self, loan: Loan) -> None:
        if loan.monitor is not None:
            self._monitors.pop(loan.monitor, None)
            loan.monitor.demonitor()

    def _finish(self, loan: Loan, end: End) -> None:
        """End a loan, and go on without it."""
        self._forget(loan)
        self._act(lending.leave(self._resource.rules, self._state, loan, end, self._now()))

    # -- tasks

    async def _keep(self, number: int, generation: Generation) -> None:
        """Open a generation, keep it for its loans, and close it."""
        result: Result | None = None
        with generation.opening:
            result = await _capture(generation.run, generation.client.open)
        if result is None:
            return
        if isinstance(result, Error):
            self._error = result.error
            if self._state.failures == 0:
                logger.warning("%s cannot be opened: %s", self._resource, self._why_not_open())
            self._act(lending.failed(self._state, number, self._now(), random.random()))
            return
        generation.value, value = result.value, result.value
        try:
            async with trio.open_nursery() as generation.nursery:
                if not generation.retired.is_set():
                    if self._error is not None:
                        self._error = None
                        logger.warning("%s is open again", self._resource)
                    now = self._now()
                    self._act(lending.opened(self._resource.rules, self._state, number, now))
                await generation.retired.wait()
        finally:
            await self._close(generation, value)

    async def _close(self, generation: Generation, value: Any) -> None:
        close = generation.client.close
        if close is None:
            return
        with trio.CancelScope(shield=True, deadline=trio.current_time() + LIMIT) as limit:
            result = await _capture(generation.run, lambda: close(value))
            if isinstance(result, Error):
                logger.warning("%s: its close failed: %s", self._resource, _why(result.error))
        if limit.cancelled_caught:
            logger.warning("%s: its close was cancelled after %g s", self._resource, LIMIT)

    async def _check(self, number: int, generation: Generation) -> None:
        check = generation.client.check
        result: Result = Value(True)
        with trio.move_on_after(LIMIT) as limit:
            if check is not None:
                result = await _capture(generation.run, lambda: check(generation.value))
        good = (
            not limit.cancelled_caught and isinstance(result, Value) and result.value is not False
        )
        self._act(lending.checked(self._resource.rules, self._state, number, good, self._now()))

    async def _hold(self, borrower: Borrower, generation: Generation) -> None:
        """Hold a loan for its borrower."""
        loan: Any = borrower.loan
        end = End.FAILED
        try:
            end = await self._lend(loan, borrower, generation)
        finally:
            loan.ended.set()
            # The error's frames refer to the loan.
            loan.error = None
            self._finish(loan, end)

    async def _lend(self, loan: Loan, borrower: Borrower, generation: Generation) -> End:
        lend = generation.client.lend
        manager: AbstractAsyncContextManager[Any]
        manager = nullcontext(generation.value) if lend is None else lend(generation.value)
        assert loan.reply is not None
        entered: Result | None = None
        loan.entering.deadline = borrower.until
        with loan.entering:
            entered = await _capture(generation.run, manager.__aenter__)
        if entered is None:
            # The borrower has left, or its time has come: enter did not end.
            loan.reply.fail(LendError(f"{self._resource}: a connection of its pool came too late"))
            return End.RAISED
        if isinstance(entered, Error):
            loan.reply.fail(entered.error)
            return End.FAILED
        loan.reply.send(entered.value)
        try:
            await loan.returned.wait()
        finally:
            if not loan.returned.is_set():
                loan.give_back(BorrowerEnded(f"{self._resource} ends"))
                loan.limit_exit()
            end = await self._exit(loan, manager, generation)
        return end

    async def _exit(
        self, loan: Loan, manager: AbstractAsyncContextManager[Any], generation: Generation
    ) -> End:
        error = loan.error
        trace = None if error is None else error.__traceback__
        loan.outcome = Error(BorrowerEnded(f"{self._resource} did not take back what it had lent"))
        with loan.exit_scope:
            result = await _capture(
                generation.run,
                lambda: manager.__aexit__(None if error is None else type(error), error, trace),
            )
            if isinstance(result, Error) and result.error is not error:
                loan.outcome = result
                return End.FAILED
            suppressed = isinstance(result, Value) and bool(result.value)
            # A borrower that still runs must not take its end for a success.
            cut = error if isinstance(error, BorrowerEnded) else None
            loan.outcome = Value(suppressed) if cut is None else Error(cut)
            return End.RETURNED if error is None else End.RAISED
        return End.FAILED

    # -- errors

    def _explain(self, borrower: Borrower, why: Why, state: State) -> str:
        resource, now = self._resource, self._now()
        match why:
            case Why.NESTED:
                return (
                    f"{resource}: this task holds one already and would wait for itself: pass what "
                    "was lent to the code that needs it"
                )
            case Why.FAILED:
                return f"{resource} cannot be opened: {self._why_not_open()}"
            case Why.AWAY:
                seconds = state.next_try - now.trio
                return (
                    f"{resource} cannot be opened, and is tried again in {seconds:.1f} s: "
                    f"{self._why_not_open()}"
                )
            case Why.LATE:
                return self._explain_late(borrower, state, now)

    def _why_not_open(self) -> str:
        why = _why(self._error)
        needs_asyncio = "event loop" in why or "unrecognized yield message" in why
        if needs_asyncio and self._resource.client.loop is None:
            why += ': write Resource(..., loop="asyncio") for a client of asyncio'
        return why

    def _explain_late(self, borrower: Borrower, state: State, now: ClockReadings) -> str:
        resource, limit = self._resource, self._resource.rules.connections
        own = next((each for each in state.lent if each.holder == borrower.holder), None)
        if own is not None:
            seconds = lending.seconds_between(own.since, now)
            return (
                f"{resource}: {_holder(own)} holds one for {seconds:.1f} s, and gets one at a "
                "time: pass on what was lent, or return it before more is asked for"
            )
        if len(state.lent) < limit:
            doing = "checked" if state.phase is Phase.CHECKING else "opened"
            return f"{resource} was not {doing} in time: is its server slow, or out of reach?"
        held = ", ".join(
            f"{_holder(each)} for {lending.seconds_between(each.since, now):.1f} s"
            for each in state.lent[:5]
        )
        return (
            f"{resource}: none of {limit} was free in time: {held}. Return each before other "
            f"work is waited for, or set more than connections={limit} if the server has as many "
            "to spare for each sandbox"
        )


def _holder(borrower: Borrower) -> str:
    loan: Any = borrower.loan
    return str(loan.holder)


async def _capture(run: Runner, function: Callable[[], Awaitable[Any]]) -> Result:
    """Run the user's function. Only a cancellation passes; an error is a value."""
    try:
        return Value(await run(function))
    except trio.Cancelled:
        raise
    except BaseException as error:
        # Also SystemExit: no function of a client ends the process.
        return Error(error)


def _why(error: BaseException | None) -> str:
    """Return type and text of an error in one line."""
    text = "" if error is None else " ".join(error_text(error).split())
    return f"{class_name(type(error))}: {text}".removesuffix(": ")
