"""gen_server: what OTP was recorded to do with a server, and what okibi's Server does."""

from tests.conformance.check_recorded import check_recorded


def test_whoever_starts_a_server_is_told_how_its_init_went() -> None:
    check_recorded("init")


def test_a_continuation_comes_before_any_message() -> None:
    check_recorded("continue")


def test_a_wait_for_no_message_is_ended_by_any_message() -> None:
    check_recorded("timeout")


def test_a_last_reply_goes_out_after_terminate() -> None:
    check_recorded("stop")


def test_a_reply_may_come_later_and_counts_once() -> None:
    check_recorded("reply")


def test_a_caller_is_told_how_the_server_ended() -> None:
    check_recorded("call")


def test_a_server_that_drains_handles_what_waited_when_it_was_asked_to_stop() -> None:
    check_recorded("drain")


def test_a_server_that_cuts_ends_in_the_middle_of_a_message() -> None:
    check_recorded("cut")


def test_each_monitor_brings_one_down_when_the_name_is_free() -> None:
    check_recorded("monitor")


def test_terminate_runs_unless_the_server_is_killed() -> None:
    check_recorded("terminate")


def test_calls_casts_and_other_messages_come_in_the_order_sent() -> None:
    check_recorded("order")


def test_a_suspended_server_serves_nothing_until_it_goes_on() -> None:
    check_recorded("suspended")


def test_the_state_is_read_and_replaced_between_two_messages() -> None:
    check_recorded("state")
