"""Server: an actor whose public async methods are its messages (OTP: `gen_server`)."""

import enum
import gc
import math
from collections.abc import Awaitable, Callable, Mapping
from inspect import (
    CO_ASYNC_GENERATOR,
    CO_COROUTINE,
    CO_ITERABLE_COROUTINE,
    isawaitable,
    iscoroutinefunction,
    isdatadescriptor,
)
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import attrs
import trio
from trio.lowlevel import current_clock

from .actor import Actor, private_names, refuse_private_names
from .exits import Exit, Refusal, crash_in, is_a
from .hook_errors import not_async_error, require_awaitable
from .process import DRAINED, ON_BEHALF, Process, logger
from .ref import Ref
from .reply import NO_REPLY, Reply
from .request import NOT_MESSAGES, Request, describe
from .safe_repr import describe_value, error_text
from .signatures import annotations_as_text, bind
from .system_messages import SystemMessage, make_wake_up

if TYPE_CHECKING:
    from .callers import Caller
    from .calling_event import CallingEvent
    from .loops import LoopName

ASYNC_HOOKS: Final = frozenset({"handle_continue", "handle_info", "init", "terminate"})

# Typed as object: a type checker would take the code after a comparison with Never for unreachable.
_NO_REPLY: object = NO_REPLY


class WhenStopped(enum.Enum):
    """The rule for the messages that wait in the mailbox of a stopped server.

    CUT cancels the server at its next checkpoint; the calls that wait raise ActorExited. DRAIN
    handles the messages first.
    """

    CUT = "cut"
    DRAIN = "drain"


