"""The life cycle of a child's place, as the table says."""

import itertools

import pytest

from okibi.supervisors.child_state import (
    HAS_PROCESS,
    TRANSITIONS,
    ChildEvent,
    ChildState,
    LifeCycleError,
    next_state,
)

TABLE = {
    ("undefined", "start"): "starting",
    ("undefined", "retry"): "restarting",
    ("undefined", "stop"): "undefined",
    ("undefined", "forget"): "forgotten",
    ("starting", "started"): "running",
    ("starting", "ended"): "undefined",
    ("starting", "stop"): "stopping",
    ("running", "ended"): "undefined",
    ("running", "stop"): "stopping",
    ("stopping", "started"): "stopping",
    ("stopping", "ended"): "undefined",
    ("stopping", "stop"): "stopping",
    ("restarting", "start"): "starting",
    ("restarting", "stop"): "undefined",
}


@pytest.mark.parametrize(("state", "event"), [*itertools.product(ChildState, ChildEvent)])
def test_what_follows_is_in_the_table_and_nothing_else_can_be(
    state: ChildState, event: ChildEvent
) -> None:
    wanted = TABLE.get((state.value, event.value))

    if wanted is None:
        with pytest.raises(LifeCycleError) as impossible:
            next_state(state, event)
        assert str(impossible.value) == (
            f"event '{event.value}' is not allowed in state '{state.value}'"
        )
    else:
        assert next_state(state, event) is ChildState(wanted)


def test_every_state_can_be_reached_and_left_but_for_the_last() -> None:
    reached = {state for moves in TRANSITIONS.values() for state in moves.values()}

    assert reached == set(ChildState)
    assert [state for state in ChildState if not TRANSITIONS[state]] == [ChildState.FORGOTTEN]


def test_nobody_is_put_where_somebody_lives_and_nobody_lives_in_a_forgotten_place() -> None:
    for state in HAS_PROCESS:
        assert ChildEvent.START not in TRANSITIONS[state]
        assert ChildEvent.FORGET not in TRANSITIONS[state]


def test_only_an_end_leads_out_of_a_state_where_somebody_lives() -> None:
    for state in HAS_PROCESS:
        leaving = {event for event, to in TRANSITIONS[state].items() if to not in HAS_PROCESS}
        assert leaving == {ChildEvent.ENDED}


def test_somebody_lives_there_from_the_start_until_the_end() -> None:
    assert {ChildState.STARTING, ChildState.RUNNING, ChildState.STOPPING} == HAS_PROCESS
