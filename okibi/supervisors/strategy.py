"""Decide what a supervisor does after a child has ended. All functions are pure.

Theory of operation (OTP: supervisor.erl, `do_restart`, `restart/2`, `add_restart`).

The restart type decides whether a child that ended by itself is restarted. The strategy and the
intensity matter only for a restart.

    exit reason         permanent    transient                   temporary
    normal, shutdown    restart      stay down, keep the spec    drop the spec
    crashed, killed     restart      restart                     drop the spec

    strategy            stop, last child first    then start, first child first
    one_for_one         no sibling                the child
    rest_for_one        the children after it     the child and the children after it
    one_for_all         all other children        all children

Temporary siblings in range are stopped, and their specs are dropped. All other children in range
are started, also transient children that had stayed down.

Intensity. One exit counts as one restart, however many siblings restart with the child. A failed
attempt to start counts too. A child that can no longer start therefore makes the supervisor give
up. After a failed attempt the supervisor returns to the mailbox, so a request to stop is handled
before the next attempt. Children that did start keep running until the next attempt: one_for_all
then stops and starts all children, rest_for_one continues with the child that failed.

An attempt is counted when it is made. An attempt that is called off, or that a sibling's restart
includes, does not count. With back-off, a failed attempt counts the next attempt immediately:
otherwise the supervisor would wait first and give up afterwards.

Significant children (OTP: auto_shutdown). A supervisor may stop because a significant child has
ended by itself and is not restarted. any_significant: the supervisor stops after the first one.
all_significant: it stops after the last one, when no other significant child runs or waits for a
restart. Children that were stopped, by a strategy or on request, never cause a shutdown.

Back-off. The strategy stops the siblings immediately. The child then waits in RESTARTING, while
the supervisor handles messages. The delay grows with each restart of a child that has run for less
than a period, after the restarts that `Backoff.immediate` allows without a delay. Each child has
its own delay. With an intensity of INFINITY the supervisor never gives up.

Difference from OTP, besides back-off: the window of the intensity is not rounded to whole seconds.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..actors import ExitReason
from .any_supervisor_spec import AutoShutdown
from .child_state import HAS_PROCESS, ChildState
from .spec import Restart, Strategy, SupervisorSpec

if TYPE_CHECKING:
    from .backoff import Backoff

    class Limits(Protocol):
        """The two fields of a supervisor spec that limit restarts."""

        @property
        def intensity(self) -> float: ...

        @property
        def period(self) -> float: ...


class ChildView(NamedTuple):
    """The facts about one child that a decision depends on."""

    id: str
    restart: Restart
    state: ChildState
    significant: bool = False


class Decision(NamedTuple):
    """The next actions of the supervisor, in the order of the fields.

    Attributes:
        restarts: the times of the restarts that still count, the newest last.
        stop: the ids of children to stop, one after the other.
        forget: the ids of children whose specs are dropped after the stop.
        start: the ids of children to start, one after the other.
        give_up: the supervisor stops all children and crashes.
        shut_down: the supervisor stops all children and ends, because of `auto_shutdown`.
    """

    restarts: tuple[float, ...]
    stop: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    give_up: bool = False
    shut_down: bool = False


class RestartDelay(NamedTuple):
    """The delay of a restart.

    Attributes:
        seconds: the length of the delay; 0 for a restart at once.
        until: the end of the delay, as a time of trio's clock.
        crashes: the number of times the child has ended in a row.
        since: the start of the row, as a time of trio's clock.
    """

    seconds: float
    until: float
    crashes: int
    since: float


def decide_on_end(
    spec: SupervisorSpec,
    children: Sequence[ChildView],
    child: str,
    reason: ExitReason,
    restarts: tuple[float, ...],
    now: float,
) -> Decision:
    """Decide what to do after a child has ended by itself.

    Args:
        spec: strategy, intensity, period and auto_shutdown.
        children: all children in start order. The state of the ended child is UNDEFINED.
        child: the id of the ended child.
        reason: the exit reason.
        restarts: the times of earlier restarts, the newest last.
        now: the time of trio's clock.
    """
    kind = next(c.restart for c in children if c.id == child)
    if not should_restart(kind, reason):
        forget = (child,) if kind is Restart.TEMPORARY else ()
        over = should_shut_down(spec.auto_shutdown, children, child)
        return Decision(restarts, forget=forget, shut_down=over)
    decision = count_restart(spec, restarts, now)
    if decision.give_up:
        return decision
    return decide_restart(spec.strategy, children, child, decision.restarts)


def should_restart(restart: Restart, reason: ExitReason) -> bool:
    """Return whether a child that ended by itself is restarted."""
    return restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and not reason.quiet)


def count_restart(spec: "Limits", restarts: tuple[float, ...], now: float) -> Decision:
    """Count one more restart. Give up if the period holds more restarts than the intensity."""
    # The times are sorted. Bisecting is fast with thousands of them.
    recent = (*restarts[bisect_left(restarts, now - spec.period) :], now)
    return Decision(recent, give_up=len(recent) > spec.intensity)


def decide_restart(
    strategy: Strategy, children: Sequence[ChildView], child: str, restarts: tuple[float, ...]
) -> Decision:
    """Decide which children to stop and to start so that `child` runs again."""
    at = next(n for n, c in enumerate(children) if c.id == child)
    in_range = children
    if strategy is Strategy.ONE_FOR_ONE:
        in_range = children[at : at + 1]
    elif strategy is Strategy.REST_FOR_ONE:
        in_range = children[at:]
    return Decision(
        restarts,
        stop=tuple(c.id for c in reversed(in_range) if c.state in HAS_PROCESS),
        forget=tuple(c.id for c in in_range if c.restart is Restart.TEMPORARY),
        start=tuple(c.id for c in in_range if c.restart is not Restart.TEMPORARY),
    )


def should_shut_down(auto: AutoShutdown, children: Sequence[ChildView], child: str) -> bool:
    """Return whether the supervisor stops because `child` has ended and is not restarted."""
    if auto is AutoShutdown.NEVER:
        return False
    if not any(c.significant for c in children if c.id == child):
        return False
    if auto is AutoShutdown.ALL_SIGNIFICANT:
        others = (c for c in children if c.significant and c.id != child)
        return all(c.state is ChildState.UNDEFINED for c in others)
    return auto is AutoShutdown.ANY_SIGNIFICANT


def next_delay(backoff: "Backoff", last: RestartDelay | None, now: float) -> RestartDelay:
    """Return the delay before the next restart of a child.

    Args:
        backoff: the number of immediate restarts, the first delay, the maximum and the factor.
        last: the last delay of the child; None for the first of a row.
        now: the time of trio's clock.
    """
    crashes, since, before = 1, now, 0.0
    if last is not None:
        crashes, since, before = last.crashes + 1, last.since, last.seconds
    if crashes <= backoff.immediate:
        seconds = 0.0
    else:
        seconds = min(before * backoff.factor, backoff.maximum) or backoff.first
    return RestartDelay(seconds, now + seconds, crashes, since)
