"""Request: a call or cast on its way: method name, arguments, and the task that waits.

Each call has one slot for its answer. A caller that stops waiting leaves the slot, so a late answer
is discarded instead of arriving in a mailbox (OTP uses process aliases for this). A second answer
is discarded too.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Protocol, cast

import outcome
from trio import current_time
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

from .safe_repr import class_name, short_repr

# The public names of Actor and Server, which are never messages. A test compares this list with the
# classes.
NOT_MESSAGES = frozenset(
    {
        "caller",
        "continue_with",
        "format_status",
        "handle_continue",
        "handle_info",
        "init",
        "live",
        "mailbox",
        "monitor",
        "path",
        "receive",
        "ref",
        "refuses",
        "reply_later",
        "run",
        "send_after",
        "skip_abandoned_calls",
        "send_every",
        "terminate",
        "timeout_after",
        "when_stopped",
    }
)


# The event that the current code runs for, set by the actor that handles it (`calling_event`).
CALLING_EVENT: ContextVar["Event"] = ContextVar("calling event")

# Replaces an error after it was raised in the caller.
_RAISED: "outcome.Outcome[object]" = outcome.Value(None)


if TYPE_CHECKING:

    class Caller(Protocol):
        """The part of the sending actor that a request uses."""

        path: str

    class Event(Protocol):
        """The part of an event that the requests sent for the event use."""

        @property
        def process(self) -> Caller | None: ...
        @property
        def reason(self) -> object: ...

    class AnswerListener(Protocol):
        """Gets the answer to a request, in addition to the task that waits."""

        def notify(self, value: object, error: BaseException | None) -> None: ...
        def demonitor(self) -> None: ...


class Request:
    """A message that names a method.

    Args:
        method: the method's name, looked up on the instance.
        args, kwargs: the arguments of the method.
        caller: the actor that sends the request; None for a task outside any actor.
        wanted: whether an answer is wanted (call) or not (cast).
        client: the task that waits for the answer; None once it has stopped waiting.

    Attributes:
        origin: the task that sends the request, if no actor does. Otherwise unset.
        event: the event that the actor sends the request for; None for none, or an ended one.
    """

    __slots__ = (
        "_outcome",
        "_waiting",
        "abandoned",
        "args",
        "caller",
        "client",
        "deferred",
        "event",
        "kwargs",
        "method",
        "origin",
        "wanted",
    )

    origin: Task

    def __init__(
        self,
        method: str,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        caller: "Caller | None",
        wanted: bool,
        client: Task | None = None,
    ) -> None:
        self.method = method
        self.args = args
        self.kwargs = kwargs
        self.caller = caller
        self.wanted = wanted
        self.client = client
        event = CALLING_EVENT.get(None)
        current = event is not None and event.reason is None and event.process is caller
        self.event = event if current else None
        # The caller has stopped waiting.
        self.abandoned = False
        # The answer comes after the method has returned (`Server.reply_later`).
        self.deferred = False
        self._outcome: outcome.Outcome[object] | None = None
        self._waiting: Task | None = None

    @property
    def settled(self) -> bool:
        """Whether there is an answer, a value or an error."""
        return self._outcome is not None

    @property
    def waited_for(self) -> bool:
        """Whether an answer is wanted and has not come yet."""
        return self.wanted and self._outcome is None

    @property
    def parked(self) -> bool:
        """Whether a task is waiting for the answer now."""
        return self._waiting is not None

    def answer(self, value: object) -> bool:
        """Answer with a value. False if there is an answer already, or none is wanted."""
        return self._settle(outcome.Value(value))

    def fail(self, error: BaseException) -> bool:
        """Answer with an error, raised in the caller. Returns False when `answer` does."""
        return self._settle(outcome.Error(error))

    async def reply(self, *, keep: bool = False) -> Any:
        """Wait for the answer, in the client's task. A checkpoint.

        Args:
            keep: whether a cancelled wait may be repeated. If False, cancellation marks the
                request as abandoned.
        """
        try:
            if self._outcome is None:
                self._waiting = self.client or current_task()
                return await wait_task_rescheduled(self._unpark if keep else self._abandon)
            # Answered while the request waited for room in the mailbox.
            return self._outcome.unwrap()
        except BaseException:
            if self._outcome is not None and not keep:
                # The error's traceback holds this frame, and the frame the request: drop the error
                # here to avoid a reference cycle.
                self._outcome = _RAISED
            raise

    def result(self) -> object:
        """Return the answer of a settled request. May be called repeatedly.

        Raises:
            BaseException: the error that the request was answered with.
        """
        answer = self._outcome
        if isinstance(answer, outcome.Error):
            raise answer.error
        return cast("outcome.Value[object]", answer).value

    def abandon(self) -> None:
        """Stop wanting the answer."""
        if self.waited_for:
            self.wanted, self.abandoned = False, True

    def __str__(self) -> str:
        # Without the arguments: only module `status` shows them, redacted.
        return f"{self.method}()"

    def _settle(self, result: "outcome.Outcome[object]") -> bool:
        if not self.wanted or self._outcome is not None:
            return False
        if self._waiting is not None:
            # Raises in another thread, so do it first: otherwise the caller would wait for ever.
            reschedule(self._waiting, result)
            self._waiting = None
        self._outcome = result
        return True

    def _unpark(self, _: RaiseCancelT) -> Abort:
        self._waiting = self.client = None
        return Abort.SUCCEEDED

    def _abandon(self, raise_cancel: RaiseCancelT) -> Abort:
        self.abandon()
        return self._unpark(raise_cancel)


class NameWait(Request):
    """The wait of a task for the actor that has a name. It is sent to no actor.

    Args:
        key: the name's key.
        caller: the actor that waits; None for a task outside any actor.
        client: the task that waits.
    """

    __slots__ = ()

    def __init__(self, key: object, caller: "Caller | None", client: Task) -> None:
        super().__init__(f"the wait for the name {short_repr(key)}", (), {}, caller, True, client)

    def __str__(self) -> str:
        return self.method


class PendingRequest(Request):
    """The request behind a Pending: its answer can also go to listeners.

    A separate class keeps the answer to a plain call fast.
    """

    __slots__ = ("listeners",)

    # Unset until the first `add`: few requests have a listener.
    listeners: "tuple[AnswerListener, ...]"

    def add(self, listener: "AnswerListener") -> None:
        """Give the answer to a listener when it comes, or now if there is one."""
        if self.settled:
            listener.notify(*self._answer())
        else:
            self.listeners = (*getattr(self, "listeners", ()), listener)

    def remove(self, listener: "AnswerListener") -> None:
        """Undo `add`."""
        listeners = getattr(self, "listeners", ())
        self.listeners = tuple(each for each in listeners if each is not listener)

    def abandon(self) -> None:
        super().abandon()
        for each in getattr(self, "listeners", ()):
            each.demonitor()

    def _settle(self, result: "outcome.Outcome[object]") -> bool:
        listeners = getattr(self, "listeners", None)
        if listeners is None:
            return Request._settle(self, result)
        if listeners:
            # Raises in another thread, so do it first: no listener must be notified then.
            current_time()
        if not Request._settle(self, result):
            return False
        self.listeners = ()
        for each in listeners:
            each.notify(*self._answer())
        return True

    def _answer(self) -> tuple[object, BaseException | None]:
        answer = self._outcome
        if isinstance(answer, outcome.Error):
            return None, answer.error
        return cast("outcome.Value[object]", answer).value, None


def describe(message: object) -> str:
    """Name a message in errors and logs: a request by its method, others by type. Never a value."""
    if issubclass(type(message), Request):
        return str(message)
    return f"a message of type {class_name(type(message))}"


def message_name(method: object) -> str:
    """Return the name of a method, as a request carries it.

    Raises:
        TypeError: the method is private or a hook, is bound to an instance, or is no function.
    """
    # Nearly always a plain function, which is never bound.
    name = method.__name__ if type(method) is FunctionType else _name_of_other(method)
    if name in NOT_MESSAGES:
        raise TypeError(
            f"{name} cannot be a message: it is a hook or attribute of every Server; give your "
            f"method another name"
        )
    if name.startswith("_"):
        raise TypeError(f"{name} cannot be a message: its name begins with an underscore")
    return name


def _name_of_other(method: object) -> str:
    """Return the name of a method of another kind: a decorator's object, a classmethod."""
    name = getattr(method, "__name__", None)
    if isinstance(method, MethodType) and not isinstance(method.__self__, type):
        kind = type(method.__self__).__name__
        raise TypeError(
            f"{name} is bound to an instance of {kind}: pass the method of the class, "
            f"ref.call({kind}.{name}, ...)"
        )
    if not isinstance(name, str) or not callable(method):
        raise TypeError(
            f"a message must be a method of the server's class, got {class_name(type(method))}"
        )
    return name
