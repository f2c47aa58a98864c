"""What a supervisor decides: pure functions over its children's states.

Theory of operation (OTP: supervisor.erl, `do_restart`, `restart/2`, `add_restart`).

A child that ends by itself is one event. Its restart type says whether it is to run again; only
if so does the strategy come into play, and only then does the event count against the intensity.

    ended            permanent          transient                  temporary
    quietly          restart            leave it, keep the spec    forget it
    otherwise        restart            restart                    forget it

    to restart it    stop, last first           then start, in order
    one_for_one      nobody                     it
    rest_for_one     those after it             it and those after it
    one_for_all      all others                 all

Temporary siblings that a strategy stops are forgotten for good; every other spec in its range is
started, also one that had ended quietly and was left.

The intensity is the supervisor's: one event counts one, however many siblings restart with it.
Each attempt counts, failed ones too, so a child that can no longer start brings its supervisor
down instead of being tried for ever. After a failed attempt the supervisor goes back to its
mailbox before it tries again, so a request to stop gets its turn. What did start stays up until
then: one_for_all stops it again and starts all, rest_for_one goes on from the child that failed.

Where this differs from OTP: the window is in seconds as they are, not cut to whole ones.
"""

import enum
from collections.abc import Sequence
from typing import NamedTuple

import attrs

from actors import ExitReason

from .spec import Restart, Strategy, Supervision


class State(enum.Enum):
    """How a child stands with its supervisor."""

    UNDEFINED = "undefined"
    RUNNING = "running"
    RESTARTING = "restarting"


class Standing(NamedTuple):
    """One child as the decision sees it."""

    id: str
    restart: Restart
    state: State


@attrs.frozen
class Decision:
    """What to do now, in this order.

    Attributes:
        stop: ids to stop, one after the other.
        forget: ids whose specs are dropped, once stopped.
        start: ids to start, one after the other.
        give_up: stop everything and end.
        restarts: the times of restarts that still count, newest last.
    """

    restarts: tuple[float, ...]
    stop: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    give_up: bool = False


def ended(
    flags: Supervision,
    children: Sequence[Standing],
    child: str,
    reason: ExitReason,
    restarts: tuple[float, ...],
    now: float,
) -> Decision:
    """Decide what follows from the end of a running child.

    Args:
        flags: strategy, intensity and period.
        children: all children in start order; the one that ended as UNDEFINED.
        child: its id.
        reason: why it ended.
        restarts: the times of earlier restarts.
        now: seconds of the supervisor's clock.
    """
    kind = next(c.restart for c in children if c.id == child)
    if kind is Restart.TEMPORARY:
        return Decision(restarts, forget=(child,))
    if kind is Restart.TRANSIENT and reason.quiet:
        return Decision(restarts)
    decision = count(flags, restarts, now)
    if decision.give_up:
        return decision
    return again(flags.strategy, children, child, decision.restarts)


def count(flags: Supervision, restarts: tuple[float, ...], now: float) -> Decision:
    """Count one more attempt; give up if the period has seen more than the intensity."""
    recent = (*(t for t in restarts if t >= now - flags.period), now)
    return Decision(recent, give_up=len(recent) > flags.intensity)


def again(
    strategy: Strategy, children: Sequence[Standing], child: str, restarts: tuple[float, ...]
) -> Decision:
    """Whom to stop and whom to start so that `child` runs again."""
    at = next(n for n, c in enumerate(children) if c.id == child)
    match strategy:
        case Strategy.ONE_FOR_ONE:
            reach = children[at : at + 1]
        case Strategy.REST_FOR_ONE:
            reach = children[at:]
        case Strategy.ONE_FOR_ALL:
            reach = children
    return Decision(
        restarts,
        stop=tuple(c.id for c in reversed(reach) if c.state is State.RUNNING),
        forget=tuple(c.id for c in reach if c.restart is Restart.TEMPORARY),
        start=tuple(c.id for c in reach if c.restart is not Restart.TEMPORARY),
    )
