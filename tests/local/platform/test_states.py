"""The state machine of a runtime, cell by cell, compared with AWS's emulator."""

import pytest

from okibi.local.platform.states import ApiError, RuntimeState, RuntimeTrigger, transition

ALLOWED = {
    (RuntimeState.STARTED, RuntimeTrigger.NEXT): RuntimeState.READY,
    (RuntimeState.STARTED, RuntimeTrigger.INIT_ERROR): RuntimeState.INIT_ERROR,
    (RuntimeState.STARTED, RuntimeTrigger.RESTORE_NEXT): RuntimeState.RESTORE_READY,
    (RuntimeState.RESTORE_READY, RuntimeTrigger.RELEASE): RuntimeState.RESTORING,
    (RuntimeState.RESTORING, RuntimeTrigger.NEXT): RuntimeState.READY,
    (RuntimeState.RESTORING, RuntimeTrigger.RESTORE_ERROR): RuntimeState.RESTORE_ERROR,
    (RuntimeState.READY, RuntimeTrigger.NEXT): RuntimeState.READY,
    (RuntimeState.READY, RuntimeTrigger.RELEASE): RuntimeState.RUNNING,
    (RuntimeState.RUNNING, RuntimeTrigger.NEXT): RuntimeState.RUNNING,
    (RuntimeState.RUNNING, RuntimeTrigger.RESPONSE): RuntimeState.INVOCATION_RESPONSE,
    (RuntimeState.RUNNING, RuntimeTrigger.ERROR): RuntimeState.INVOCATION_ERROR_RESPONSE,
    (RuntimeState.INVOCATION_RESPONSE, RuntimeTrigger.ANSWERED): RuntimeState.RESPONSE_SENT,
    (RuntimeState.INVOCATION_ERROR_RESPONSE, RuntimeTrigger.ANSWERED): RuntimeState.RESPONSE_SENT,
    (RuntimeState.RESPONSE_SENT, RuntimeTrigger.NEXT): RuntimeState.READY,
}


@pytest.mark.parametrize("state", list(RuntimeState))
@pytest.mark.parametrize("move", list(RuntimeTrigger))
def test_a_call_is_allowed_exactly_where_the_emulator_allows_it(
    state: RuntimeState, move: RuntimeTrigger
) -> None:
    result = transition(state, move)

    expected = ALLOWED.get((state, move))
    if expected is None:
        assert isinstance(result, ApiError)
        assert result.status == 403
        assert result.error_type == "InvalidStateTransition"
    else:
        assert result is expected


@pytest.mark.parametrize(
    ("state", "move", "names"),
    [
        (RuntimeState.RUNNING, RuntimeTrigger.INIT_ERROR, "Running to InitError"),
        (RuntimeState.INIT_ERROR, RuntimeTrigger.NEXT, "InitError to Ready"),
        (
            RuntimeState.RESPONSE_SENT,
            RuntimeTrigger.RESPONSE,
            "RuntimeResponseSentState to InvocationResponse",
        ),
        (
            RuntimeState.RESPONSE_SENT,
            RuntimeTrigger.ERROR,
            "RuntimeResponseSentState to InvocationErrorResponse",
        ),
        (RuntimeState.INVOCATION_RESPONSE, RuntimeTrigger.NEXT, "InvocationResponse to Ready"),
        (
            RuntimeState.INVOCATION_ERROR_RESPONSE,
            RuntimeTrigger.NEXT,
            "InvocationErrorResponse to Ready",
        ),
    ],
)
def test_a_refusal_has_the_emulators_text(
    state: RuntimeState, move: RuntimeTrigger, names: str
) -> None:
    refusal = transition(state, move)

    assert isinstance(refusal, ApiError)
    assert refusal.message == (
        f"State transition from {names} failed for runtime. Error: State transition is not allowed"
    )
