"""Exit reasons: why an actor ended, as a value, and the exceptions that carry a reason.

    kind       the actor                                                           quiet?
    normal     returned                                                            yes
    shutdown   was asked to stop, or left with a reason that is no error           yes
    killed     was ended without `terminate`, or did not end within its grace      no
    crashed    raised an exception; `detail` is the exception                      no
    noproc     was not there: no actor had the address                             no

A quiet end is not logged as a crash and does not restart a transient child (OTP: Reference Manual,
Processes: `normal`, `shutdown` and `{shutdown, Term}`).

Rejected: a class for each kind. Each attrs class adds 0.2 ms to a cold start.
"""

import signal
import threading
from typing import Any, Final, Literal, TypeGuard, TypeVar, cast

import attrs
import trio

from .safe_repr import INLINE_LIMIT, class_name, cut, error_text, shape, short_repr, traceback_of

T = TypeVar("T")
Leaf = TypeVar("Leaf", bound=BaseException)
# Read past a user's subclass of BaseExceptionGroup, which may override both.
_EXCEPTIONS: Any = BaseExceptionGroup.__dict__["exceptions"]
_MESSAGE: Any = BaseExceptionGroup.__dict__["message"]
Kind = Literal["normal", "shutdown", "killed", "crashed", "noproc"]


@attrs.frozen(repr=False)
class ExitReason:
    """The reason for the end of an actor. Build one with `shutdown(detail)` or `crashed(error)`.

    NORMAL, SHUTDOWN, KILLED, NO_PROCESS and IGNORED are the constant reasons.

    Args:
        kind: "normal", "shutdown", "killed", "crashed" or "noproc".
        detail: the exception of a crash, of which the text is shown; what was given to `shutdown`;
            or any other value, of which only the type is shown.
    """

    kind: Kind
    detail: object = None

    @property
    def quiet(self) -> bool:
        """Whether the end is no error: not logged, and a transient child is not restarted."""
        return self.kind == "normal" or self.kind == "shutdown"

    @property
    def error(self) -> BaseException | None:
        """The exception of a crash; None for every other end."""
        crash = self.kind == "crashed" and isinstance(self.detail, BaseException)
        return cast("BaseException", self.detail) if crash else None

    def __str__(self) -> str:
        if self.detail is None:
            return self.kind
        error, detail = self.error, self.detail
        if error is not None:
            words = f"{class_name(type(error))}: {error_text(error)}".removesuffix(": ")
        else:
            # The text of `shutdown` is shown. Of any other value only the type is: callers may send
            # the reason to the invoker, and the value may be a secret.
            shown = self.quiet and type(detail) is str
            words = repr(cut(cast("str", detail), INLINE_LIMIT)) if shown else shape(detail)
        return f"{self.kind} ({words})"

    def __repr__(self) -> str:
        # The repr of a Down includes this one, and goes to logs.
        return f"<ExitReason {self}>"


NORMAL = ExitReason("normal")
SHUTDOWN = ExitReason("shutdown")
KILLED = ExitReason("killed")
NO_PROCESS = ExitReason("noproc")
# The actor raised Ignore in `init`. The starter gets a StartError with this reason.
IGNORED = ExitReason("normal", "ignored")


# In place of a reply that is missing.
NOTHING: Final = object()


def crashed(error: BaseException) -> ExitReason:
    """Build the reason of an actor that raised an exception.

    Args:
        error: the exception.
    """
    return ExitReason("crashed", error)


def shutdown(detail: object) -> ExitReason:
    """Build a quiet reason with a detail (OTP: `{shutdown, Term}`).

    >>> from okibi.actors import shutdown
    >>> print(shutdown("moved to another region"))
    shutdown ('moved to another region')

    Args:
        detail: a text, shown in logs and to callers, or another value, of which only the type is
            shown.
    """
    return ExitReason("shutdown", detail)


def check_reason(reason: object) -> ExitReason:
    """Check that a reason is an ExitReason, and return it.

    Raises:
        TypeError: `reason` is no ExitReason.
    """
    if not isinstance(reason, ExitReason):
        raise TypeError(
            f"reason must be an ExitReason, got {shape(reason)}: use shutdown(...) or SHUTDOWN"
        )
    return reason


