"""Write okibi's replies and reasons in the terms of OTP's recordings."""

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
    """A crash with a reason of a scenario: `x`, `failed`."""


ERROR_TERMS: dict[type[BaseException], str] = {
    AlreadyPresent: "already_present",
    MaxChildren: "max_children",
    NotFound: "not_found",
    Restarting: "restarting",
    Running: "running",
    SupervisorGaveUp: "gave_up",
    CallingSelf: "calling_self",
    TimeoutError: "timeout",
}

# The reasons of OTP's `check_childspecs/1`, by the invalid field.
FIELD_ERRORS = {
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

REASONS = {"normal": NORMAL, "shutdown": SHUTDOWN, "{shutdown,x}": shutdown("x")}

Label = Callable[[Ref[Any]], str]


def parse_reason(word: str) -> ExitReason:
    """Convert a reason of a scenario to an ExitReason."""
    return REASONS.get(word) or crashed(Crash(word))


def format_reason(reason: ExitReason) -> str:
    if reason.error is not None:
        return format_error(reason.error)
    return reason.kind if reason.detail is None else f"{{{reason.kind},{reason.detail}}}"


def format_error(error: BaseException) -> str:
    if isinstance(error, Crash):
        return str(error)
    if isinstance(error, StartError):
        child = error.path.rpartition("/")[2]
        return f"{{shutdown,{{failed_to_start_child,{child},{format_reason(error.reason)}}}}}"
    if isinstance(error, SpecError):
        # significant=True is valid alone: another field contradicts the value.
        together = error.field == "significant" and error.value is True
        return "bad_combination" if together else FIELD_ERRORS[error.field]
    return ERROR_TERMS.get(type(error), type(error).__name__)


def format_refusal(error: Exception, label: Label) -> str:
    """Format the error of a call to a supervisor."""
    if isinstance(error, AlreadyStarted):
        return f"error {{already_started,{label(error.ref)}}}"
    if isinstance(error, ChildFailed):
        return f"error {format_reason(error.reason)}"
    if isinstance(error, ActorExited):
        return "error noproc"
    return f"error {format_error(error)}"


def format_start_error(failure: StartError) -> str:
    """Format the error that the starter of a supervisor gets."""
    return "ignore" if failure.reason == IGNORED else f"error {format_reason(failure.reason)}"


def format_reply(reply: object, label: Label) -> object:
    """Convert a reply to JSON data."""
    match reply:
        case Counts():
            return list(reply)
        case Child():
            return format_spec(reply)
        case ChildInfo():
            status = label(reply.ref) if reply.ref is not None else reply.state.value
            return [reply.id, status, reply.kind]
        case tuple():
            return [format_reply(each, label) for each in reply]
        case Ref():
            return f"ok {label(reply)}"
        case _:
            return "ok"


def format_spec(spec: Child[Any]) -> dict[str, object]:
    limit = "infinity" if spec.shutdown == INFINITY else spec.shutdown
    return {
        "id": spec.id,
        "restart": spec.restart.value,
        "shutdown": limit if isinstance(limit, str) else round(limit * 1000),
        "significant": spec.significant,
        "type": kind_of(spec),
    }
