"""The rules of a pool: which events it takes, and where they run. Without I/O."""

import math
from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar

from ..local.platform.invocation import Invocation
from .dev_function import DevFunction, Throttled

# Seconds that a runtime may take from its response to the next /next, before another sandbox starts
# for an event that waits. Otherwise calls one after the other would start a second sandbox.
NEXT_LIMIT = 0.05

# Events that wait for a sandbox, at most.
WAITING_LIMIT = 1000

# Entries in the journal of a sandbox, which may serve for days.
JOURNAL_LIMIT = 1000


class Candidate(Protocol):
    """A sandbox that may take an event."""

    @property
    def places(self) -> int:
        """The number of events that the sandbox takes now."""
        ...

    @property
    def initialised(self) -> bool:
        """Whether the init phase is over."""
        ...

    @property
    def used_at(self) -> float:
        """The time of the last use."""
        ...


SandboxT = TypeVar("SandboxT", bound=Candidate)


def refusal(function: DevFunction, *, in_flight: int, waiting: int) -> Throttled | None:
    """Return why the function does not take another event, or None (Lambda, "Concurrency").

    Args:
        function: the function.
        in_flight: events that run or wait.
        waiting: events that wait.
    """
    reserved = function.reserved_concurrency
    if reserved is not None and in_flight >= reserved:
        return Throttled("Rate Exceeded.", "ReservedFunctionConcurrentInvocationLimitExceeded")
    if waiting >= WAITING_LIMIT:
        return Throttled("Rate Exceeded.", "ConcurrentInvocationLimitExceeded")
    return None


def choose_sandbox(sandboxes: Sequence[SandboxT]) -> SandboxT | None:
    """Return the sandbox for the next event, or None if all are busy.

    Lambda prefers the sandbox that was used last, so that the others can end. A sandbox that still
    starts comes after those that are idle.
    """
    free = [sandbox for sandbox in sandboxes if sandbox.places > 0]
    return max(free, key=lambda sandbox: (sandbox.initialised, sandbox.used_at), default=None)


def may_start_sandbox(function: DevFunction, *, live: int, broken: bool) -> bool:
    """Whether a sandbox may start for an event.

    Args:
        function: the function.
        live: the number of living sandboxes.
        broken: whether the files on disk are known not to start. The last good version serves alone
            then, if there is one.
    """
    if function.attach:
        return False
    if live == 0:
        return True
    return function.settings.max_concurrency is None and live < function.concurrency and not broken


def expect_next(current: Collection[Invocation]) -> float:
    """Return until when a sandbox that has answered its event is waited for.

    Args:
        current: the invocations that the sandbox has.

    Returns:
        A time on trio's clock, or -inf if no /next will come soon.
    """
    for each in current:
        if each.outcome is None or each.outcome.error_type == "Sandbox.Timedout":
            return -math.inf
    if not current:
        return -math.inf
    return max(each.answered_at for each in current) + NEXT_LIMIT


def count_places(
    current: Collection[Invocation],
    max_concurrency: int | None,
    *,
    initialised: bool,
    free_slots: int,
) -> int:
    """Return how many more events a sandbox takes now.

    Args:
        current: the invocations that the sandbox has.
        max_concurrency: events at once on Managed Instances; None for one at a time.
        initialised: whether the init phase is over.
        free_slots: pending /nexts, on Managed Instances.
    """
    if max_concurrency is None:
        return 0 if current else 1
    if not initialised:
        # The runtime will open this many slots.
        return max_concurrency - len(current)
    coming = sum(each.outcome is None and math.isnan(each.begun_at) for each in current)
    return free_slots - coming
