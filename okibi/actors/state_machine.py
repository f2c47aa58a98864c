"""StateMachine: a server that handles a message by its state (OTP: `gen_statem`).

What goes before the messages that wait in the mailbox, in this order:

    the enter call            after each change of state
    continuations             of `continue_with`
    postponed messages        after a change of state, in the order in which they came
    a state time-out of 0 s

The first two are continuations of the server's loop. The others are timers, which
`Mailbox.fire_first` puts ahead of both lanes: the loop, module `debug` and a stop treat them like
any message.

Left out of OTP's rules: `repeat_state`, and named time-outs (`send_after` does their work).
"""

import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    Generic,
    NoReturn,
    ParamSpec,
    Self,
    TypeVar,
    cast,
    overload,
)

from .actor import private_names, refuse_private_names
from .exits import crash_in, is_a
from .hook_errors import require_awaitable
from .mailbox import MailboxFull
from .monitors import Monitor
from .process import logger
from .ref import Address
from .request import NOT_MESSAGES, Request, describe, message_name
from .server import Server
from .signatures import annotations_as_text
from .timers import Notice, Timer

if TYPE_CHECKING:
    from .monitors import Monitorable

M = TypeVar("M")
P = ParamSpec("P")
S = TypeVar("S")

_VERBS = frozenset({"change", "postpone", "state", "state_monitor", "state_timeout"})
_NO_MESSAGES = _VERBS | {"enter"}
_NO_STATE: Any = object()


class EnterCall:
    """The continuation that runs `enter`."""


_ENTER = EnterCall()


class Postponed(BaseException):
    """Ends the method that has called `postpone`. `except Exception` lets it pass."""


