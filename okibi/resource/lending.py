"""Who gets a resource, and when it is opened, checked and thrown away: decisions without I/O.

    phase       with a borrower that may have one
    CLOSED      opens; after a failure, not before `next_try`
    OPENING     waits
    OPEN        renews if the resource is older than `max_age`, checks if the resource has not
                served for SETTLED seconds, else lends
    CHECKING    waits

Each opening has a number, its generation. What is lent belongs to one generation, and an old
generation closes when its last borrower has returned. Borrowers are served in the order in which
they asked, except that a holder (an event, an actor or a task) has one at a time: its next borrower
waits, and others pass.

A borrower leaves at its time, `until`. So each wait ends, and the owner of the decisions asks for
them again at `next_wake`.

A freeze needs no message: after it, one of the clocks shows that the resource has not served.

The functions take a State and return the next one, with the commands to perform, in their order.
"""

import enum
import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import attrs

from ..actors.freezes import SHORTEST_FREEZE, ClockReadings

# Seconds. A resource that has served within them is lent without a check.
SETTLED = SHORTEST_FREEZE
# Seconds between failures to open, before jitter.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class Phase(enum.Enum):
    """The states of the current generation; this module's docstring has the table."""

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"
    CHECKING = "checking"


class End(enum.Enum):
    """How a borrower has left.

    RETURNED: the block ended. RAISED: the block raised, or the borrower ended. FAILED: the context
    manager of `lend` raised an error of its own, or took too long to exit.
    """

    RETURNED = "returned"
    RAISED = "raised"
    FAILED = "failed"


class Why(enum.Enum):
    """Why a borrower gets nothing.

    LATE: its time has come. NESTED: its task holds one already. FAILED: the opening that it waited
    for failed. AWAY: an earlier opening failed, and the next comes after the borrower's time.
    """

    LATE = "late"
    NESTED = "nested"
    FAILED = "failed"
    AWAY = "away"


# Before any other reading.
NEVER = ClockReadings(-math.inf, -math.inf)


@attrs.frozen
class Rules:
    """The numbers of a resource.

    Args:
        connections: the number of borrowers at once.
        max_age: seconds after which the resource is opened anew.
        checks: whether the resource can be checked.
        exclusive: whether a borrower gets the opened thing itself, and alone.
    """

    connections: int = 1
    max_age: float = math.inf
    checks: bool = False
    exclusive: bool = False


@attrs.frozen
class Borrower:
    """One borrower.

    Args:
        loan: identifies the borrower.
        holder: has one at a time: an event, an actor or a task.
        task: the task that borrows. It would wait for itself if it already holds one. None once the
            task has left its block.
        until: the end of its wait, by trio's clock.
        generation: what it holds; 0 while it waits.
        since: the clocks when it got that.
    """

    loan: Hashable
    holder: Hashable
    task: Hashable
    until: float
    generation: int = 0
    since: ClockReadings = NEVER


@attrs.frozen
class State:
    """The state of a resource.

    Attributes:
        waiting: the borrowers that wait, in the order in which they asked.
        lent: the borrowers that hold one.
        phase: of the current generation.
        generation: the number of openings.
        opened: the clocks when the current generation began to open.
        served: the clocks when it served last, as far as is known; None if it is in doubt.
        failures: the openings that have failed in a row.
        next_try: the earliest time of the next opening, by trio's clock.
    """

    waiting: tuple[Borrower, ...] = ()
    lent: tuple[Borrower, ...] = ()
    phase: Phase = Phase.CLOSED
    generation: int = 0
    opened: ClockReadings = NEVER
    served: ClockReadings | None = None
    failures: int = 0
    next_try: float = -math.inf


class Open(NamedTuple):
    """Open a new generation."""

    generation: int


class Check(NamedTuple):
    """Check a generation."""

    generation: int


class Retire(NamedTuple):
    """Stop opening a generation, or close it when its borrowers have returned."""

    generation: int


class Lend(NamedTuple):
    """Lend to a borrower."""

    borrower: Borrower


class Refuse(NamedTuple):
    """Raise an error in a borrower, for the reason and for the state before it left."""

    borrower: Borrower
    why: Why
    state: State


Command = Open | Check | Retire | Lend | Refuse
Decision = tuple[State, Sequence[Command]]


def ask(rules: Rules, state: State, borrower: Borrower, now: ClockReadings) -> Decision:
    """Decide about a new borrower."""
    if any(each.task == borrower.task for each in state.lent):
        return state, [Refuse(borrower, Why.NESTED, state)]
    return settle(rules, attrs.evolve(state, waiting=(*state.waiting, borrower)), now)


def give_back(state: State, loan: Hashable) -> State:
    """Note that a borrower has left its block. What it held returns later (`leave`)."""
    return attrs.evolve(
        state,
        lent=tuple(attrs.evolve(b, task=None) if b.loan == loan else b for b in state.lent),
    )


