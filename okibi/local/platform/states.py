# The rules for the calls of a runtime in classic mode.
#
# The platform keeps one state machine per runtime (Runtime API; AWS's emulator has it in `rapid`'s
# core/states.go). The calls of the runtime change the state, and so does RELEASE: an event is
# handed to a waiting /next.
#
#    Started --next--> Ready --release--> Running --response--> InvocationResponse ---+
#       |                ^                 | |  \                                     | answered
#   init/error           |                 | |   +--error--> InvocationErrorResponse--+
#       v                |              next |                                        v
#   InitError            |     (same event)  +                                 ResponseSent
#                        +------------------------------next--------------------------+
#
# Three rules surprise, and all three are Lambda's:
#
# * A /response or an /error changes the state twice: when its headers have been read, and when its
#   body has been accepted. Between the two, every other call is refused. After a body that never
#   ends (a broken connection, a bad response mode) only the time-out leads out, with a new sandbox.
#   For this reason the table has no transition for a truncated body.
# * /next while Running is allowed and changes nothing: the runtime gets the same event again.
# * The request id is checked before the state: a stale id gets 400 even in a state that
#   would refuse with 403.
#
# Error messages name the states as rapid does. Only `ResponseSent` is "RuntimeResponseSentState" on
# the wire, which looks like a slip.
#
# `snap_start.py` has the states of a restore.
#
# Rejected: one class per state, as in rapid. A table can be read, and a test can check every cell.
"""The state machine of a runtime, as the platform sees it."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

import attrs


class RuntimeState(Enum):
    """The state of the runtime. The value is the name in an error message."""

    STARTED = "Started"
    INIT_ERROR = "InitError"
    RESTORE_READY = "RestoreReady"
    RESTORING = "Restoring"
    RESTORE_ERROR = "RuntimeRestoreErrorState"
    READY = "Ready"
    RUNNING = "Running"
    INVOCATION_RESPONSE = "InvocationResponse"
    INVOCATION_ERROR_RESPONSE = "InvocationErrorResponse"
    RESPONSE_SENT = "RuntimeResponseSentState"

    # Members are compared by identity, and this hash is faster than Enum's, which runs Python code.
    __hash__ = object.__hash__


class RuntimeTrigger(Enum):
    """A trigger of a new state. The value is the name of that state in an error message."""

    NEXT = "Ready"
    INIT_ERROR = "InitError"
    RESTORE_NEXT = "RestoreReady"
    RESTORE_ERROR = "RuntimeRestoreErrorState"
    RESPONSE = "InvocationResponse"
    ERROR = "InvocationErrorResponse"
    ANSWERED = "ResponseSent"
    RELEASE = "Running"

    __hash__ = object.__hash__


@attrs.frozen
class ApiError:
    """An error response of the platform to a call.

    Args:
        status: the HTTP status.
        error_type: `errorType` in the body.
        message: `errorMessage` in the body.
    """

    status: int
    error_type: str
    message: str


TRANSITIONS: Mapping[RuntimeState, Mapping[RuntimeTrigger, RuntimeState]] = MappingProxyType(
    {
        RuntimeState.STARTED: {
            RuntimeTrigger.NEXT: RuntimeState.READY,
            RuntimeTrigger.INIT_ERROR: RuntimeState.INIT_ERROR,
            RuntimeTrigger.RESTORE_NEXT: RuntimeState.RESTORE_READY,
        },
        RuntimeState.RESTORE_READY: {RuntimeTrigger.RELEASE: RuntimeState.RESTORING},
        RuntimeState.RESTORING: {
            RuntimeTrigger.NEXT: RuntimeState.READY,
            RuntimeTrigger.RESTORE_ERROR: RuntimeState.RESTORE_ERROR,
        },
        RuntimeState.READY: {
            RuntimeTrigger.NEXT: RuntimeState.READY,
            RuntimeTrigger.RELEASE: RuntimeState.RUNNING,
        },
        RuntimeState.RUNNING: {
            RuntimeTrigger.NEXT: RuntimeState.RUNNING,
            RuntimeTrigger.RESPONSE: RuntimeState.INVOCATION_RESPONSE,
            RuntimeTrigger.ERROR: RuntimeState.INVOCATION_ERROR_RESPONSE,
        },
        RuntimeState.INVOCATION_RESPONSE: {RuntimeTrigger.ANSWERED: RuntimeState.RESPONSE_SENT},
        RuntimeState.INVOCATION_ERROR_RESPONSE: {
            RuntimeTrigger.ANSWERED: RuntimeState.RESPONSE_SENT
        },
        RuntimeState.RESPONSE_SENT: {RuntimeTrigger.NEXT: RuntimeState.READY},
        RuntimeState.INIT_ERROR: {},
        RuntimeState.RESTORE_ERROR: {},
    }
)


def transition(state: RuntimeState, trigger: RuntimeTrigger) -> RuntimeState | ApiError:
    """Return the new state, or the 403 for a call that the state does not allow (Runtime API)."""
    target = TRANSITIONS[state].get(trigger)
    if target is not None:
        return target
    return ApiError(
        status=403,
        error_type="InvalidStateTransition",
        message=(
            f"State transition from {state.value} to {trigger.value} failed for runtime."
            " Error: State transition is not allowed"
        ),
    )
