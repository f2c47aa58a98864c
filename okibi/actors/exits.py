"""Why an actor ended, as a value, and what its callers are told.

OTP sorts every end into two: `normal`, `shutdown` and `{shutdown, Term}` are quiet, everything
else is a crash (OTP: Reference Manual, Processes). okibi keeps the sorting and names five kinds:

    normal     it returned by itself
    shutdown   it was asked to stop, or left with a reason that is no error
    killed     it was cut off without a chance to clean up, or did not end within its grace
    crashed    an exception left it; `detail` is that exception
    noproc     there was nobody at that address

One class with a kind, not five classes: each attrs class costs a cold start a fifth of a
millisecond, and a reason is compared far more often than it is taken apart.
"""

import signal
import threading
from typing import Any, Final, Literal, TypeGuard, TypeVar, cast

import attrs
import trio

from .safe_repr import IN_A_SENTENCE, brief, class_name, cut, said, shape, traceback_of

T = TypeVar("T")
Leaf = TypeVar("Leaf", bound=BaseException)
# As they are read of any group, whatever its class does.
_EXCEPTIONS: Any = BaseExceptionGroup.__dict__["exceptions"]
_MESSAGE: Any = BaseExceptionGroup.__dict__["message"]
Kind = Literal["normal", "shutdown", "killed", "crashed", "noproc"]


@attrs.frozen(repr=False)
class ExitReason:
    """Why an actor ended.

    Args:
        kind: one of the five kinds above.
        detail: the exception of a crash, or what a `shutdown` was given to say.
    """

    kind: Kind
    detail: object = None

    @property
    def quiet(self) -> bool:
        """Whether this end is no error: it is not logged and does not restart a transient child."""
        return self.kind == "normal" or self.kind == "shutdown"

    @property
    def error(self) -> BaseException | None:
        """The exception behind a crash, None for every other end."""
        crash = self.kind == "crashed" and isinstance(self.detail, BaseException)
        return cast("BaseException", self.detail) if crash else None

    def __str__(self) -> str:
        if self.detail is None:
            return self.kind
        error, detail = self.error, self.detail
        if error is not None:
            words = f"{class_name(type(error))}: {said(error)}".removesuffix(": ")
        else:
            # What a reason is given in words is said to others. A value may be a user's secret.
            words = repr(cut(detail, IN_A_SENTENCE)) if type(detail) is str else shape(detail)
        return f"{self.kind} ({words})"

    def __repr__(self) -> str:
        # A Down has it in its own: what it says must be fit for a log.
        return f"<ExitReason {self}>"


NORMAL = ExitReason("normal")
SHUTDOWN = ExitReason("shutdown")
KILLED = ExitReason("killed")
NO_PROCESS = ExitReason("noproc")
# Of an actor whose `init` raised Ignore; whoever starts it is told by a StartError with it.
IGNORED = ExitReason("normal", "ignored")


NOTHING: Final = object()


def crashed(error: BaseException) -> ExitReason:
    """The reason of an actor that an exception has left."""
    return ExitReason("crashed", error)


def shutdown(detail: object) -> ExitReason:
    """A quiet reason that says more than SHUTDOWN does (OTP: `{shutdown, Term}`)."""
    return ExitReason("shutdown", detail)


def checked(reason: object) -> ExitReason:
    """A reason that whoever is told of the end can read.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(reason, ExitReason):
        raise TypeError(
            f"why an actor ends is an ExitReason, not a {shape(reason)}: say shutdown(...)"
        )
    return reason


def check_grace(path: str, grace: float) -> None:
    """See to it that a grace can be counted down.

    Raises:
        ValueError: it is less than 0, or not a number.
    """
    if not grace >= 0:
        raise ValueError(f"{path}: a grace is 0 seconds or more, not {grace!r}")


class Exit(Exception):
    """Raised inside an actor to leave it with a reason of one's own (OTP: `exit/1`).

    Args:
        reason: what monitors, callers and the supervisor are told; NORMAL if left out.
        reply: what the caller is answered, once `terminate` has run (OTP: `{stop, Reason, Reply,
            State}`). Without it a caller is told by ActorExited.

    Raises:
        TypeError: `reason` is no ExitReason.
    """

    def __init__(self, reason: ExitReason = NORMAL, *, reply: object = NOTHING) -> None:
        super().__init__(str(checked(reason)))
        self.reason = reason
        self.reply = reply


class Ignore(Exception):
    """Raised in `init` by an actor that is not needed after all (OTP: `ignore`).

    It ends as `normal`, without `terminate` and without a log line. Its supervisor keeps the
    spec, unless the child is temporary, and goes on to the next child.
    """


class Refusal(Exception):
    """The base of errors that are answers (OTP: `{reply, {error, Reason}, State}`).

    One that leaves a server's method is raised in the caller, and the server lives; every other
    exception is the end of the server. A refused cast is logged.
    """


class Redacted(Exception):
    """In place of an exception that crashed an actor whose `format_status` has changed the reason.

    It says what `format_status` has put there, and has neither the traceback nor the causes of the
    exception: the crash report has the lines.
    """


class _Late(Exception):
    """An exception that makes its text when the text is read.

    Those who wait hear of an end before a user's `__str__` has its turn.
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class ActorExited(_Late):
    """The actor one spoke to has ended, or ended before it answered (OTP: `gen_server:call`).

    Its `__cause__` is the exception that crashed the actor, or a Redacted if the actor's
    `format_status` changed the reason. The frames in the traceback of the cause have no locals
    (module `empty_frames`). The text names the method and never its arguments, because a handler
    that does not catch this exception sends the text to the invoker.

    Attributes:
        path: the address it was spoken to by.
        reason: why it ended.
    """

    def __init__(self, path: str, reason: ExitReason, doing: str = "") -> None:
        super().__init__(path, reason.kind, doing)
        self.path = path
        self.reason = reason
        self.__cause__ = reason.error
        self._doing = doing

    def __str__(self) -> str:
        asked = f", asked for {self._doing}" if self._doing else ""
        return f"{self.path} is gone: {self.reason}{asked}"


