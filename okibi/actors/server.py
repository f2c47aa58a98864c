"""A server: an actor whose public async methods are its messages (OTP: `gen_server`)."""

import enum
import math
from collections.abc import Callable, Mapping
from inspect import isawaitable, isdatadescriptor
from typing import TYPE_CHECKING, Any, ClassVar, cast

import trio
from trio.lowlevel import current_clock

from .actor import Actor
from .exits import Refusal, crash_in, is_a
from .hook_errors import awaited, no_async
from .process import LAST, ON_BEHALF, Process, logger
from .ref import Ref
from .reply import NO_REPLY, Reply
from .request import Request, shown
from .safe_repr import misplaced, said
from .signatures import bind
from .system import SystemMessage, nudge

if TYPE_CHECKING:
    from .callers import CallingTask

# As an object: compared with a Never, every answer would be one to the type checkers.
_NO_REPLY: object = NO_REPLY


class WhenStopped(enum.Enum):
    """What a server that is asked to stop does with the messages that wait."""

    CUT = "cut"
    DRAIN = "drain"


class Server(Actor):
    """State in fields, messages as methods, one message at a time.

    >>> import attrs, trio
    >>> from okibi.actors import Server, start
    >>> @attrs.define(eq=False)
    ... class Visits(Server):
    ...     seen: dict[str, int] = attrs.Factory(dict)
    ...     async def visit(self, name: str) -> int:
    ...         self.seen[name] = self.seen.get(name, 0) + 1
    ...         return self.seen[name]
    >>> async def main():
    ...     async with trio.open_nursery() as nursery:
    ...         visits = await start(nursery, Visits)
    ...         await visits.call(Visits.visit, "bob")
    ...         print(await visits.call(Visits.visit, "bob"))
    ...         visits.stop()
    >>> trio.run(main)
    2

    An exception that leaves a method ends the server, and the caller is told by ActorExited:
    its supervisor starts a fresh one. What a caller is expected to handle belongs in the reply.
    A message that fits no method (an unknown name, wrong arguments, a method that is not async)
    is the caller's mistake: the caller gets a TypeError, and the server lives.

    A method may also answer with an error of its own making: a `Refusal` is raised in the caller.
    One that cannot answer yet takes its reply along (`reply_later`) and returns NO_REPLY. One that
    is done with this life raises `Exit`, with a last reply or without.

    How a living one is looked into, made to wait and traced: `actors.debug` (OTP: `sys`).

    Attributes:
        when_stopped: what becomes of the messages that wait when it is asked to stop.
            CUT, the default, cancels it at its next checkpoint, as trio does and as OTP does with
            a server that does not trap exits, but that `terminate` still runs: it fits the little
            time that Lambda gives a sandbox to end. DRAIN lets it handle what waits, then runs
            `terminate` (OTP: `trap_exit`). In both cases the grace ends it.
        skip_abandoned_calls: whether a call whose caller has given up is not begun any more. OTP
            begins it, and so does okibi by default: a caller that timed out cannot know.
    """

    __slots__ = ()

    when_stopped: ClassVar[WhenStopped] = WhenStopped.CUT
    skip_abandoned_calls: ClassVar[bool] = False
    _answers: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        when = cast("object", cls.when_stopped)
        # A property's word, or a field's, is each instance's own.
        if not isinstance(when, WhenStopped) and not isdatadescriptor(when):
            # Taken for CUT, it would be noticed when what waits is lost.
            raise TypeError(f"{cls.__name__}: when_stopped is a WhenStopped, not {misplaced(when)}")

    # -- to override

    async def handle_info(self, message: object) -> None:
        """Take what is no method: a `Down`, a timer's message, TIMEOUT, what `send` brought.

        Override it where such messages are expected; this one logs them and goes on
        (OTP: an unexpected message is a warning).
        """
        logger.warning("%s has no handle_info and was sent %s", self._process.path, shown(message))

    async def handle_continue(self, continuation: Any) -> None:
        """Go on with what `continue_with` was given, before the mailbox gets its turn."""
        raise NotImplementedError(f"{type(self).__name__} needs a `handle_continue`")

    # -- to use inside

    def continue_with(self, continuation: object) -> None:
        """Have `handle_continue` run next (OTP: `{continue, Term}`).

        In `init` it is the way to be ready at once and finish getting ready right after: whoever
        starts this server waits no longer, and no message is served before it.
        """
        process = self._process
        if process.continuations is None:
            process.continuations = []
        process.continuations.append(continuation)
        if process.mailbox.waited_at:
            # Asked for by a task beside the loop, which waits for a message: this is one.
            process.mailbox.post(nudge())

    def timeout_after(self, seconds: float) -> None:
        """Give `handle_info` TIMEOUT if no message comes within `seconds` (OTP: `Timeout`).

        Whatever message comes first ends that wait: it is asked for anew each time. A request of
        module `debug` is no message: it neither ends nor restarts that wait (OTP: restarts it).

        Raises:
            ValueError: `seconds` is not a number.
        """
        if seconds != seconds:
            raise ValueError(f"{self._process.path}: no message cannot come within {seconds} s")
        self._process.mailbox.time_out_at(trio.current_time() + seconds)

    def reply_later(self) -> Reply[Any]:
        """Take along the reply to the call that is being handled, and return NO_REPLY.

        >>> import trio, trio.testing
        >>> from okibi.actors import NO_REPLY, Reply, Server, start
        >>> class Kitchen(Server):
        ...     async def order(self, dish: str) -> str:
        ...         reply: Reply[str] = self.reply_later()
        ...         self.send_after(60, (reply, f"{dish}, hot"))
        ...         return NO_REPLY
        ...     async def handle_info(self, message):
        ...         reply, dish = message
        ...         reply.send(dish)
        >>> async def main():
        ...     async with trio.open_nursery() as nursery:
        ...         kitchen = await start(nursery, Kitchen)
        ...         print(await kitchen.call(Kitchen.order, "soup"))
        ...         kitchen.stop()
        >>> trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        soup, hot

        Raises:
            RuntimeError: no call is being handled, or its reply has been taken along already.
        """
        process, request = self._process, self._process.current
        if is_a(request, Request):
            if request.deferred:
                # A second one that is lost would tell the caller that the reply is.
                raise RuntimeError(f"{process.path}: the reply to {request} was taken along before")
            return Reply(process, request)
        raise RuntimeError(f"{process.path}: no call is being handled{_only(request)}")

    @property
    def caller(self) -> "Ref[Any] | CallingTask":
        """Who has asked for what is being handled now (OTP: the pid in `From`).

        The Ref of the actor; or, of a task outside any actor, a CallingTask. Both have a `path`,
        can be compared, and monitored: a server that gives something away is told when the client
        that has it dies.

        >>> import trio, trio.testing
        >>> from okibi.actors import Server, start
        >>> class Desk(Server):
        ...     async def take(self) -> None:
        ...         print("taken by", self.caller.path)
        ...         self.monitor(self.caller)
        ...     async def handle_info(self, message):
        ...         print("back from", message.path)
        >>> class Client(Server):
        ...     async def take(self) -> None:
        ...         await desk.call(Desk.take)
        >>> async def main():
        ...     global desk
        ...     async with trio.open_nursery() as nursery:
        ...         desk = await start(nursery, Desk)
        ...         client = await start(nursery, Client, path="bob")
        ...         await client.call(Client.take)
        ...         client.kill()
        ...         await client.wait()
        ...         await trio.testing.wait_all_tasks_blocked()
        ...         desk.stop()
        >>> trio.run(main)
        taken by bob
        back from bob

        Whose a message is: of tasks that an actor has started, the actor's. Of a thread's, by
        `from_thread`, that of the task or actor that waits for the thread. Of one through a
        `Portal`, that of the task or actor that has made the Portal. In a handler of a Lambda
        function, on asyncio too, the caller is the worker, which outlives the event: give back
        what an event has taken with `with` or `finally`.

        Raises:
            RuntimeError: no call and no cast is being handled: what `send`, timers and monitors
                bring has no caller.
        """
        process, request = self._process, self._process.current
        if is_a(request, Request):
            if isinstance(request.caller, Process):
                return Ref(request.caller)
            from .callers import CallingTask

            task = getattr(request, "origin", None)
            return CallingTask(task and task.context.get(ON_BEHALF, task))
        raise RuntimeError(f"{process.path}: no call or cast is being handled{_only(request)}")

    # -- its loop

    async def run(self) -> None:
        process = self._process
        process.turn_to_mailbox()
        process.drains = self.when_stopped is WhenStopped.DRAIN
        mailbox, clock = process.mailbox, current_clock()
        me: Any = self
        while True:
            if process.continuations:
                await self._continue()
            message = await mailbox.receive()
            if message is LAST:
                return
            if mailbox.idle != math.inf and not is_a(message, SystemMessage):
                mailbox.idle = math.inf
            process.current = message
            process.since = clock.current_time()
            if is_a(message, Request):
                await self._serve(message)
            elif is_a(message, SystemMessage):
                # While it is debugged it is served by another loop: this one must not pay for it.
                process.current = None
                if await message.perform(self):
                    return
            else:
                handled = me.handle_info(message)
                if handled is None:
                    raise no_async(self, "handle_info")
                await handled
            process.current = message = None

    async def _continue(self) -> None:
        """Go on, and with what that wants to go on with, however long that takes."""
        process = self._process
        while process.continuations:
            process.current = process.continuations.pop(0)
            await awaited(self.handle_continue(process.current), self, "handle_continue")
            process.current = None
            await trio.lowlevel.checkpoint()

    async def _serve(self, request: Request) -> Exception | None:
        """Run the method that it names; give the error that it was refused with, if it was."""
        if request.abandoned and self.skip_abandoned_calls:
            return None
        method = getattr(self, request.method, None)
        if method is None:
            return self._refuse(request, f"has no {request.method}")
        try:
            reply = method(*request.args, **request.kwargs)
        except TypeError as mistake:
            if _fits(method, request.args, request.kwargs):
                raise
            advice = _advice(method, request)
            return self._refuse(request, f"cannot take this: {said(mistake)}{advice}")
        if not hasattr(reply, "__await__") and not isawaitable(reply):
            return self._refuse(request, f"has a {request.method}, but it is no async method")
        try:
            answer = await reply
        except BaseException as error:
            if is_a(error, TypeError) and not _fits(method, request.args, request.kwargs):
                # What decorates it takes anything, and has found out only now.
                advice = _advice(method, request)
                return self._refuse(request, f"cannot take this: {said(error)}{advice}")
            # A nursery that the method has opened wraps it, and puts Cancelled beside it, of which
            # the loop hears again. In no variable that outlives this block, as its traceback holds
            # this frame.
            if not is_a(crash_in(error), Refusal):
                raise
            return self._refused(request, cast("Refusal", crash_in(error)))
        if answer is not _NO_REPLY:
            request.answer(answer)
        elif request.waited_for and not request.deferred:
            path = self._process.path
            raise TypeError(f"{path}: {request.method} gave NO_REPLY without reply_later")
        return None

    def _refuse(self, request: Request, why: str) -> Exception:
        """Send a mistake of the caller's back: this server need not die for it."""
        mistake = TypeError(f"{self._process.path} ({type(self).__name__}) {why}")
        if not request.wanted:
            logger.error("%s, and was asked for %s", mistake, request)
        request.fail(mistake)
        return mistake

    def _refused(self, request: Request, refusal: Refusal) -> Exception:
        if not request.wanted:
            # Late: a start does not need it.
            from .status import show

            told = show(self, request, reason=refusal)
            logger.warning("%s refused %s: %s", self._process.path, told["message"], told["reason"])
        request.fail(refusal)
        return refusal


def _fits(
    method: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> bool:
    """Whether a method can take what it is given. Asked only when it has raised TypeError."""
    try:
        bind(method, *args, **kwargs)
    except TypeError:
        return False
    return True


def _only(current: object) -> str:
    return "" if current is None else f", only {shown(current)}"


def _advice(method: Callable[..., object], request: Request) -> str:
    """What to write instead of `timeout=`, if that is the only argument too much."""
    others = {name: value for name, value in request.kwargs.items() if name != "timeout"}
    if len(others) == len(request.kwargs) or not _fits(method, request.args, others):
        return ""
    return "; a time limit is the caller's: `with trio.fail_after(seconds):`"
