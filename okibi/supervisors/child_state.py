"""The states of a place, and the events that change them, as one table.

Theory of operation.

A place holds a child spec and, while the child runs, the child's process (OTP: the `child` record
of supervisor.erl). A place outlives the incarnations of the child. An incarnation has phases
(`actors.process`); the states here are the supervisor's view, for all kinds of supervisor.

    UNDEFINED    no process: not started, ended, or `init` raised Ignore (OTP: `undefined`)
    STARTING     the process was spawned, and `init` has not returned
    RUNNING      `init` has returned
    STOPPING     the process was asked to stop or was killed, and has not ended
    RESTARTING   no process; another attempt to start is scheduled (OTP: `restarting`)
    FORGOTTEN    the spec was dropped; no supervisor lists the place

Events:

    START        a process is spawned: the first one, on request, or by a strategy
    STARTED      `init` has returned
    ENDED        the process has ended: by itself, on request, or before `init` returned
    STOP         the process is asked to stop, or is killed; a scheduled attempt is called off
    RETRY        an attempt is scheduled: the last one failed, or back-off delays the restart
    FORGET       the spec is dropped: a temporary child has ended, or `delete_child` was called

A pair that the table lacks is a bug in the supervisor and raises LifeCycleError. Three rules are
easy to overlook:

 * RUNNING leads to STARTING only by way of ENDED. Two incarnations never run at the same time.
 * STOP leads from RESTARTING to UNDEFINED, not to STOPPING: no process has to end. This is how
   `terminate_child` ends a loop of restarts.
 * Only a place without a process can be forgotten.

A kill after a slow stop is a second STOP. STARTED in STOPPING is legal: `init` may return in the
step in which the supervisor kills the child.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType


class ChildState(enum.Enum):
    """The state of a child as its supervisor sees the child; explained in this module's docstring.

    FORGOTTEN never appears in a ChildInfo.
    """

    UNDEFINED = "undefined"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    RESTARTING = "restarting"
    FORGOTTEN = "forgotten"

    # Members are compared by identity. Enum's own hash is Python code: most of a look-up's time.
    __hash__ = object.__hash__


class ChildEvent(enum.Enum):
    """An event in the life of a place."""

    START = "start"
    STARTED = "started"
    ENDED = "ended"
    STOP = "stop"
    RETRY = "retry"
    FORGET = "forget"

    __hash__ = object.__hash__


class LifeCycleError(RuntimeError):
    """A state does not allow an event: a bug in the supervisor, not in the child."""


TRANSITIONS: Mapping[ChildState, Mapping[ChildEvent, ChildState]] = MappingProxyType(
    {
        ChildState.UNDEFINED: {
            ChildEvent.START: ChildState.STARTING,
            ChildEvent.RETRY: ChildState.RESTARTING,
            ChildEvent.STOP: ChildState.UNDEFINED,
            ChildEvent.FORGET: ChildState.FORGOTTEN,
        },
        ChildState.STARTING: {
            ChildEvent.STARTED: ChildState.RUNNING,
            ChildEvent.ENDED: ChildState.UNDEFINED,
            ChildEvent.STOP: ChildState.STOPPING,
        },
        ChildState.RUNNING: {
            ChildEvent.ENDED: ChildState.UNDEFINED,
            ChildEvent.STOP: ChildState.STOPPING,
        },
        ChildState.STOPPING: {
            ChildEvent.STARTED: ChildState.STOPPING,
            ChildEvent.ENDED: ChildState.UNDEFINED,
            ChildEvent.STOP: ChildState.STOPPING,
        },
        ChildState.RESTARTING: {
            ChildEvent.START: ChildState.STARTING,
            ChildEvent.STOP: ChildState.UNDEFINED,
        },
        ChildState.FORGOTTEN: {},
    }
)

# The states in which a place has a process.
HAS_PROCESS = frozenset({ChildState.STARTING, ChildState.RUNNING, ChildState.STOPPING})


def next_state(state: ChildState, event: ChildEvent) -> ChildState:
    """Return the state after an event.

    Raises:
        LifeCycleError: the table does not allow the event in this state.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        message = f"event {event.value!r} is not allowed in state {state.value!r}"
        raise LifeCycleError(message) from None
