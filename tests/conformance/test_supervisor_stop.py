"""supervisor_SUITE: how a supervisor stops."""

from tests.conformance.check_recorded import check_recorded


def test_children_stop_one_after_the_other_the_last_first() -> None:
    check_recorded("stop, one after the other")


def test_a_crash_in_terminate_does_not_stop_the_stop() -> None:
    check_recorded("stop, a crash in terminate")


def test_a_stop_comes_through_while_a_child_starts() -> None:
    check_recorded("stop, while a child starts")


def test_sup_stop_infinity() -> None:
    """A worker as well as a supervisor may be given all the time it needs."""
    check_recorded("sup_stop_infinity")


def test_sup_stop_timeout() -> None:
    """Who does not end within its time is killed; the others end as asked."""
    check_recorded("sup_stop_timeout")


def test_sup_stop_brutal_kill() -> None:
    """Who is to be killed is killed, without terminate."""
    check_recorded("sup_stop_brutal_kill")


def test_sup_stop_race() -> None:
    """Children that end by themselves while the supervisor stops do not disturb it."""
    check_recorded("sup_stop_race")


def test_child_unlink() -> None:
    """A child that does not end cannot hang the supervisor, linked to it or not."""
    check_recorded("child_unlink")
