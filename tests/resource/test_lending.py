"""The decisions against a model, and the real actor in any history."""

import math
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from trio.testing import MockClock

from okibi import Child
from okibi.actors.freezes import ClockReadings
from okibi.resource import LendError, Resource, lending
from okibi.resource.lending import (
    Borrower,
    Check,
    Decision,
    End,
    Lend,
    Open,
    Phase,
    Refuse,
    Retire,
    Rules,
    State,
    Why,
)
from okibi.supervisors import SupervisorSpec, supervise
from tests.profiles import examples
from tests.resource.fake_database import Connection, Database, Unreachable, freeze

HOUR = 3600.0
MAX_AGE = 600.0


class AgainstModel(RuleBasedStateMachine):
    """The model: sets of borrowers, and the generations that the commands have made."""

    loans = Bundle("loans")

    @initialize(connections=st.integers(1, 3), checks=st.booleans(), exclusive=st.booleans())
    def begin(self, connections: int, checks: bool, exclusive: bool) -> None:
        exclusive = exclusive and connections == 1
        self.limits = Rules(connections, MAX_AGE, checks, exclusive)
        self.state = State()
        self.now = ClockReadings(0.0, 1e6)
        self.count = 0
        self.waiting: dict[int, Borrower] = {}
        self.lent: dict[int, Borrower] = {}
        self.left_block: set[int] = set()
        self.opening = self.checking = self.current = 0
        self.opened_at = self.good_at = -math.inf
        self.next_try = -math.inf
        self.may_serve = False

    # -- what a Lender does with each command

    def perform(self, decision: Decision) -> None:
        self.state, commands = decision
        for command in commands:
            match command:
                case Open(number):
                    assert not any((self.opening, self.checking, self.may_serve))
                    assert self.now.trio >= self.next_try
                    assert number > self.current
                    self.opening = self.current = number
                    self.opened_at = self.wall
                case Check(number):
                    assert self.limits.checks
                    assert self.may_serve
                    assert number == self.current
                    self.checking, self.may_serve = number, False
                case Retire(number):
                    assert number == self.current
                    self.opening = self.checking = 0
                    self.may_serve = False
                case Lend(borrower):
                    self.check_loan(borrower)
                case Refuse(borrower, why, _):
                    self.check_refusal(borrower, why)

    def check_loan(self, borrower: Borrower) -> None:
        assert self.may_serve
        assert borrower.generation == self.current
        assert borrower.until > self.now.trio
        assert self.wall - self.opened_at <= MAX_AGE
        if self.limits.checks:
            assert self.wall - self.good_at <= lending.SETTLED
        holders = {each.holder for each in self.lent.values()}
        assert borrower.holder not in holders
        first = next(each for each in self.waiting.values() if each.holder not in holders)
        assert first.loan == borrower.loan
        loan: Any = borrower.loan
        del self.waiting[loan]
        self.lent[loan] = borrower
        assert len(self.lent) <= self.limits.connections

    def check_refusal(self, borrower: Borrower, why: Why) -> None:
        loan: Any = borrower.loan
        refused = self.waiting.pop(loan)
        match why:
            case Why.LATE:
                assert refused.until <= self.now.trio
            case Why.NESTED:
                assert any(
                    each.task == refused.task
                    for each in self.lent.values()
                    if each.loan not in self.left_block
                )
            case Why.AWAY:
                assert self.now.trio < self.next_try
                assert refused.until <= self.next_try
            case Why.FAILED:
                assert self.just_failed

    @property
    def wall(self) -> float:
        return self.now.wall

    just_failed = False

    # -- what happens

    @rule(
        target=loans,
        holder=st.integers(0, 3),
        task=st.integers(0, 1),
        patience=st.sampled_from([0.0, 0.2, 3.0, 100.0, math.inf]),
    )
    def ask(self, holder: int, task: int, patience: float) -> int:
        self.count += 1
        until = self.now.trio + patience
        borrower = Borrower(self.count, holder, (holder, task), until)
        self.waiting[self.count] = borrower
        self.perform(lending.ask(self.limits, self.state, borrower, self.now))
        return self.count

    @rule(loan=loans)
    def leave_block(self, loan: int) -> None:
        if loan in self.lent:
            self.left_block.add(loan)
        self.state = lending.give_back(self.state, loan)

    @rule(loan=consumes(loans), end=st.sampled_from(End))
    def leave(self, loan: int, end: End) -> None:
        self.waiting.pop(loan, None)
        held = self.lent.pop(loan, None)
        if held is not None and held.generation == self.current:
            if end is End.RETURNED:
                self.good_at = max(self.good_at, held.since.wall)
            else:
                self.good_at = -math.inf
        before = self.state
        self.perform(lending.leave(self.limits, self.state, loan, end, self.now))
        if held is None and before.lent:
            assert self.state.lent[: len(before.lent)] == before.lent

    @precondition(lambda self: self.opening)
    @rule()
    def open_ends(self) -> None:
        number, self.opening = self.opening, 0
        self.may_serve, self.good_at = True, self.wall
        self.perform(lending.opened(self.limits, self.state, number, self.now))

    @precondition(lambda self: self.opening)
    @rule(jitter=st.floats(0, 1))
    def open_fails(self, jitter: float) -> None:
        number, self.opening = self.opening, 0
        self.just_failed = True
        self.perform(lending.failed(self.state, number, self.now, jitter))
        self.just_failed = False
        self.next_try = self.state.next_try
        assert self.now.trio < self.next_try <= self.now.trio + lending.LONGEST_PAUSE
        assert not self.waiting

    @precondition(lambda self: self.checking)
    @rule(good=st.booleans())
    def check_ends(self, good: bool) -> None:
        number, self.checking = self.checking, 0
        self.may_serve = True
        if good:
            self.good_at = self.wall
        self.perform(lending.checked(self.limits, self.state, number, good, self.now))

    @rule(number=st.integers(0, 5))
    def hear_of_an_old_generation(self, number: int) -> None:
        """A task that was retired may still end."""
        old = min(number, self.current - 1)
        for decision in (
            lending.opened(self.limits, self.state, old, self.now),
            lending.failed(self.state, old, self.now, 0.5),
            lending.checked(self.limits, self.state, old, True, self.now),
        ):
            assert decision == (self.state, [])

    @rule(seconds=st.sampled_from([0.05, 0.5, 2.0, 400.0]))
    def wait(self, seconds: float) -> None:
        """A Lender's timer wakes it at each time that `next_wake` says."""
        end = self.now.trio + seconds
        while (wake := lending.next_wake(self.limits, self.state)) <= end:
            assert wake >= self.now.trio
            self.move(wake - self.now.trio, wake - self.now.trio)
            self.perform(lending.settle(self.limits, self.state, self.now))
            assert lending.next_wake(self.limits, self.state) > self.now.trio
        self.move(end - self.now.trio, end - self.now.trio)

    @rule(seconds=st.sampled_from([2.0, HOUR]), on_trio=st.booleans())
    def freeze(self, seconds: float, on_trio: bool) -> None:
        self.move(seconds if on_trio else 0.0, seconds)
        self.perform(lending.settle(self.limits, self.state, self.now))

    def move(self, on_trio: float, on_wall: float) -> None:
        self.now = ClockReadings(self.now.trio + on_trio, self.now.wall + on_wall)

    @invariant()
    def it_waits_only_for_a_reason(self) -> None:
        assert {each.loan for each in self.state.waiting} == self.waiting.keys()
        assert {each.loan for each in self.state.lent} == self.lent.keys()
        holders = {each.holder for each in self.lent.values()}
        free = len(self.lent) < self.limits.connections
        ready = free and any(each.holder not in holders for each in self.waiting.values())
        if ready and self.state.phase is Phase.CLOSED:
            assert self.now.trio < self.next_try
        assert not (ready and self.state.phase is Phase.OPEN)
        # An opening that no borrower waits for has been cancelled.
        assert not self.opening or self.waiting


