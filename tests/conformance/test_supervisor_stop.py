"""supervisor_SUITE: how a supervisor stops."""

from tests.conformance.check_recorded import check_recorded


def test_children_stop_one_by_one_in_reverse_order() -> None:
    check_recorded("stop, one after the other")


def test_a_crash_in_terminate_does_not_stop_the_shutdown() -> None:
    check_recorded("stop, a crash in terminate")


def test_a_supervisor_stops_while_a_child_starts() -> None:
    check_recorded("stop, while a child starts")


def test_sup_stop_infinity() -> None:
    """Workers and supervisors may have an unlimited shutdown time."""
    check_recorded("sup_stop_infinity")


def test_sup_stop_timeout() -> None:
    """A child that exceeds its shutdown time is killed. The others end normally."""
    check_recorded("sup_stop_timeout")


def test_sup_stop_brutal_kill() -> None:
    """A child with brutal_kill is killed without terminate."""
    check_recorded("sup_stop_brutal_kill")


def test_sup_stop_race() -> None:
    """Children may end by themselves while the supervisor stops."""
    check_recorded("sup_stop_race")


def test_child_unlink() -> None:
    """A child that does not end cannot block the supervisor, linked or not."""
    check_recorded("child_unlink")