def check_grace(path: str, grace: float) -> None:
    """Check that a grace is a number of seconds.

    Raises:
        ValueError: `grace` is negative or NaN.
    """
    if not grace >= 0:
        raise ValueError(f"{path}: grace must be >= 0 seconds, got {grace!r}")


class Exit(Exception):
    """Raised inside an actor to end it with a reason (OTP: `exit/1`).

        raise Exit(shutdown("no more work"), reply=total)

    Args:
        reason: the exit reason for monitors, callers and the supervisor. Default: NORMAL.
        reply: the reply to the current caller, sent after `terminate` has run (OTP: `{stop, Reason,
            Reply, State}`). Without a reply, the caller gets ActorExited.

    Raises:
        TypeError: `reason` is not an ExitReason.
    """

    def __init__(self, reason: ExitReason = NORMAL, *, reply: object = NOTHING) -> None:
        super().__init__(str(check_reason(reason)))
        self.reason = reason
        self.reply = reply


class Ignore(Exception):
    """Raised in `init` by an actor that is not needed (OTP: `ignore`).

    The actor ends as `normal`, without `terminate` and without a log line. Its supervisor keeps
    the spec, unless the child is temporary, and starts the next child.
    """


class Refusal(Exception):
    """Base class of expected errors (OTP: `{reply, {error, Reason}, State}`).

    A server's method that raises a Refusal answers its call with it: the caller gets the exception
    and the server goes on. Every other exception ends the server. A refused cast is logged.

        class SoldOut(Refusal): ...
    """


class Redacted(Exception):
    """Replaces the exception of a crash whose reason `format_status` has changed.

    Its text is what `format_status` returned. It has neither the traceback nor the causes of the
    exception; the crash report has the lines.
    """


class _LazyTextError(Exception):
    """An exception that builds its text when the text is read.

    Waiting callers are woken before a user's `__str__` runs.
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class ActorExited(_LazyTextError):
    """The actor has ended, or ended before it answered (OTP: `exit` of `gen_server:call`).

    Its `__cause__` is the exception that crashed the actor, or a Redacted if the actor's
    `format_status` changed the reason. The frames in the traceback of the cause have no locals
    (module `empty_frames`). The text names the method and never its arguments, because a handler
    that does not catch this exception sends the text to the invoker.

    Attributes:
        path: the path of the actor.
        reason: why it ended.
    """

    def __init__(self, path: str, reason: ExitReason, doing: str = "") -> None:
        super().__init__(path, reason.kind, doing)
        self.path = path
        self.reason = reason
        self.__cause__ = reason.error
        self._doing = doing

    def __str__(self) -> str:
        failed = f"; {self._doing} failed" if self._doing else ""
        return f"{self.path} is gone: {self.reason}{failed}"


NOT_STARTED = "start one with name=..., as in Child(Visits, name=VISITS)"


class NoProcess(ActorExited):
    """No actor is registered under the name (OTP: `noproc`).

    The text says whether a supervisor is restarting the actor.
    """

    def __init__(self, key: object, why: str = NOT_STARTED) -> None:
        super().__init__(str(key), NO_PROCESS)
        self.args = (f"no actor is registered as {short_repr(key)}: {why}",)

    __str__ = Exception.__str__


class CallCycle(RuntimeError):
    """Actors call each other in a cycle: this call would never return.

    okibi knows all waits in the process, so it refuses the call that would close the cycle. (OTP
    waits until one of the calls times out.) The last wait of a cycle may also be a wait for the end
    of an actor that drains or is shielded.

    Attributes:
        paths: the path of each actor, in the order of the calls; the first and the last path are
            the actor that made this call.
    """

    def __init__(self, sentence: str, paths: tuple[str, ...]) -> None:
        super().__init__(sentence)
        self.paths = paths


class CallingSelf(CallCycle):
    """An actor called itself, or waited for its own end (OTP: `calling_self`)."""


class StartError(_LazyTextError):
    """An actor did not start (OTP: `{error, Reason}` of `start_link`).

    Attributes:
        path: the path of the actor.
        reason: why. The exception that `init` raised is also the `__cause__`.
    """

    def __init__(self, path: str, reason: ExitReason) -> None:
        super().__init__(path, reason.kind)
        self.path = path
        self.reason = reason
        self.__cause__ = reason.error

    def __str__(self) -> str:
        return f"{self.path} did not start: {self.reason}"


def reason_for(
    error: BaseException | None, *, killed: bool, asked: ExitReason | None
) -> ExitReason:
    """Derive the exit reason from the exception that ended the body and from what was asked.

    An exception counts before a cancellation: a body that crashes while it is cancelled has
    crashed.

    Args:
        error: the exception that the body raised, or None. Cancelled, alone or in a group, is no
            crash.
        killed: whether the actor was killed.
        asked: the reason that a stop was asked with; None if no stop was asked.
    """
    cut, crash = (False, None) if error is None else _split_cancelled(error)
    if crash is not None:
        return reason_of_exit(crash) if is_a(crash, Exit) else crashed(crash)
    if killed:
        return KILLED
    if asked is not None:
        return asked
    return SHUTDOWN if cut else NORMAL


def last_reply_in(error: BaseException) -> object:
    """Return the `reply` of an Exit in an error; NOTHING if there is none."""
    crash = crash_in(error)
    try:
        return crash.reply if is_a(crash, Exit) else NOTHING
    except BaseException:
        return NOTHING


def reason_of_exit(error: Exit) -> ExitReason:
    """Return the reason of an Exit. A user's subclass without a valid one counts as a crash."""
    try:
        return check_reason(error.reason)
    except BaseException:
        return crashed(error)