def test_the_decisions_follow_the_model() -> None:
    run_state_machine_as_test(
        AgainstModel,
        settings=settings(
            derandomize=True, max_examples=examples(200), stateful_step_count=40, deadline=None
        ),
    )


RULES = {
    "exclusive": Rules(exclusive=True, checks=True),
    "checked": Rules(checks=True),
    "else": Rules(),
}


@pytest.mark.parametrize(
    ("end", "rules", "expected"),
    [
        (End.RETURNED, "exclusive", "kept"),
        (End.RETURNED, "checked", "kept"),
        (End.RETURNED, "else", "kept"),
        (End.RAISED, "exclusive", "thrown away"),
        (End.RAISED, "checked", "checked"),
        (End.RAISED, "else", "kept"),
        (End.FAILED, "exclusive", "thrown away"),
        (End.FAILED, "checked", "checked"),
        (End.FAILED, "else", "thrown away"),
    ],
)
def test_what_a_borrower_returns_is_kept_checked_or_thrown_away(
    end: End, rules: str, expected: str
) -> None:
    now = ClockReadings(0, 0)
    held = Borrower("first", 1, 1, 10, generation=1, since=now)
    state = State(lent=(held,), phase=Phase.OPEN, generation=1, opened=now, served=now)

    state, commands = lending.leave(RULES[rules], state, "first", end, now)
    _, more = lending.ask(RULES[rules], state, Borrower("second", 2, 2, 10), now)

    done = {type(each) for each in [*commands, *more]}
    assert (
        done
        == {
            "kept": {Lend},
            "checked": {Check},
            "thrown away": {Retire, Open},
        }[expected]
    )


