"""The decision, as a function: tables, and Hypothesis against a model."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import KILLED, NORMAL, SHUTDOWN, ExitReason, crashed, shutdown
from supervisors import Restart, Strategy, Supervision
from supervisors.life import LIVING, State
from supervisors.strategy import Decision, Standing, again, count, ended

P, T, TMP = Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY
RUN, GONE, RETRY = State.RUNNING, State.UNDEFINED, State.RESTARTING
ONE, ALL, REST = Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE
CRASH = crashed(ValueError("boom"))


def family(*kinds: Restart, down: str = "", retrying: str = "") -> list[Standing]:
    """Children a, b, c ... of these kinds."""
    return [
        Standing(name, kind, GONE if name in down else RETRY if name in retrying else RUN)
        for name, kind in zip("abcdef", kinds, strict=False)
    ]


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, shutdown("moved"), CRASH, KILLED])
@pytest.mark.parametrize("kind", Restart)
def test_which_end_of_which_child_is_followed_by_a_restart(
    kind: Restart, reason: ExitReason
) -> None:
    decision = ended(Supervision(), family(kind, down="a"), "a", reason, (), 0.0)

    restarted = kind is P or (kind is T and not reason.quiet)
    assert decision.start == (("a",) if restarted else ())
    assert decision.forget == (("a",) if kind is TMP else ())
    assert decision.restarts == ((0.0,) if restarted else ())


@pytest.mark.parametrize(
    ("strategy", "stop", "start"),
    [(ONE, "", "b"), (REST, "dc", "bcd"), (ALL, "dca", "abcd")],
)
def test_whom_a_strategy_stops_and_starts(strategy: Strategy, stop: str, start: str) -> None:
    decision = again(strategy, family(P, P, P, P, down="b"), "b", ())

    assert decision == Decision((), stop=tuple(stop), start=tuple(start))


@pytest.mark.parametrize(
    ("strategy", "stop", "start", "forget"),
    [(ONE, "", "b", ""), (REST, "dc", "bd", "c"), (ALL, "dca", "bd", "ac")],
)
def test_temporary_siblings_are_stopped_and_forgotten(
    strategy: Strategy, stop: str, start: str, forget: str
) -> None:
    decision = again(strategy, family(TMP, P, TMP, P, down="b"), "b", ())

    assert decision == Decision((), tuple(stop), tuple(forget), tuple(start))


@pytest.mark.parametrize(("strategy", "start"), [(ONE, "b"), (REST, "bc"), (ALL, "abc")])
def test_a_transient_sibling_that_had_ended_quietly_comes_back(
    strategy: Strategy, start: str
) -> None:
    decision = again(strategy, family(P, P, T, down="bc"), "b", ())

    assert decision.start == tuple(start)
    assert "c" not in decision.stop


def test_a_sibling_that_waits_for_its_retry_is_started_but_not_stopped() -> None:
    decision = again(ALL, family(P, P, P, down="a", retrying="b"), "a", ())

    assert (decision.stop, decision.start) == (("c",), ("a", "b", "c"))


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize(("kind", "reason"), [(T, NORMAL), (TMP, CRASH)])
def test_an_end_without_a_restart_leaves_the_siblings_and_is_not_counted(
    strategy: Strategy, kind: Restart, reason: ExitReason
) -> None:
    flags = Supervision(strategy=strategy, intensity=0)

    decision = ended(flags, family(kind, P, P, down="a"), "a", reason, (), 0.0)

    assert (decision.stop, decision.start) == ((), ())
    assert not decision.give_up


@pytest.mark.parametrize(
    ("restarts", "now", "recent", "give_up"),
    [
        ((), 10.0, (10.0,), False),
        ((9.0,), 10.0, (9.0, 10.0), False),
        ((8.0, 9.0), 10.0, (8.0, 9.0, 10.0), True),
        # The window is inclusive: what happened exactly a period ago still counts.
        ((5.0, 9.0), 10.0, (5.0, 9.0, 10.0), True),
        ((4.999, 9.0), 10.0, (9.0, 10.0), False),
        ((1.0, 2.0), 3600.0, (3600.0,), False),
    ],
)
def test_the_window_is_the_period_back_from_now_inclusive(
    restarts: tuple[float, ...], now: float, recent: tuple[float, ...], give_up: bool
) -> None:
    flags = Supervision(intensity=2, period=5.0)

    assert count(flags, restarts, now) == Decision(recent, give_up=give_up)


def test_intensity_0_gives_up_at_the_first_crash() -> None:
    decision = ended(Supervision(intensity=0), family(P, down="a"), "a", CRASH, (), 1.0)

    assert decision.give_up
    assert decision.start == ()


# -- against a model that says the same in other words

KINDS = st.lists(st.sampled_from(Restart), min_size=1, max_size=6)
REASONS = st.sampled_from([NORMAL, SHUTDOWN, CRASH, KILLED])


@settings(derandomize=True, max_examples=300, deadline=None)
@given(data=st.data(), kinds=KINDS, strategy=st.sampled_from(Strategy), reason=REASONS)
def test_the_decision_is_the_models(
    data: st.DataObject, kinds: list[Restart], strategy: Strategy, reason: ExitReason
) -> None:
    at = data.draw(st.integers(0, len(kinds) - 1))
    states = [data.draw(st.sampled_from(State)) for _ in kinds]
    states[at] = GONE
    family = [Standing(str(n), kind, states[n]) for n, kind in enumerate(kinds)]
    times = tuple(sorted(data.draw(st.lists(st.integers(0, 10).map(float), max_size=5))))
    flags = Supervision(strategy=strategy, intensity=data.draw(st.integers(0, 4)), period=3.0)

    decision = ended(flags, family, str(at), reason, times, 10.0)

    wants = kinds[at] is P or (kinds[at] is T and reason not in (NORMAL, SHUTDOWN))
    too_many = sum(10.0 - time <= 3.0 for time in times) + 1 > flags.intensity
    reach = {ONE: {at}, REST: set(range(at, len(kinds))), ALL: set(range(len(kinds)))}[strategy]
    if not wants:
        assert decision == Decision(times, forget=(str(at),) if kinds[at] is TMP else ())
    elif too_many:
        assert decision.give_up
    else:
        lasting = [n for n in sorted(reach) if kinds[n] is not TMP]
        running = [n for n in sorted(reach, reverse=True) if states[n] in LIVING]
        assert decision.start == tuple(map(str, lasting))
        assert decision.stop == tuple(map(str, running))
        assert set(decision.forget) == {str(n) for n in reach if kinds[n] is TMP}
        assert decision.restarts == (*(t for t in times if t >= 7.0), 10.0)