def has_keyboard_interrupt(error: BaseException | None) -> bool:
    """Return whether an error is a KeyboardInterrupt, or a group with one."""
    return error is not None and leaf_in(error, KeyboardInterrupt) is not None


def sigint_raises() -> bool:
    """Return whether Python's or trio's handler of SIGINT may raise in this thread."""
    handler = signal.getsignal(signal.SIGINT)
    module = str(getattr(handler, "__module__", None)).partition(".")[0]
    main = threading.current_thread() is threading.main_thread()
    return main and (handler is signal.default_int_handler or module == "trio")


def is_a(value: object, kind: type[T]) -> TypeGuard[T]:
    """Like isinstance, without reading `__class__`.

    A user's lazy object may open its connection when `__class__` is read, and may raise.
    """
    return issubclass(type(value), kind)


def leaf_in(error: BaseException, kind: type[Leaf]) -> Leaf | None:
    """Return the first exception of a kind in an error or group; None if there is none.

    Does not use the group's own methods, which a user's class may override.
    """
    waiting = [error]
    while waiting:
        each = waiting.pop()
        # The first check is for Cancelled, whose metaclass makes `issubclass` slow.
        if type(each) is kind or is_a(each, kind):
            return each
        waiting += reversed(members_of(each))
    return None


def crash_in(error: BaseException) -> BaseException | None:
    """Return an error without Cancelled; None if nothing is left. A group of one is its member."""
    return _split_cancelled(error)[1]


def _split_cancelled(error: BaseException) -> tuple[bool, BaseException | None]:
    """Return whether Cancelled is in `error`, and what `crash_in` returns."""
    crash = without_cancelled(error)
    return crash is not error, None if crash is None else _unwrap_single(crash)


def without_cancelled(error: BaseException) -> BaseException | None:
    """Return an error without its Cancelled; itself if there is none, None if nothing is left."""
    if leaf_in(error, trio.Cancelled) is None:
        return error
    if not issubclass(type(error), BaseExceptionGroup):
        return None
    group = cast("BaseExceptionGroup[BaseException]", error)
    try:
        return BaseExceptionGroup.split(group, trio.Cancelled)[1]
    except BaseException:
        # A user's group class that cannot be copied: build a plain group.
        rest = [left for each in members_of(group) if (left := without_cancelled(each)) is not None]
        if not rest:
            return None
        message: str = _MESSAGE.__get__(group)
        return BaseExceptionGroup(message, rest).with_traceback(traceback_of(group))


def _unwrap_single(error: BaseException) -> BaseException:
    """Return the exception in a group of one, as a nursery raises it."""
    while len(members := members_of(error)) == 1:
        error = members[0]
    return error


def members_of(error: BaseException) -> tuple[BaseException, ...]:
    """Return the exceptions in a group; empty if `error` is no group."""
    members: tuple[BaseException, ...] = ()
    if is_a(error, BaseExceptionGroup):
        members = _EXCEPTIONS.__get__(error)
    return members
