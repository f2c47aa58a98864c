"""The table of the states of a place."""

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
def test_only_transitions_in_the_table_are_allowed(state: ChildState, event: ChildEvent) -> None:
    wanted = TABLE.get((state.value, event.value))

    if wanted is None:
        with pytest.raises(LifeCycleError) as impossible:
            next_state(state, event)
        assert str(impossible.value) == (
            f"event '{event.value}' is not allowed in state '{state.value}'"
        )
    else:
        assert next_state(state, event) is ChildState(wanted)


def test_every_state_is_reachable_and_only_forgotten_is_final() -> None:
    reached = {state for moves in TRANSITIONS.values() for state in moves.values()}

    assert reached == set(ChildState)
    assert [state for state in ChildState if not TRANSITIONS[state]] == [ChildState.FORGOTTEN]


def test_a_place_with_a_process_can_be_neither_started_nor_forgotten() -> None:
    for state in HAS_PROCESS:
        assert ChildEvent.START not in TRANSITIONS[state]
        assert ChildEvent.FORGET not in TRANSITIONS[state]


def test_only_ended_removes_the_process_of_a_place() -> None:
    for state in HAS_PROCESS:
        leaving = {event for event, to in TRANSITIONS[state].items() if to not in HAS_PROCESS}
        assert leaving == {ChildEvent.ENDED}


def test_a_place_has_a_process_from_start_to_end() -> None:
    assert {ChildState.STARTING, ChildState.RUNNING, ChildState.STOPPING} == HAS_PROCESS
