"""gen_statem: okibi's StateMachine against OTP's recordings."""

from tests.conformance.check_recorded import check_recorded


def test_enter_runs_after_each_change_before_any_message() -> None:
    check_recorded("enter")


def test_postponed_messages_are_handled_again_after_a_change() -> None:
    check_recorded("postpone")


def test_a_change_of_state_cancels_the_state_timeout() -> None:
    check_recorded("state_timeout")


def test_any_message_cancels_the_event_timeout() -> None:
    check_recorded("idle")


def test_a_deferred_reply_is_sent_from_another_state() -> None:
    check_recorded("later")
