"""How okibi's replies and reasons are written, in the words of the recording."""

from collections.abc import Callable
from typing import Any

from okibi.actors import ActorExited, CallingSelf, ExitReason, Ref, StartError, crashed, shutdown
from okibi.actors.exits import IGNORED, NORMAL, SHUTDOWN
from okibi.supervisors import (
    INFINITY,
    AlreadyPresent,
    AlreadyStarted,
    Child,
    ChildFailed,
    ChildInfo,
    Counts,
    MaxChildren,
    NotFound,
    Restarting,
    Running,
    SpecError,
    SupervisorGaveUp,
)
from okibi.supervisors.admin import kind_of


class Crash(Exception):
    """OTP's reasons that are crashes: `x`, `failed`."""


NAMES: dict[type[BaseException], str] = {
    AlreadyPresent: "already_present",
    MaxChildren: "max_children",
    NotFound: "not_found",
    Restarting: "restarting",
    Running: "running",
    SupervisorGaveUp: "gave_up",
    CallingSelf: "calling_self",
    TimeoutError: "timeout",
}

# The reasons of `check_childspecs/1`, by the field that is wrong.
WRONG_FIELDS = {
    "auto_shutdown": "invalid_auto_shutdown",
    "children": "invalid_child_spec",
    "id": "duplicate_child_name",
    "intensity": "invalid_intensity",
    "period": "invalid_period",
    "restart": "invalid_restart_type",
    "shutdown": "invalid_shutdown",
    "significant": "invalid_significant",
    "spec": "invalid_child_spec",
    "start": "invalid_mfa",
    "strategy": "invalid_strategy",
}

QUIET = {"normal": NORMAL, "shutdown": SHUTDOWN, "{shutdown,x}": shutdown("x")}

Label = Callable[[Ref[Any]], str]


def to_reason(word: str) -> ExitReason:
    """A reason, as a scenario writes it."""
    return QUIET.get(word) or crashed(Crash(word))


def of_reason(reason: ExitReason) -> str:
    if reason.error is not None:
        return of_error(reason.error)
    return reason.kind if reason.detail is None else f"{{{reason.kind},{reason.detail}}}"


def of_error(error: BaseException) -> str:
    if isinstance(error, Crash):
        return str(error)
    if isinstance(error, StartError):
        child = error.path.rpartition("/")[2]
        return f"{{shutdown,{{failed_to_start_child,{child},{of_reason(error.reason)}}}}}"
    if isinstance(error, SpecError):
        # A value that is legal alone is wrong together with another field.
        together = error.field == "significant" and error.value is True
        return "bad_combination" if together else WRONG_FIELDS[error.field]
    return NAMES.get(type(error), type(error).__name__)


def of_refusal(error: Exception, label: Label) -> str:
    """What an administrator is told who is refused."""
    if isinstance(error, AlreadyStarted):
        return f"error {{already_started,{label(error.ref)}}}"
    if isinstance(error, ChildFailed):
        return f"error {of_reason(error.reason)}"
    if isinstance(error, ActorExited):
        return "error noproc"
    return f"error {of_error(error)}"


def of_start_error(failure: StartError) -> str:
    """What the parent of a supervisor is told that does not start."""
    return "ignore" if failure.reason == IGNORED else f"error {of_reason(failure.reason)}"


def of_reply(reply: object, label: Label) -> object:
    """A reply, ready for JSON."""
    match reply:
        case Counts():
            return list(reply)
        case Child():
            return of_spec(reply)
        case ChildInfo():
            there = label(reply.ref) if reply.ref is not None else reply.state.value
            return [reply.id, there, reply.kind]
        case tuple():
            return [of_reply(each, label) for each in reply]
        case Ref():
            return f"ok {label(reply)}"
        case _:
            return "ok"


def of_spec(spec: Child[Any]) -> dict[str, object]:
    seconds = spec.shutdown
    lasting = "infinity" if seconds == INFINITY else seconds
    return {
        "id": spec.id,
        "restart": spec.restart.value,
        "shutdown": lasting if isinstance(lasting, str) else round(lasting * 1000),
        "significant": spec.significant,
        "type": kind_of(spec),
    }
