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
The next attempt is counted when it is made: one that is called off meanwhile, or that a sibling's
restart takes along, was none. (With back-off, when the one before has failed: nobody is to wait
for an attempt that will not be made.)

A significant child that has ended by itself and is not to run again may be the end of its
supervisor: any_significant, the first of them; all_significant, the last, when no other lives or
waits for its restart. Being stopped, by a strategy or on request, never is (OTP: auto_shutdown).

With back-off a restart is put off: those that the strategy stops are stopped at once, then the
child waits, RESTARTING, and meanwhile its supervisor is there for whoever asks. The wait grows
with each restart of the child that does not outlive a period. Waits are each child's own, so one
in trouble does not slow the others down.

Where this differs from OTP, which knows no back-off: the window is in seconds as they are, not
cut to whole ones.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..actors import ExitReason
from .any_supervisor_spec import AutoShutdown, Backoff
from .child_state import HAS_PROCESS, ChildState
from .spec import Restart, Strategy, SupervisorSpec


class Limits(Protocol):
    """The two numbers of any kind of flags that restarts are counted with."""

    @property
    def intensity(self) -> int: ...

    @property
    def period(self) -> float: ...


class ChildView(NamedTuple):
    """One child as the decision sees it."""

    id: str
    restart: Restart
    state: ChildState
    significant: bool = False


class Decision(NamedTuple):
    """What to do now, in this order.

    Attributes:
        restarts: the times of restarts that still count, newest last.
        stop: ids to stop, one after the other.
        forget: ids whose specs are dropped, once stopped.
        start: ids to start, one after the other.
        give_up: stop everything and end, as a crash.
        shut_down: stop everything and end, as asked for by `auto_shutdown`.
    """

    restarts: tuple[float, ...]
    stop: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    give_up: bool = False
    shut_down: bool = False


class RestartDelay(NamedTuple):
    """How long a restart is put off.

    Attributes:
        seconds: the wait.
        until: when it is over, in seconds of the supervisor's clock.
    """

    seconds: float
    until: float


def decide_on_end(
    spec: SupervisorSpec,
    children: Sequence[ChildView],
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
    if not should_restart(kind, reason):
        forget = (child,) if kind is Restart.TEMPORARY else ()
        over = should_shut_down(spec.auto_shutdown, children, child)
        return Decision(restarts, forget=forget, shut_down=over)
    decision = count_restart(spec, restarts, now)
    if decision.give_up:
        return decision
    return decide_restart(spec.strategy, children, child, decision.restarts)


def should_restart(restart: Restart, reason: ExitReason) -> bool:
    """Whether a child that has ended by itself is started again: the table's first rows."""
    return restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and not reason.quiet)


def count_restart(spec: Limits, restarts: tuple[float, ...], now: float) -> Decision:
    """Count one more attempt; give up if the period has seen more than the intensity."""
    # They are in order, and there may be thousands: looked up, and copied at one go.
    recent = (*restarts[bisect_left(restarts, now - spec.period) :], now)
    return Decision(recent, give_up=len(recent) > spec.intensity)


def decide_restart(
    strategy: Strategy, children: Sequence[ChildView], child: str, restarts: tuple[float, ...]
) -> Decision:
    """Whom to stop and whom to start so that `child` runs again."""
    at = next(n for n, c in enumerate(children) if c.id == child)
    reach = children
    if strategy is Strategy.ONE_FOR_ONE:
        reach = children[at : at + 1]
    elif strategy is Strategy.REST_FOR_ONE:
        reach = children[at:]
    return Decision(
        restarts,
        stop=tuple(c.id for c in reversed(reach) if c.state in HAS_PROCESS),
        forget=tuple(c.id for c in reach if c.restart is Restart.TEMPORARY),
        start=tuple(c.id for c in reach if c.restart is not Restart.TEMPORARY),
    )


def should_shut_down(auto: AutoShutdown, children: Sequence[ChildView], child: str) -> bool:
    """Whether the end of `child`, which will not run again, is its supervisor's too."""
    if auto is AutoShutdown.NEVER:
        return False
    if not any(c.significant for c in children if c.id == child):
        return False
    if auto is AutoShutdown.ALL_SIGNIFICANT:
        others = (c for c in children if c.significant and c.id != child)
        return all(c.state is ChildState.UNDEFINED for c in others)
    return auto is AutoShutdown.ANY_SIGNIFICANT


def next_delay(
    backoff: Backoff, last: RestartDelay | None, period: float, now: float
) -> RestartDelay:
    """How long to wait before a child is started again.

    Args:
        backoff: the first wait, the longest, and how they grow.
        last: the child's wait before this one, if there was one, and until when it has not run.
        period: seconds that it has to run after which that wait is forgotten.
        now: seconds of the supervisor's clock.
    """
    if last is None or now - last.until > period:
        seconds = backoff.first
    else:
        seconds = min(last.seconds * backoff.factor, backoff.maximum)
    return RestartDelay(seconds, now + seconds)