def leave(rules: Rules, state: State, loan: Hashable, end: End, now: ClockReadings) -> Decision:
    """Decide what follows when a borrower has left. What it held has returned.

    | end | exclusive | can be checked | else |
    | --- | --- | --- | --- |
    | RETURNED | kept | kept | kept |
    | RAISED | thrown away | checked before it is lent again | kept |
    | FAILED | thrown away | checked before it is lent again | thrown away |
    """
    held = next((each for each in state.lent if each.loan == loan), None)
    state = attrs.evolve(
        state,
        waiting=tuple(each for each in state.waiting if each.loan != loan),
        lent=tuple(each for each in state.lent if each is not held),
    )
    commands: list[Command] = []
    is_current = held is not None and held.generation == state.generation
    if is_current and state.phase in (Phase.OPEN, Phase.CHECKING):
        assert held is not None
        if end is End.RETURNED:
            if state.served is not None:
                # Not now: a freeze may lie between the last use and the return.
                state = attrs.evolve(state, served=max(state.served, held.since))
        elif rules.exclusive or (end is End.FAILED and not rules.checks):
            state = _retire(state, commands)
        else:
            state = attrs.evolve(state, served=None)
    return _and_settle(rules, state, commands, now)


def opened(rules: Rules, state: State, generation: int, now: ClockReadings) -> Decision:
    """Decide what follows when a generation is open."""
    if generation != state.generation or state.phase is not Phase.OPENING:
        return state, []
    state = attrs.evolve(state, phase=Phase.OPEN, served=now, failures=0)
    return settle(rules, state, now)


def failed(state: State, generation: int, now: ClockReadings, jitter: float) -> Decision:
    """Decide what follows when a generation did not open.

    Args:
        state: the state.
        generation: the generation.
        now: the clocks.
        jitter: a random number from 0 to 1. Many sandboxes must not come back at once.
    """
    if generation != state.generation or state.phase is not Phase.OPENING:
        return state, []
    pause = min(FIRST_PAUSE * 2.0 ** min(state.failures, 16), LONGEST_PAUSE) * (1 + jitter) / 2
    state = attrs.evolve(
        state, phase=Phase.CLOSED, failures=state.failures + 1, next_try=now.trio + pause
    )
    refused = [Refuse(each, Why.FAILED, state) for each in state.waiting]
    return attrs.evolve(state, waiting=()), refused


def checked(
    rules: Rules, state: State, generation: int, good: bool, now: ClockReadings
) -> Decision:
    """Decide what follows when a generation was checked."""
    if generation != state.generation or state.phase is not Phase.CHECKING:
        return state, []
    commands: list[Command] = []
    good_state = attrs.evolve(state, phase=Phase.OPEN, served=now)
    state = good_state if good else _retire(state, commands)
    return _and_settle(rules, state, commands, now)


def settle(rules: Rules, state: State, now: ClockReadings) -> Decision:
    """Do all that can be done now; the table in this module's docstring."""
    commands: list[Command] = []
    for each in state.waiting:
        if each.until <= now.trio:
            commands.append(Refuse(each, Why.LATE, state))
    state = _keep_waiting(state, now.trio)
    while (borrower := _next(rules, state)) is not None:
        if state.phase is Phase.CLOSED:
            if now.trio >= state.next_try:
                number = state.generation + 1
                state = attrs.evolve(state, phase=Phase.OPENING, generation=number, opened=now)
                commands.append(Open(number))
            else:
                for each in state.waiting:
                    if each.until <= state.next_try:
                        commands.append(Refuse(each, Why.AWAY, state))
                state = _keep_waiting(state, state.next_try)
            break
        if state.phase is not Phase.OPEN:
            break
        if seconds_between(state.opened, now) > rules.max_age:
            state = _retire(state, commands)
        elif rules.checks and not _is_settled(state, now):
            state = attrs.evolve(state, phase=Phase.CHECKING)
            commands.append(Check(state.generation))
        else:
            lent = attrs.evolve(borrower, generation=state.generation, since=now)
            state = attrs.evolve(
                state,
                waiting=tuple(each for each in state.waiting if each is not borrower),
                lent=(*state.lent, lent),
            )
            commands.append(Lend(lent))
    if state.phase is Phase.OPENING and not state.waiting:
        # A server that never answers must not hold an event that needs nothing of it.
        state = _retire(state, commands)
    return state, commands


def next_wake(rules: Rules, state: State) -> float:
    """Return when `settle` is needed again, by trio's clock; infinity for never."""
    if not state.waiting:
        return math.inf
    first = min(each.until for each in state.waiting)
    can_open = state.phase is Phase.CLOSED and _next(rules, state) is not None
    return min(first, state.next_try) if can_open else first


def seconds_between(then: ClockReadings, now: ClockReadings) -> float:
    """Return the seconds since a reading, on the clock that shows more.

    >>> seconds_between(ClockReadings(10, 500), ClockReadings(11, 4101))
    3601
    """
    return max(now.trio - then.trio, now.wall - then.wall)


def _and_settle(
    rules: Rules, state: State, commands: list[Command], now: ClockReadings
) -> Decision:
    state, more = settle(rules, state, now)
    return state, [*commands, *more]


def _next(rules: Rules, state: State) -> Borrower | None:
    """Return the first waiting borrower that may have one."""
    if len(state.lent) >= rules.connections:
        return None
    holders = {each.holder for each in state.lent}
    return next((each for each in state.waiting if each.holder not in holders), None)


def _keep_waiting(state: State, after: float) -> State:
    """Remove the waiting borrowers whose time is not after a time of trio's clock."""
    waiting = tuple(each for each in state.waiting if each.until > after)
    return state if len(waiting) == len(state.waiting) else attrs.evolve(state, waiting=waiting)


def _is_settled(state: State, now: ClockReadings) -> bool:
    return state.served is not None and seconds_between(state.served, now) <= SETTLED


def _retire(state: State, commands: list[Command]) -> State:
    commands.append(Retire(state.generation))
    return attrs.evolve(state, phase=Phase.CLOSED, served=None)