class StateRecord:
    """The state of one StateMachine, and what ends with the state.

    Attributes:
        state: the current state; unset until the first enter call.
        next: the state that follows when the current method has returned, or _NO_STATE.
        in_message: whether a message is being handled, and no hook.
        in_enter: whether `enter` runs.
        timer: the state time-out.
        monitors: the monitors of this state, and what they watch.
        ended: the monitors of the state that ends with the current method.
        postponed: the messages to handle again in another state.
    """

    __slots__ = (
        "ended", "in_enter", "in_message", "monitors", "next", "postponed", "state", "timer",
    )  # fmt: skip

    state: object

    def __init__(self, first: object) -> None:
        self.next = first
        self.in_message = self.in_enter = False
        self.timer: Timer | None = None
        self.monitors: dict[object, object] = {}
        self.ended: set[object] = set()
        self.postponed: deque[object] = deque()

    def end(self) -> None:
        """End what belongs to the state: its time-out, its monitors, the tasks they watch."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        for monitor, watched in self.monitors.items():
            cast("Monitor", monitor).demonitor()
            if not isinstance(watched, Address) and hasattr(watched, "stop"):
                cast("Any", watched).stop()
        self.ended.update(self.monitors)
        self.monitors.clear()

    def enter(self) -> list[Timer]:
        """Make the next state the current one. Return timers for the postponed messages.

        A message of a monitor that has ended with the old state is dropped.
        """
        again = [m for m in self.postponed if not (is_a(m, Notice) and _monitor(m) in self.ended)]
        self.state, self.next = self.next, _NO_STATE
        self.ended.clear()
        self.postponed.clear()
        return [Timer(-math.inf, message) for message in again]


class StateMachine(Server, Generic[S]):
    """A server that handles a message by its state. For a connection, a session, a device.

    The states are the members of an enum, or any values that compare. The methods ask for `state`,
    and `change` it:

    >>> import enum, attrs, trio, trio.testing
    >>> from okibi.actors import StateMachine, start
    >>> class Light(enum.Enum):
    ...     RED = "red"
    ...     GREEN = "green"
    >>> @attrs.define(eq=False)
    ... class Crossing(StateMachine[Light]):
    ...     initial = Light.RED
    ...     async def enter(self, state, previous):
    ...         self.state_timeout(30, Crossing.switch)
    ...     async def switch(self) -> None:
    ...         self.change(Light.GREEN if self.state is Light.RED else Light.RED)
    ...     async def cross(self) -> str:
    ...         if self.state is Light.RED:
    ...             self.postpone()
    ...         return f"crossed after {trio.current_time() - began:.0f} s"
    >>> async def main():
    ...     global began
    ...     began = trio.current_time()
    ...     async with trio.open_nursery() as nursery:
    ...         crossing = await start(nursery, Crossing)
    ...         print(await crossing.call(Crossing.cross))
    ...         crossing.stop()
    >>> trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    crossed after 30 s

    It is a Server in everything else: its public async methods are typed messages, sent values and
    Downs go to `handle_info`.

    A change takes effect when the current method has returned: first `enter` runs, then the
    postponed messages are handled again, then all others. What belongs to a state ends with it: a
    `state_timeout` and a `state_monitor` bring nothing after the change, even if their message
    waits in the mailbox already.

    Attributes:
        initial: the first state: a class attribute or a field. A `change` in `init` goes before it.

    Raises:
        TypeError: when the class is made: it defines a name that StateMachine uses itself, such as
            a field `state`. When the actor starts: there is no first state.
    """

    __slots__ = ("_state_record",)

    initial: S
    _state_record: StateRecord
    _not_messages: ClassVar[frozenset[str]] = NOT_MESSAGES | _VERBS

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        refuse_private_names(cls, "StateMachine", _PRIVATE_NAMES)
        taken = _VERBS & {*vars(cls), *annotations_as_text(cls)}
        if taken:
            raise TypeError(
                f"{cls.__name__} defines `{min(taken)}`, a name that StateMachine uses itself: "
                f"choose another name"
            )

    # -- to override

    async def enter(self, state: S, previous: S | None) -> None:
        """Do what a state begins with, after each change to it (OTP: state enter calls).

        Runs before any message, for the first state too: after `init`, when the starter goes on.
        An error is a crash of the actor. As in OTP, it cannot change the state or postpone: to
        leave a state at once, use `state_timeout(0, ...)`.

        Args:
            state: the state that begins.
            previous: the state before; None for the first one.
        """

    # -- to use inside

    @property
    def state(self) -> S:
        """The current state. It is the old one until the method that calls `change` has returned.

        Raises:
            RuntimeError: `init` has not returned yet.
        """
        try:
            return cast("S", self._state_record.state)
        except AttributeError:
            raise RuntimeError(
                f"{type(self).__name__} has no state before `init` returns"
            ) from None

    def change(self, state: S) -> None:
        """Change the state, when the current method has returned (OTP: `{next_state, ...}`).

        What belongs to the old state ends now. A `state_timeout` or `state_monitor` that follows
        belongs to the new state. A Refusal raised after this does not undo it. A change to the
        current state has no effect.

        Raises:
            RuntimeError: in `enter`.
        """
        record = self._state_record
        if record.in_enter:
            raise RuntimeError(
                f"{self.path}: `enter` cannot change the state: use state_timeout(0, ...)"
            )
        if record.next is not _NO_STATE:
            if state == record.next:
                return
        elif hasattr(record, "state"):
            if state == record.state:
                return
            self.continue_with(_ENTER)
        record.end()
        record.next = state

    def postpone(self) -> NoReturn:
        """Leave the current message for another state (OTP: `postpone`).

        The message is handled again after the next change of state, before newer messages. The
        caller of a call waits on, with its own time limit; a call that its caller has given up is
        not handled again. If the current method has called `change`, that is the next change.

        As many messages may be postponed as the mailbox has capacity. Of more, a call raises
        MailboxFull; another message is dropped, and logged as a warning.

        Raises:
            RuntimeError: no message is being handled.
        """
        if not self._state_record.in_message:
            raise RuntimeError(f"{self.path}: postpone is for messages, and none is being handled")
        raise Postponed

    def state_timeout(
        self,
        seconds: float,
        method: Callable[Concatenate[Self, P], Awaitable[object]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Timer:
        """Run a method if the state has not changed after a delay (OTP: `state_timeout`).

        A state has one: a new one replaces it. With 0 seconds it goes before all messages that
        wait, but behind postponed ones.

            self.state_timeout(5, Connection.give_up)

        Args:
            seconds: the delay in seconds.
            method: an async method of this class, written `Class.method`; it may begin with an
                underscore.
            *args, **kwargs: the arguments of the method.

        Raises:
            ValueError: `seconds` is NaN.
            TypeError: `method` is no method of a class.
        """
        name = getattr(method, "__name__", "")
        if name[:1] != "_":
            name = message_name(method)
        request = Request(name, args, kwargs, self._process, False)
        record = self._state_record
        if record.timer is not None:
            record.timer.cancel()
        if seconds > 0 or seconds != seconds:
            timer = self.send_after(seconds, request)
        else:
            timer = Timer(-math.inf, request)
            self._process.mailbox.fire_first([timer], behind=True)
        record.timer = timer
        return timer

    @overload
    def state_monitor(self, watched: Address[Any], /) -> Monitor: ...

    @overload
    def state_monitor(self, watched: "Monitorable[M]", /) -> M: ...

    def state_monitor(self, watched: "Address[Any] | Monitorable[M]", /) -> Monitor | M:
        """Like `monitor`, but a change of state ends it, and stops a Task.

        So a Result of a task that was started for a state never comes in another one. The end of
        the actor stops such a task too.

        Raises:
            RuntimeError, TypeError: as `monitor`.
        """
        monitor = self.monitor(watched)
        self._state_record.monitors[monitor] = watched
        return monitor

    # -- the loop

    async def live(self, started: Callable[[], None]) -> None:
        record = StateRecord(getattr(self, "initial", _NO_STATE))
        # Not through the class's own __setattr__: a frozen class refuses.
        object.__setattr__(self, "_state_record", record)
        self.continue_with(_ENTER)

        def ready() -> None:
            if record.next is _NO_STATE:
                raise TypeError(f"{type(self).__name__} needs a first state: set `initial`")
            started()

        try:
            await super().live(ready)
        finally:
            record.end()

    async def _run_continuation(self, continuation: object) -> None:
        if self._state_record.next is not _NO_STATE:
            await self._enter_next_state()
        if continuation is not _ENTER:
            await super()._run_continuation(continuation)

    async def _enter_next_state(self) -> None:
        record, process = self._state_record, self._process
        previous = cast("S | None", getattr(record, "state", None))
        process.mailbox.fire_first(record.enter())
        record.in_enter = True
        await require_awaitable(self.enter(self.state, previous), self, "enter")
        record.in_enter = False

    async def _handle_request(self, request: Request) -> Exception | None:
        if request.method in _NO_MESSAGES:
            return self._reject(request, f"has no message {request.method}: it is a hook or a verb")
        record, work = self._state_record, self._process.work
        if work.deferred_calls and request in work.deferred_calls:
            # It was postponed.
            work.forget(request)
            if request.abandoned:
                return None
        record.in_message = True
        try:
            return await super()._handle_request(request)
        except BaseException as error:
            if not is_a(crash_in(error), Postponed):
                raise
            self._keep_postponed(request)
            return None
        finally:
            record.in_message = False

    async def _call_handle_info(self, message: object) -> None:
        record = self._state_record
        record.in_message = True
        try:
            await super()._call_handle_info(message)
        except BaseException as error:
            if not is_a(crash_in(error), Postponed):
                raise
            self._keep_postponed(message)
        else:
            if record.monitors and is_a(message, Notice):
                record.monitors.pop(_monitor(message), None)
        finally:
            record.in_message = False

    def _keep_postponed(self, message: object) -> None:
        """Keep a postponed message until the next change of state."""
        if is_a(message, Request) and message.abandoned:
            return
        postponed, process = self._state_record.postponed, self._process
        capacity = process.mailbox.policy.capacity
        call = message if is_a(message, Request) and message.wanted else None
        if len(postponed) >= capacity:
            # First without the calls that their callers have given up.
            for _ in range(len(postponed)):
                other = postponed.popleft()
                if is_a(other, Request) and other.abandoned:
                    process.work.forget(other)
                else:
                    postponed.append(other)
        if len(postponed) >= capacity and not is_a(message, Notice):
            why = (
                f"{process.path} cannot postpone {describe(message)}: {capacity} messages are "
                f"postponed already"
            )
            if call is None:
                logger.warning("%s; it is dropped", why)
            else:
                call.fail(MailboxFull(why))
            return
        if call is not None:
            # So the end of the actor fails the call.
            process.work.defer(call)
        postponed.append(message)


def _monitor(notice: object) -> object:
    """Return the monitor that a Down or a Result comes from."""
    return getattr(notice, "monitor", None)


_PRIVATE_NAMES = private_names(StateMachine)