class NoProcess(ActorExited):
    """No actor bears that name now (OTP: `noproc`).

    Its text says whether a supervisor is about to start the actor again.
    """

    def __init__(self, key: object, why: str = "start one with name=...") -> None:
        super().__init__(str(key), NO_PROCESS)
        self.args = (f"no actor is registered as {brief(key)}: {why}",)

    __str__ = Exception.__str__


class CallCycle(RuntimeError):
    """Actors call each other in a circle: this call would have closed it and never returned.

    OTP lets them wait until one of them times out. In one process all waits are known. Or what
    closed it was the wait for the end of one of them, who drains or is shielded, and could not end.

    Attributes:
        paths: who calls whom, beginning and ending with the actor that made this call.
    """

    def __init__(self, sentence: str, paths: tuple[str, ...]) -> None:
        super().__init__(sentence)
        self.paths = paths


class CallingSelf(CallCycle):
    """An actor called itself and would have waited for ever (OTP: `calling_self`)."""


class StartError(_Late):
    """An actor did not start: it is this exception's `path`, and `reason` says why."""

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
    """Why an actor has ended, from what left its body and what had been asked of it.

    First the exception, then the scope: a body that crashes while it is being cancelled has
    crashed, though trio says that the cancellation was caught.

    Args:
        error: what its body raised; Cancelled, alone or in a group, is no crash.
        killed: whether it was cut off.
        asked: the reason it was asked to stop with, if it was.
    """
    cut, crash = (False, None) if error is None else _split(error)
    if crash is not None:
        return left_with(crash) if is_a(crash, Exit) else crashed(crash)
    if killed:
        return KILLED
    if asked is not None:
        return asked
    return SHUTDOWN if cut else NORMAL


def farewell_in(error: BaseException) -> object:
    """The last reply that an Exit in it gives, NOTHING if there is none."""
    crash = crash_in(error)
    try:
        return crash.reply if is_a(crash, Exit) else NOTHING
    except BaseException:
        return NOTHING


def left_with(error: Exit) -> ExitReason:
    """The reason that an Exit gives. A subclass that has none, or another value, is a crash."""
    try:
        return checked(error.reason)
    except BaseException:
        return crashed(error)


def interrupted(error: BaseException | None) -> bool:
    """Whether a KeyboardInterrupt is in it, alone or in a group."""
    return error is not None and leaf_in(error, KeyboardInterrupt) is not None


def sigint_raises() -> bool:
    """Whether a KeyboardInterrupt here may have come of SIGINT: Python's way, or trio's."""
    taken = signal.getsignal(signal.SIGINT)
    by = str(getattr(taken, "__module__", None)).partition(".")[0]
    here = threading.current_thread() is threading.main_thread()
    return here and (taken is signal.default_int_handler or by == "trio")


def is_a(value: object, kind: type[T]) -> TypeGuard[T]:
    """Whether an exception or a message is of a kind; `isinstance` would ask its `__class__` too.

    That is a user's: a lazy object opens its connection there, and may raise.
    """
    return issubclass(type(value), kind)


def leaf_in(error: BaseException, kind: type[Leaf]) -> Leaf | None:
    """The first exception of a kind in an error, alone or in a group; None if there is none.

    Not by the group's own methods: those of a class of the user's may raise what they like.
    """
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if is_a(each, kind):
            return each
        waiting += reversed(members_of(each))
    return None


def crash_in(error: BaseException) -> BaseException | None:
    """What is left of an exception without Cancelled: None if it was nothing but cancellation."""
    return _split(error)[1]


def _split(error: BaseException) -> tuple[bool, BaseException | None]:
    """Whether Cancelled is in `error`, and what else is; a group of one is that one."""
    crash = uncancelled(error)
    return crash is not error, None if crash is None else _alone(crash)


def uncancelled(error: BaseException) -> BaseException | None:
    """An error without the Cancelled in it: itself if it has none, None if there is no more."""
    if leaf_in(error, trio.Cancelled) is None:
        return error
    if not issubclass(type(error), BaseExceptionGroup):
        return None
    group = cast("BaseExceptionGroup[BaseException]", error)
    try:
        return BaseExceptionGroup.split(group, trio.Cancelled)[1]
    except BaseException:
        # One in it is of a class of the user's that cannot be made anew.
        rest = [left for each in members_of(group) if (left := uncancelled(each)) is not None]
        if not rest:
            return None
        message: str = _MESSAGE.__get__(group)
        return BaseExceptionGroup(message, rest).with_traceback(traceback_of(group))


def _alone(error: BaseException) -> BaseException:
    """The exception a nursery has wrapped, when it is the only one."""
    while len(members := members_of(error)) == 1:
        error = members[0]
    return error


def members_of(error: BaseException) -> tuple[BaseException, ...]:
    """The exceptions in a group, whatever its class does; empty if `error` is no group."""
    members: tuple[BaseException, ...] = ()
    if is_a(error, BaseExceptionGroup):
        members = _EXCEPTIONS.__get__(error)
    return members
