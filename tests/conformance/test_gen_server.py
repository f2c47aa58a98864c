"""gen_server: okibi's Server against OTP's recordings."""

from tests.conformance.check_recorded import check_recorded


def test_the_starter_gets_the_outcome_of_init() -> None:
    check_recorded("init")


def test_a_continuation_runs_before_any_message() -> None:
    check_recorded("continue")


def test_any_message_cancels_the_server_timeout() -> None:
    check_recorded("timeout")


def test_the_last_reply_is_sent_after_terminate() -> None:
    check_recorded("stop")


def test_a_deferred_reply_is_delivered_once() -> None:
    check_recorded("reply")


def test_a_caller_gets_the_exit_reason_of_the_server() -> None:
    check_recorded("call")


def test_a_draining_server_handles_messages_queued_before_the_stop() -> None:
    check_recorded("drain")


def test_a_cutting_server_stops_in_the_middle_of_a_message() -> None:
    check_recorded("cut")


def test_each_monitor_gets_one_down_after_the_name_is_free() -> None:
    check_recorded("monitor")


def test_terminate_runs_unless_the_server_is_killed() -> None:
    check_recorded("terminate")


def test_calls_casts_and_infos_are_handled_in_the_order_sent() -> None:
    check_recorded("order")


def test_a_suspended_server_handles_nothing_until_resumed() -> None:
    check_recorded("suspended")


def test_the_state_is_read_and_replaced_between_two_messages() -> None:
    check_recorded("state")
