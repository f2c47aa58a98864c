# Everything that decides whether a call of the runtime is allowed lives here.
#
# The platform sees one runtime through one state machine, classic mode (Runtime API; AWS's own
# emulator keeps it in `rapid`'s core/states.go). It is the runtime's calls that drive it, and one
# act of the platform, RELEASE: an invoke has arrived and goes to whoever waits in /next.
#
#    Started --next--> Ready --release--> Running --response--> InvocationResponse ---+
#       |                ^                 | |  \                                     | answered
#   init/error           |                 | |   +--error--> InvocationErrorResponse--+
#       v                |              next |                                        v
#   InitError            |     (same event)  +                                 ResponseSent
#                        +------------------------------next--------------------------+
#
# Three things in it surprise, and all three are Lambda's:
#
# * A /response or an /error moves the state twice: once when its headers have been read, and once
#   when its body has been read and accepted. Between the two every other call is refused. A body
#   that never ends (the connection broke; a bad response mode) leaves the runtime there until the
#   invoke times out, and only a new sandbox leads out. So there is no transition for "truncated"
#   in the table: that is the rule.
# * /next while Running is allowed and changes nothing. The runtime gets the event it has already,
#   at once.
# * A request id is not a matter of state. It is compared before the table is asked, hence a 400
#   for a stale id even where the table would say 403.
#
# The name in a refusal is the state's own name in rapid. `ResponseSent` calls itself
# "RuntimeResponseSentState" there, which looks like a slip and is on the wire, so it is here.
#
# Rejected: one class a state, as rapid has it. The table is the thing one wants to read, and a
# test can walk every cell of it.
"""The state machine of a runtime as the platform sees it: a table and one function over it."""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

import attrs

__all__ = ["TRANSITIONS", "ApiError", "RuntimeState", "RuntimeTrigger", "transition"]


class RuntimeState(Enum):
    """Where the runtime stands; the value is the name that a refusal shows."""

    STARTED = "Started"
    INIT_ERROR = "InitError"
    READY = "Ready"
    RUNNING = "Running"
    INVOCATION_RESPONSE = "InvocationResponse"
    INVOCATION_ERROR_RESPONSE = "InvocationErrorResponse"
    RESPONSE_SENT = "RuntimeResponseSentState"

    # A member is its own only equal, so identity may hash it; Enum's own hash goes through Python
    # code.
    __hash__ = object.__hash__


class RuntimeTrigger(Enum):
    """What moves the state; the value is the name that a refusal gives to where it would lead."""

    NEXT = "Ready"
    INIT_ERROR = "InitError"
    RESPONSE = "InvocationResponse"
    ERROR = "InvocationErrorResponse"
    ANSWERED = "ResponseSent"
    RELEASE = "Running"

    __hash__ = object.__hash__


@attrs.frozen
class ApiError:
    """An answer of the platform that is not what the runtime asked for.

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
    }
)


def transition(state: RuntimeState, move: RuntimeTrigger) -> RuntimeState | ApiError:
    """The state that `move` leads to, or the 403 that answers it (Runtime API)."""
    target = TRANSITIONS[state].get(move)
    if target is not None:
        return target
    return ApiError(
        status=403,
        error_type="InvalidStateTransition",
        message=(
            f"State transition from {state.value} to {move.value} failed for runtime."
            " Error: State transition is not allowed"
        ),
    )
