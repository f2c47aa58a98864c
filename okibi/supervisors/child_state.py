"""The life cycle of a child's place, as one table.

Theory of operation.

A place is where a child stands with its supervisor: its spec, and whoever lives there now. It
outlives its incarnations, which have a life cycle of their own (`actors.process`);
this one is the supervisor's side of it, and every kind of supervisor lives by it.

    UNDEFINED    nobody lives there: not yet, no more, or it was not needed (OTP: `undefined`)
    STARTING     somebody was put there, and its `init` has not returned
    RUNNING      its `init` has returned
    STOPPING     it was asked to end, or killed, and has not ended
    RESTARTING   nobody lives there, and a next attempt to start is under way (OTP: `restarting`)
    FORGOTTEN    the place is given up; it is in no list any more

What happens to it:

    START        somebody is put there: at first, on request, or by a strategy
    STARTED      its `init` has returned
    ENDED        it has ended: by itself, because it was asked to, or before it had started
    STOP         it is asked to end; where only an attempt is under way, that is called off
    RETRY        it is to be started, but later: a start has failed, or back-off is asked for
    FORGET       its spec is dropped: a temporary child has ended, or somebody has deleted it

What is not in the table cannot happen; if it does the supervisor is wrong, and says so. Three
rules are in it that are easily lost:

 * There is no way from RUNNING to STARTING but through ENDED: two incarnations of one child never
   live at once, and nobody is started in a place whose last inhabitant has not gone.
 * STOP leads from RESTARTING to UNDEFINED and not to STOPPING: there is nobody to wait for. This
   is how `terminate_child` ends a restart loop.
 * A place is forgotten only when nobody lives there.

A kill that follows a stop that took too long is one more STOP. A STARTED that comes after the
STOP is late news: an `init` may return in the very step in which its supervisor is killed.
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType


class ChildState(enum.Enum):
    """How a child stands with its supervisor."""

    UNDEFINED = "undefined"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    RESTARTING = "restarting"
    FORGOTTEN = "forgotten"

    # Each is itself and no other. Enum's own hashes the name, in Python: most of a look-up.
    __hash__ = object.__hash__


class ChildEvent(enum.Enum):
    """What happens to a child's place."""

    START = "start"
    STARTED = "started"
    ENDED = "ended"
    STOP = "stop"
    RETRY = "retry"
    FORGET = "forget"

    __hash__ = object.__hash__


class LifeCycleError(RuntimeError):
    """An event that cannot be in that state: a mistake in the supervisor, never in the child."""


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

# In which states somebody lives there: it can be found by its process, and has to be stopped.
HAS_PROCESS = frozenset({ChildState.STARTING, ChildState.RUNNING, ChildState.STOPPING})


def after(state: ChildState, event: ChildEvent) -> ChildState:
    """The state that follows.

    Raises:
        LifeCycleError: the event cannot be in that state.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        impossible = f"{event.value!r} cannot happen to a place that is {state.value}"
        raise LifeCycleError(impossible) from None