class Server(Actor):
    """An actor that handles one message at a time. Its public async methods are the messages.

    The fields of a server are its state. Other tasks do not touch them; they send messages:

    >>> import attrs, trio
    >>> from okibi.actors import Server, start
    >>> @attrs.define(eq=False)
    ... class Visits(Server):
    ...     seen: dict[str, int] = attrs.Factory(dict)
    ...
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

    `start` makes an instance, runs it in a task of the nursery and returns its address, a `Ref`.
    Under a supervisor, use a `Name`: an address that survives restarts. Both send in three ways:

        await visits.call(Visits.visit, "bob")    wait until the method returns; return its result
        await visits.cast(Visits.visit, "bob")    queue the message; discard the result
        await visits.send("anything")             queue a value for `handle_info`

    Messages wait in the server's mailbox. The server runs a method to its end before it takes the
    next message, even while the method awaits. So the state needs no lock, and a slow method delays
    every other message. Run blocking code with `trio.to_thread.run_sync`. To take other messages
    before a call is answered, use `reply_later`.

    A public method must be an `async def`. A method whose name begins with an underscore is no
    message; call it on `self` as usual.

    What happens when a method raises:

        Refusal          The caller gets the exception, and the server goes on. Use a subclass for
                         each error that a caller should handle. `refuses` names other classes that
                         count as refusals, such as the errors of a database that is down.
        Exit             The server ends with the reason that the Exit gives.
        anything else    The server ends, and the caller gets ActorExited. A supervisor then starts
                         a new instance with fresh state.

    A message that fits no method (unknown name, wrong arguments) raises TypeError in the caller;
    the server goes on.

    Override `init` to prepare (the starter waits for it), `terminate` to clean up, and
    `handle_info` to handle timers, messages of monitors and sent values. Module `debug` inspects,
    suspends and traces a running server (OTP: `sys`).

    Attributes:
        mailbox: the capacity of the mailbox, and the rule for a full mailbox. Default: 1,000
            messages; then senders wait.
        when_stopped: the rule for messages that wait at a stop. CUT, the default, cancels the
            server at its next checkpoint and then runs `terminate`: a Lambda sandbox has little
            time to end. (OTP runs no `terminate` then.) DRAIN handles the messages first (OTP:
            `trap_exit`). Either way the server is killed when its grace is over.
        skip_abandoned_calls: whether the server skips a call whose caller has stopped waiting.
            Default: False, as in OTP, because a caller that timed out cannot know whether its
            call ran.
        refuses: classes of exceptions, besides Refusal, that the caller gets while the server goes
            on: `refuses = (OSError, asyncpg.PostgresError)`.

    `class Customers(Server, loop="asyncio")` runs the methods and hooks on asyncio, for a client
    that is written for asyncio. Mailbox, order, deadlines and supervision stay the same. On
    asyncio, `await from_asyncio.call(...)` calls another actor, and `asyncio.sleep` takes the place
    of `trio.sleep`. What is not awaited works as ever: `send_after`, `monitor`, `reply_later`.

    Args:
        loop: "trio" or "asyncio", an argument of the class; default: that of the class above.

    Raises:
        TypeError: when the class is made: a public method is a plain `def`, a name collides with
            one that okibi uses itself, `when_stopped` is no WhenStopped, `refuses` is no tuple of
            exception classes, or there is no such loop.
    """

    __slots__ = ()

    when_stopped: ClassVar[WhenStopped] = WhenStopped.CUT
    skip_abandoned_calls: ClassVar[bool] = False
    refuses: ClassVar[tuple[type[Exception], ...]] = ()
    _answers_calls: ClassVar[bool] = True
    # The public methods that are no messages, and so may be a plain `def`.
    _not_messages: ClassVar[frozenset[str]] = NOT_MESSAGES
    # The loop of the methods and hooks, a `loops.Loop`; None for trio. Typed without that name: it
    # must be found when the hints of a user's class are read (`secret`).
    __okibi_loop__: ClassVar[Any] = None

    def __init_subclass__(cls, loop: "LoopName | None" = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_private_names(cls, "Server", _PRIVATE_NAMES)
        if loop is not None:
            from .loops import find_loop

            cls.__okibi_loop__ = find_loop(cls.__name__, loop)
        _refuse_plain_methods(cls)
        kinds = cast("object", cls.refuses)
        if not isinstance(kinds, tuple) or not all(
            isinstance(each, type) and issubclass(each, Exception)
            for each in cast("tuple[object, ...]", kinds)
        ):
            raise TypeError(
                f"{cls.__name__}.refuses must be a tuple of exception classes, as in (OSError,), "
                f"got {describe_value(cast('object', cls.refuses))}"
            )
        when = cast("object", cls.when_stopped)
        # A property or a field gives each instance a value of its own.
        if not isinstance(when, WhenStopped) and not isdatadescriptor(when):
            # Checked here, because any other value would act as CUT and lose messages.
            raise TypeError(
                f"{cls.__name__}.when_stopped must be a WhenStopped, got {describe_value(when)}"
            )

    # -- to override

    async def handle_info(self, message: object) -> None:
        """Handle any other message: a `Down`, a timer's message, TIMEOUT, a sent value.

        The default logs a warning and discards the message (OTP: the same).
        """
        logger.warning(
            "%s has no handle_info and was sent %s", self._process.path, describe(message)
        )

    async def handle_continue(self, continuation: Any) -> None:
        """Handle what was given to `continue_with`, before the next message."""
        raise NotImplementedError(f"{type(self).__name__} needs a `handle_continue`")

    # -- to use inside

    def continue_with(self, continuation: object) -> None:
        """Run `handle_continue` next, before any message (OTP: `{continue, Term}`).

        Called in `init`, it splits a long start: the starter stops waiting when `init` returns,
        and `handle_continue` does the rest before the first message.

        Args:
            continuation: the argument of `handle_continue`.
        """
        process = self._process
        process.work.add_continuation(continuation)
        if process.mailbox.has_reader:
            # Another task of the server called this; the loop waits for a message. Wake the loop.
            process.mailbox.post(make_wake_up())

    def timeout_after(self, seconds: float) -> None:
        """Give TIMEOUT to `handle_info` if no message comes within `seconds` (OTP: `Timeout`).

        The next message ends the wait; call this again to wait again. A request of module `debug`
        neither ends nor restarts the wait (OTP: restarts).

        Raises:
            ValueError: `seconds` is NaN.
        """
        if seconds != seconds:
            raise ValueError(f"{self._process.path}: timeout_after needs seconds, got {seconds}")
        self._process.mailbox.time_out_at(trio.current_time() + seconds)

    def reply_later(self) -> Reply[Any]:
        """Keep the reply to the current call, to send it after the method has returned NO_REPLY.

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
            RuntimeError: no call is being handled, or `reply_later` was called before for this
                call.
        """
        process, request = self._process, self._process.work.message
        if is_a(request, Request):
            if request.deferred:
                # If the second Reply were lost, the caller would get ReplyLost.
                raise RuntimeError(f"{process.path}: reply_later was called before for {request}")
            return Reply(process, request)
        raise RuntimeError(f"{process.path}: no call is being handled{_described(request)}")

    @property
    def caller(self) -> "Caller":
        """The sender of the message that is being handled (OTP: the pid in `From`).

        A Ref if an actor sent the message; a CallingEvent if an actor sent the message for an event
        that it handles, as the handler of a Lambda function does; otherwise a CallingTask. Each can
        be monitored, so a server that lends something out learns when the borrower ends:

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

        A task that an actor has started counts as the actor. A thread (`from_thread`) counts as
        the task or actor that waits for the thread, a `Portal` as the task or actor that made it.
        In a handler of a Lambda function, on asyncio and in threads too, the caller is the event.
        It ends when the event is answered, also when the handler runs out of time. A task that
        outlives its event sends for the worker.

        Raises:
            RuntimeError: no call or cast is being handled. Sent values, timers and monitors have
                no caller.
        """
        process, request = self._process, self._process.work.message
        if is_a(request, Request):
            if request.event is not None:
                return cast("CallingEvent", request.event)
            if isinstance(request.caller, Process):
                return Ref(request.caller)
            from .callers import CallingTask

            task = getattr(request, "origin", None)
            return CallingTask(task and task.context.get(ON_BEHALF, task))
        raise RuntimeError(f"{process.path}: no call or cast is being handled{_described(request)}")

    # -- the loop

    async def run(self) -> None:
        process = self._process
        process.waits.record_outer_nurseries()
        mailbox, work, clock = process.mailbox, process.work, current_clock()
        if self.when_stopped is WhenStopped.DRAIN:
            work.drain(True)
        while True:
            if work.continuations:
                await self._run_continuations()
            message = await mailbox.receive()
            if message is DRAINED:
                return
            if mailbox.idle_deadline != math.inf and not is_a(message, SystemMessage):
                mailbox.idle_deadline = math.inf
            work.begin(message, clock.current_time())
            if type(message) is Request or is_a(message, Request):
                await self._handle_request(message)
            elif is_a(message, SystemMessage):
                # While module `debug` inspects the server, another loop serves it. This loop stays
                # as fast as it is.
                work.finish()
                if await message.perform(self):
                    return
            else:
                await self._call_handle_info(message)
            work.finish()
            message = None

    async def _run_continuations(self) -> None:
        """Run `handle_continue` until no continuation is left."""
        work = self._process.work
        while work.continuations:
            await self._run_continuation(work.begin_continuation())
            work.finish()
            await trio.lowlevel.checkpoint()

    async def _run_continuation(self, continuation: object) -> None:
        await require_awaitable(self.handle_continue(continuation), self, "handle_continue")

    def _call_handle_info(self, message: object) -> Awaitable[None]:
        """Call `handle_info`. A plain `def`, because an `async def` would add a frame."""
        handled: Any = cast("Any", self).handle_info(message)
        if handled is None:
            raise not_async_error(self, "handle_info")
        loop = self.__okibi_loop__
        return handled if loop is None else loop.run_method(self._process, handled)  # type: ignore[no-any-return]

    async def _handle_request(self, request: Request) -> Exception | None:
        """Run the method that a request names and answer the request.

        Returns:
            The error that the request was answered with; None if it has a reply.
        """
        if request.abandoned and self.skip_abandoned_calls:
            return None
        method = getattr(self, request.method, None)
        if method is None:
            return self._reject(request, f"has no method {request.method}")
        try:
            reply = method(*request.args, **request.kwargs)
        except TypeError as mistake:
            if _accepts(method, request.args, request.kwargs):
                raise
            hint = _suggest_time_limit(method, request)
            return self._reject(request, f"cannot take this message: {error_text(mistake)}{hint}")
        if not hasattr(reply, "__await__") and not isawaitable(reply):
            return self._reject(request, f"has a {request.method} that is no async method")
        try:
            loop = self.__okibi_loop__
            answer = await (reply if loop is None else loop.run_method(self._process, reply))
        except BaseException as error:
            if is_a(error, TypeError) and not _accepts(method, request.args, request.kwargs):
                # A decorator's wrapper took any arguments; the method itself has refused these.
                hint = _suggest_time_limit(method, request)
                return self._reject(request, f"cannot take this message: {error_text(error)}{hint}")
            # A nursery in the method wraps a Refusal in a group, perhaps beside Cancelled; the loop
            # meets the cancellation again. Keep the error in no variable that outlives this block:
            # its traceback holds this frame.
            crash = crash_in(error)
            refused = issubclass(type(crash), (Refusal, *self.refuses)) and not is_a(crash, Exit)
            del crash
            if not refused:
                raise
            return self._send_refusal(request, cast("Exception", crash_in(error)))
        if answer is not _NO_REPLY:
            request.answer(answer)
        elif request.waited_for and not request.deferred:
            raise TypeError(
                f"{self._process.path}: {request.method} returned NO_REPLY without reply_later"
            )
        return None

    def _reject(self, request: Request, why: str) -> Exception:
        """Answer a request with the caller's mistake; the server goes on."""
        mistake = TypeError(f"{self._process.path} ({type(self).__name__}) {why}")
        if not request.wanted:
            logger.error("%s (a cast of %s)", mistake, request)
        request.fail(mistake)
        return mistake

    def _send_refusal(self, request: Request, refusal: Exception) -> Exception:
        """Answer a request with a refusal; of a cast, log the refusal."""
        if not request.wanted:
            # Imported here: a start does not need it.
            from .status import show

            texts = show(self, request, reason=refusal)
            path = self._process.path
            logger.warning("%s refused %s: %s", path, texts["message"], texts["reason"])
        request.fail(refusal)
        return refusal


_PRIVATE_NAMES = private_names(Server)
# An async generator cannot be a message either, but `async def` would be the wrong advice.
_ASYNC_FLAGS = CO_COROUTINE | CO_ITERABLE_COROUTINE | CO_ASYNC_GENERATOR


def _refuse_plain_methods(cls: type[Server]) -> None:
    """Check that the public methods that a class defines are async.

    Only plain functions in the body of the class are checked. A property, a static or class method,
    and a decorator's object may be anything; a wrapper made with `functools.wraps` may return the
    coroutine of the method that it wraps. A hook that comes from a mixin is checked when it is
    called (`hook_errors`).

    Raises:
        TypeError: a method is a plain `def`.
    """
    for name, value in vars(cls).items():
        if type(value) is not FunctionType or name[0] == "_":
            continue
        if value.__code__.co_flags & _ASYNC_FLAGS or hasattr(value, "__wrapped__"):
            continue
        if name in ASYNC_HOOKS:
            raise TypeError(f"{cls.__name__}.{name} must be an `async def`")
        if name in cls._not_messages:
            continue
        # A field may have a function as its default.
        if iscoroutinefunction(value) or name in annotations_as_text(cls):
            continue
        if not _is_of_a_field(cls, value):
            raise TypeError(
                f"{cls.__name__}.{name} is a plain `def`, but a public method of a Server is a "
                f"message: make it `async def`, or begin its name with an underscore"
            )


def _is_of_a_field(cls: type[Server], method: FunctionType) -> bool:
    """Return whether a field of attrs holds the method: `@x.validator`, `@x.default`.

    An attrs class with slots is made twice: first its body holds the fields, then a tuple of them.
    """
    body = vars(cls)
    field: type[Any] = type(cast("object", attrs.field()))
    held: list[object] = [value for value in body.values() if type(value) is field]
    held += body.get("__attrs_attrs__", ())
    # attrs has no public name for them. A field holds a method itself, in a Factory, or in the
    # tuple of a validator that combines others.
    for _ in range(3):
        held = gc.get_referents(*held)
        if any(each is method for each in held):
            return True
    return False


def _accepts(
    method: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> bool:
    """Return whether a method accepts these arguments. Asked only after a TypeError."""
    try:
        bind(method, *args, **kwargs)
    except TypeError:
        return False
    return True


def _described(current: object) -> str:
    return "" if current is None else f", only {describe(current)}"


def _suggest_time_limit(method: Callable[..., object], request: Request) -> str:
    """What to write instead of `timeout=`, if that argument is the only mistake."""
    others = {name: value for name, value in request.kwargs.items() if name != "timeout"}
    if len(others) == len(request.kwargs) or not _accepts(method, request.args, others):
        return ""
    return "; to limit the wait, call inside `with trio.fail_after(seconds):`"