# -- the actor in any history


@attrs.frozen
class Step:
    kind: str
    seconds: float = 0.0


STEPS = st.one_of(
    st.builds(Step, st.sampled_from(["lend", "crash"]), st.sampled_from([0.0, 0.3, 5.0])),
    st.builds(Step, st.sampled_from(["lend", "cancel"]), st.sampled_from([0.0, 0.3, 5.0])),
    st.builds(Step, st.just("wait"), st.sampled_from([0.05, 1.0, 30.0, 700.0])),
    st.builds(Step, st.just("thaw"), st.sampled_from([2.0, HOUR])),
    st.builds(Step, st.sampled_from(["restart", "down", "up", "slow", "fast"])),
)


class Crash(Exception): ...


@settings(derandomize=True, max_examples=examples(200), deadline=None)
@given(
    st.lists(STEPS, max_size=30),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
)
def test_no_history_leaks_or_shares_a_connection(
    steps: list[Step], connections: int, checks: bool, pools: bool
) -> None:
    """Every borrower ends in time, and a borrower that waits only a little gets one that works."""
    trio.run(
        _live_through, steps, connections, checks, pools, clock=MockClock(autojump_threshold=0)
    )


async def _live_through(steps: list[Step], connections: int, checks: bool, pools: bool) -> None:
    database = Database()
    resource: Resource[Connection] = Resource(
        database.connect,
        close=database.close,
        lend=database.transaction if pools else None,  # type: ignore[arg-type]
        check=database.check if checks else None,
        connections=connections,
        max_age=MAX_AGE,
        max_wait=10.0,
    )
    async with trio.open_nursery() as nursery:
        top = await supervise(nursery, SupervisorSpec([Child(resource)]))
        async with trio.open_nursery() as borrowers:
            for step in steps:
                match step.kind:
                    case "lend" | "crash" | "cancel":
                        borrowers.start_soon(_borrow, resource, connections, pools, step)
                        await trio.sleep(0.01)
                    case "wait":
                        await trio.sleep(step.seconds)
                    case "thaw":
                        await freeze(step.seconds)
                    case "restart":
                        database.era += 1
                    case "down":
                        database.down = True
                    case "up":
                        database.down = False
                    case "slow":
                        database.seconds = 100.0
                    case _:
                        database.seconds = 0.01
            database.down, database.seconds = False, 0.01
        # What has failed once is found out; what then comes works.
        await trio.sleep(10)
        for _ in range(1 if checks else 1 + connections):
            try:
                async with resource.lend() as connection:
                    await connection.query()
            except Unreachable:
                assert not checks
        assert database.open_connections == 1
        # A client that many share, and that cannot be checked, has to connect again by itself.
        if checks or pools or connections == 1:
            async with resource.lend() as connection:
                assert connection.works
        top.stop()
    assert database.open_connections == 0


async def _borrow(
    resource: Resource[Connection], connections: int, pools: bool, step: Step
) -> None:
    began = trio.current_time()
    got = False
    try:
        with trio.move_on_after(step.seconds / 2 if step.kind == "cancel" else math.inf):
            async with resource.lend() as connection:
                got = True
                assert not connection.closed
                connection.borrowers += 1
                try:
                    assert connection.borrowers <= connections
                    await trio.sleep(step.seconds)
                    if step.kind == "crash":
                        raise Crash
                finally:
                    connection.borrowers -= 1
    except LendError:
        assert not got
    except Crash:
        assert step.kind == "crash"
    except Unreachable:
        assert pools
    # A freeze may fall into the wait.
    assert got or trio.current_time() - began < 10.1 + 3 * HOUR
