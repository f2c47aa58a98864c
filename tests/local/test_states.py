"""The table of the runtime's states, cell by cell, against what AWS's emulator does."""

import pytest

from okibi.local.states import Move, Refusal, State, transition

ALLOWED = {
    (State.STARTED, Move.NEXT): State.READY,
    (State.STARTED, Move.INIT_ERROR): State.INIT_ERROR,
    (State.READY, Move.NEXT): State.READY,
    (State.READY, Move.RELEASE): State.RUNNING,
    (State.RUNNING, Move.NEXT): State.RUNNING,
    (State.RUNNING, Move.RESPONSE): State.INVOCATION_RESPONSE,
    (State.RUNNING, Move.ERROR): State.INVOCATION_ERROR_RESPONSE,
    (State.INVOCATION_RESPONSE, Move.ANSWERED): State.RESPONSE_SENT,
    (State.INVOCATION_ERROR_RESPONSE, Move.ANSWERED): State.RESPONSE_SENT,
    (State.RESPONSE_SENT, Move.NEXT): State.READY,
}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("move", list(Move))
def test_a_move_is_allowed_exactly_where_the_emulator_allows_it(state: State, move: Move) -> None:
    result = transition(state, move)

    expected = ALLOWED.get((state, move))
    if expected is None:
        assert isinstance(result, Refusal)
        assert result.status == 403
        assert result.error_type == "InvalidStateTransition"
    else:
        assert result is expected


@pytest.mark.parametrize(
    ("state", "move", "names"),
    [
        (State.RUNNING, Move.INIT_ERROR, "Running to InitError"),
        (State.INIT_ERROR, Move.NEXT, "InitError to Ready"),
        (State.RESPONSE_SENT, Move.RESPONSE, "RuntimeResponseSentState to InvocationResponse"),
        (State.RESPONSE_SENT, Move.ERROR, "RuntimeResponseSentState to InvocationErrorResponse"),
        (State.INVOCATION_RESPONSE, Move.NEXT, "InvocationResponse to Ready"),
        (State.INVOCATION_ERROR_RESPONSE, Move.NEXT, "InvocationErrorResponse to Ready"),
    ],
)
def test_a_refusal_has_the_emulators_text(state: State, move: Move, names: str) -> None:
    refusal = transition(state, move)

    assert isinstance(refusal, Refusal)
    assert refusal.message == (
        f"State transition from {names} failed for runtime. Error: State transition is not allowed"
    )
