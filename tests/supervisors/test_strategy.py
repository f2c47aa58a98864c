"""The decisions of a supervisor, as pure functions: tables, and a model under Hypothesis."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okibi.actors import KILLED, NORMAL, SHUTDOWN, ExitReason, crashed, shutdown
from okibi.supervisors import AutoShutdown, Backoff, Restart, Strategy, SupervisorSpec
from okibi.supervisors.child_state import HAS_PROCESS, ChildState
from okibi.supervisors.strategy import (
    ChildView,
    Decision,
    RestartDelay,
    count_restart,
    decide_on_end,
    decide_restart,
    next_delay,
    should_shut_down,
)
from tests.profiles import examples

P, T, TMP = Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY
RUN, GONE, RETRY = ChildState.RUNNING, ChildState.UNDEFINED, ChildState.RESTARTING
ONE, ALL, REST = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE
CRASH = crashed(ValueError("boom"))


def family(*kinds: Restart, down: str = "", retrying: str = "") -> list[ChildView]:
    """Return children a, b, c ... with these restart types."""
    return [
        ChildView(name, restart, GONE if name in down else RETRY if name in retrying else RUN)
        for name, restart in zip("abcdef", kinds, strict=False)
    ]


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, shutdown("moved"), CRASH, KILLED])
@pytest.mark.parametrize("restart", Restart)
def test_restart_type_and_exit_reason_decide_about_a_restart(
    restart: Restart, reason: ExitReason
) -> None:
    decision = decide_on_end(SupervisorSpec(), family(restart, down="a"), "a", reason, (), 0.0)

    restarted = restart is P or (restart is T and not reason.quiet)
    assert decision.start == (("a",) if restarted else ())
    assert decision.forget == (("a",) if restart is TMP else ())
    assert decision.restarts == ((0.0,) if restarted else ())


@pytest.mark.parametrize(
    ("strategy", "stop", "start"),
    [(ONE, "", "b"), (REST, "dc", "bcd"), (ALL, "dca", "abcd")],
)
def test_children_that_a_strategy_stops_and_starts(
    strategy: Strategy, stop: str, start: str
) -> None:
    decision = decide_restart(strategy, family(P, P, P, P, down="b"), "b", ())

    assert decision == Decision((), stop=tuple(stop), start=tuple(start))


@pytest.mark.parametrize(
    ("restarts", "now", "recent", "give_up"),
    [
        ((), 10.0, (10.0,), False),
        ((9.0,), 10.0, (9.0, 10.0), False),
        ((8.0, 9.0), 10.0, (8.0, 9.0, 10.0), True),
        # The window is inclusive: a restart exactly one period ago counts.
        ((5.0, 9.0), 10.0, (5.0, 9.0, 10.0), True),
        ((4.999, 9.0), 10.0, (9.0, 10.0), False),
        ((1.0, 2.0), 3600.0, (3600.0,), False),
    ],
)
def test_the_window_is_one_period_before_now_inclusive(
    restarts: tuple[float, ...], now: float, recent: tuple[float, ...], give_up: bool
) -> None:
    spec = SupervisorSpec(intensity=2, period=5.0)

    assert count_restart(spec, restarts, now) == Decision(recent, give_up=give_up)


# -- against a model

KINDS = st.lists(st.sampled_from(Restart), min_size=1, max_size=6)
REASONS = st.sampled_from([NORMAL, SHUTDOWN, CRASH, KILLED])


@settings(derandomize=True, max_examples=examples(300), deadline=None)
@given(data=st.data(), kinds=KINDS, strategy=st.sampled_from(Strategy), reason=REASONS)
def test_decisions_equal_those_of_a_model(
    data: st.DataObject, kinds: list[Restart], strategy: Strategy, reason: ExitReason
) -> None:
    at = data.draw(st.integers(0, len(kinds) - 1))
    states = [data.draw(st.sampled_from(ChildState)) for _ in kinds]
    states[at] = GONE
    family = [ChildView(str(n), restart, states[n]) for n, restart in enumerate(kinds)]
    times = tuple(sorted(data.draw(st.lists(st.integers(0, 10).map(float), max_size=5))))
    spec = SupervisorSpec(strategy=strategy, intensity=data.draw(st.integers(0, 4)), period=3.0)

    decision = decide_on_end(spec, family, str(at), reason, times, 10.0)

    restarts = kinds[at] is P or (kinds[at] is T and reason not in (NORMAL, SHUTDOWN))
    too_many = sum(10.0 - time <= 3.0 for time in times) + 1 > spec.intensity
    in_range = {ONE: {at}, REST: set(range(at, len(kinds))), ALL: set(range(len(kinds)))}[strategy]
    if not restarts:
        assert decision == Decision(times, forget=(str(at),) if kinds[at] is TMP else ())
    elif too_many:
        assert decision.give_up
    else:
        started = [n for n in sorted(in_range) if kinds[n] is not TMP]
        stopped = [n for n in sorted(in_range, reverse=True) if states[n] in HAS_PROCESS]
        assert decision.start == tuple(map(str, started))
        assert decision.stop == tuple(map(str, stopped))
        assert set(decision.forget) == {str(n) for n in in_range if kinds[n] is TMP}
        assert decision.restarts == (*(t for t in times if t >= 7.0), 10.0)


# -- auto_shutdown

NEVER, ANY, EVERY = AutoShutdown.NEVER, AutoShutdown.ANY_SIGNIFICANT, AutoShutdown.ALL_SIGNIFICANT


def significant(*states: ChildState) -> list[ChildView]:
    """Return significant transient children a, b, c, and d: permanent and not significant."""
    found = [ChildView(name, T, state, True) for name, state in zip("abc", states, strict=False)]
    return [*found, ChildView("d", P, RUN)]


@pytest.mark.parametrize(
    ("auto", "others", "shuts_down"),
    [
        (NEVER, (GONE, GONE), False),
        (ANY, (RUN, RETRY), True),
        (EVERY, (GONE, GONE), True),
        *((EVERY, (GONE, state), False) for state in (*HAS_PROCESS, RETRY)),
    ],
)
def test_significant_children_that_end_their_supervisor(
    auto: AutoShutdown, others: tuple[ChildState, ChildState], shuts_down: bool
) -> None:
    assert should_shut_down(auto, significant(GONE, *others), "a") is shuts_down
    assert should_shut_down(auto, significant(GONE, *others), "d") is False


@pytest.mark.parametrize(("restart", "forget"), [(T, ()), (TMP, ("a",))])
def test_auto_shutdown_only_if_the_child_is_not_restarted(
    restart: Restart, forget: tuple[str, ...]
) -> None:
    spec = SupervisorSpec(auto_shutdown=ANY)
    family = [ChildView("a", restart, GONE, True), ChildView("b", P, RUN)]

    decision = decide_on_end(spec, family, "a", NORMAL, (1.0,), 2.0)

    assert decision == Decision((1.0,), forget=forget, shut_down=True)
    assert decide_on_end(spec, family, "a", CRASH, (), 2.0).shut_down is (restart is TMP)


# -- back-off

BACKOFF = Backoff(1.0, 10.0, 3.0)


@pytest.mark.parametrize(
    ("last", "now", "seconds"),
    [
        (None, 100.0, 1.0),
        (RestartDelay(1.0, 100.0, 4, 90.0), 100.0, 3.0),
        (RestartDelay(3.0, 100.0, 4, 90.0), 104.0, 9.0),
        (RestartDelay(9.0, 100.0, 4, 90.0), 100.0, 10.0),
        (RestartDelay(10.0, 100.0, 4, 90.0), 100.0, 10.0),
    ],
)
def test_a_delay_grows_to_the_maximum(
    last: RestartDelay | None, now: float, seconds: float
) -> None:
    row = (1, now) if last is None else (5, 90.0)
    assert next_delay(BACKOFF, last, now) == RestartDelay(seconds, now + seconds, *row)


def test_immediate_restarts_come_before_the_first_delay() -> None:
    backoff, delay, seconds = Backoff(1.0, 10.0, 3.0, immediate=2), None, list[float]()

    for _ in range(6):
        delay = next_delay(backoff, delay, 0.0)
        seconds.append(delay.seconds)

    assert seconds == [0.0, 0.0, 1.0, 3.0, 9.0, 10.0]


@settings(derandomize=True, max_examples=examples(100), deadline=None)
@given(
    first=st.floats(0.001, 100),
    more=st.floats(1, 1000),
    factor=st.floats(1, 10),
    times=st.integers(1, 50),
)
def test_delays_grow_by_the_factor_with_each_restart(
    first: float, more: float, factor: float, times: int
) -> None:
    backoff, delay, now = Backoff(first, first * more, factor), None, 0.0
    for _ in range(times):
        delay = next_delay(backoff, delay, now)
        now = delay.until

    assert delay is not None
    assert delay.seconds == pytest.approx(min(first * factor ** (times - 1), first * more))
