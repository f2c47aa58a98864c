"""A call or a cast on its way: the method's name, its arguments, and who waits.

A call's answer has a one-shot slot of its own. A caller that gives up takes itself out of the
slot, so a late answer falls on the floor instead of into somebody's mailbox (what OTP needed
process aliases for), and a second answer is harmless.
"""

from collections.abc import Mapping
from types import FunctionType, MethodType
from typing import Protocol, cast

import outcome
from trio import current_time
from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

from .safe_repr import class_name

# What a server is, as opposed to what it can be asked: these are never messages. A test holds
# this list against the classes.
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


# In place of what the caller has been raised.
_RAISED: "outcome.Outcome[object]" = outcome.Value(None)


class Caller(Protocol):
    """What a request says of who made it."""

    path: str


class Request:
    """One message that names a method.

    Args:
        method: the method's name; it is looked up on the instance, so overrides hold.
        args, kwargs: what the method is given.
        caller: the actor that asks, None for a task outside any actor.
        wanted: whether somebody waits for the answer (call) or not (cast).
        client: the task that waits for it; none any more once it has given up.

    Attributes:
        origin: the task that asks, where no actor does; not set by an actor's request.
    """

    __slots__ = (
        "_outcome",
        "_waiting",
        "abandoned",
        "args",
        "caller",
        "client",
        "deferred",
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
        caller: Caller | None,
        wanted: bool,
        client: Task | None = None,
    ) -> None:
        self.method = method
        self.args = args
        self.kwargs = kwargs
        self.caller = caller
        self.wanted = wanted
        self.client = client
        # The caller has given up: what is not begun yet need not be.
        self.abandoned = False
        # Its method has returned, and the answer comes later (`Server.reply_later`).
        self.deferred = False
        self._outcome: outcome.Outcome[object] | None = None
        self._waiting: Task | None = None

    @property
    def settled(self) -> bool:
        """Whether it has been answered, or has failed."""
        return self._outcome is not None

    @property
    def waited_for(self) -> bool:
        """Whether somebody wants the answer and has none yet."""
        return self.wanted and self._outcome is None

    @property
    def parked(self) -> bool:
        """Whether a task waits for the answer at this moment."""
        return self._waiting is not None

    def answer(self, value: object) -> bool:
        """Give the caller its reply; False when it has one, or waits no more."""
        return self._settle(outcome.Value(value))

    def fail(self, error: BaseException) -> bool:
        """Raise `error` in the caller instead of a reply; False as for `answer`."""
        return self._settle(outcome.Error(error))

    async def reply(self, *, keep: bool = False) -> object:
        """Wait for the answer, in the task that is its client. A checkpoint.

        Args:
            keep: whether a wait that is cancelled may be begun again; if not, it marks the
                request as abandoned.
        """
        try:
            if self._outcome is None:
                self._waiting = self.client or current_task()
                return await wait_task_rescheduled(self._unpark if keep else self._abandon)
            # Answered while it still stood in line for a place in the mailbox.
            return self._outcome.unwrap()
        except BaseException:
            if self._outcome is not None and not keep:
                # Kept by the request, too, the error would close a circle: its traceback holds this
                # frame, and the frame the request.
                self._outcome = _RAISED
            raise

    def result(self) -> object:
        """The answer of one that is settled, as often as it is asked for.

        Raises:
            Whatever it failed with.
        """
        given = self._outcome
        if isinstance(given, outcome.Error):
            raise given.error
        return cast("outcome.Value[object]", given).value

    def abandon(self) -> None:
        """Want the answer no more."""
        if self.waited_for:
            self.wanted, self.abandoned = False, True

    def __str__(self) -> str:
        # Without what it is given: `actors.status` alone shows that, as far as its actor lets it.
        return f"{self.method}()"

    def _settle(self, result: "outcome.Outcome[object]") -> bool:
        if not self.wanted or self._outcome is not None:
            return False
        if self._waiting is not None:
            # First what raises in another thread: the caller would wait for ever.
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


class Listener(Protocol):
    """What is told of the answer to a request, besides the task that waits for it."""

    def tell(self, value: object, error: BaseException | None) -> None: ...
    def demonitor(self) -> None: ...


class Asked(Request):
    """A request whose answer can also be told to listeners, once each: a `Pending` stands for it.

    A class of its own, so that the answer to a call costs nothing more.
    """

    __slots__ = ("listeners",)

    # Not set until the first is added: few are ever told.
    listeners: tuple[Listener, ...]

    def add(self, listener: Listener) -> None:
        """Tell it of the answer: at once if there is one."""
        if self.settled:
            listener.tell(*self._answer())
        else:
            self.listeners = (*getattr(self, "listeners", ()), listener)

    def remove(self, listener: Listener) -> None:
        """Tell it no more."""
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
            # First what raises in another thread: they would be told half of it.
            current_time()
        if not Request._settle(self, result):
            return False
        self.listeners = ()
        for each in listeners:
            each.tell(*self._answer())
        return True

    def _answer(self) -> tuple[object, BaseException | None]:
        given = self._outcome
        if isinstance(given, outcome.Error):
            return None, given.error
        return cast("outcome.Value[object]", given).value, None


def shown(message: object) -> str:
    """A message as errors and logs name it: by its method, or by its type; never by a value."""
    if issubclass(type(message), Request):
        return str(message)
    return f"a message of type {class_name(type(message))}"


def message_name(method: object) -> str:
    """The name under which a method travels.

    Raises:
        TypeError: it is no method of a server, is bound to an object, or is not a message.
    """
    # Nearly always a function, which has a name and is bound to nothing.
    name = method.__name__ if type(method) is FunctionType else _name_of_other(method)
    if name in NOT_MESSAGES:
        raise TypeError(
            f"{name} is no message: only public methods of the server's own are, and every server "
            f"has a {name}; give yours another name"
        )
    if name.startswith("_"):
        raise TypeError(f"{name} is no message: only public methods of the server's own are")
    return name


def _name_of_other(method: object) -> str:
    """The name of a method that is no plain function: a decorator's object, a classmethod."""
    name = getattr(method, "__name__", None)
    if isinstance(method, MethodType) and not isinstance(method.__self__, type):
        kind = type(method.__self__).__name__
        raise TypeError(
            f"{name} is bound to one {kind}, and a message names its receiver by its address: "
            f"write ref.call({kind}.{name}, ...)"
        )
    if not isinstance(name, str) or not callable(method):
        raise TypeError(
            f"a message is a method of the server's class, not a {class_name(type(method))}"
        )
    return name
