"""supervisor_SUITE: who is restarted, with whom, how often."""

from tests.conformance.check_recorded import check_recorded


def test_permanent_normal() -> None:
    """A permanent child is restarted after a normal end."""
    check_recorded("permanent_normal")


def test_transient_normal() -> None:
    """A transient child is not, and its spec stays."""
    check_recorded("transient_normal")


def test_temporary_normal() -> None:
    """A temporary child is gone, with its spec."""
    check_recorded("temporary_normal")


def test_permanent_shutdown() -> None:
    """A permanent child is restarted after a shutdown, with and without a detail."""
    check_recorded("permanent_shutdown")


def test_transient_shutdown() -> None:
    """A transient child is not, after either; it can be started on request."""
    check_recorded("transient_shutdown")


def test_temporary_shutdown() -> None:
    """A temporary child is gone after either, and can be started anew."""
    check_recorded("temporary_shutdown")


def test_permanent_abnormal() -> None:
    """A permanent child is restarted after a crash."""
    check_recorded("permanent_abnormal")


def test_transient_abnormal() -> None:
    """So is a transient one."""
    check_recorded("transient_abnormal")


def test_temporary_abnormal() -> None:
    """A temporary one is gone."""
    check_recorded("temporary_abnormal")


def test_temporary_bystander() -> None:
    """A temporary child that ends for a sibling's sake is not started again."""
    check_recorded("temporary_bystander")


def test_multiple_restarts() -> None:
    """Restarts that lie further apart than the period are borne for ever."""
    check_recorded("multiple_restarts")


def test_one_for_one() -> None:
    """Only the child that crashed is restarted; one crash too many ends the supervisor."""
    check_recorded("one_for_one")


def test_one_for_one_escalation() -> None:
    """Attempts that fail are counted: the supervisor ends, and the sibling with it."""
    check_recorded("one_for_one_escalation")


def test_one_for_all() -> None:
    """All are restarted with it, the last stopped first."""
    check_recorded("one_for_all")


def test_one_for_all_escalation() -> None:
    """A sibling that cannot be restarted ends the supervisor."""
    check_recorded("one_for_all_escalation")


def test_one_for_all_other_child_fails_restart() -> None:
    """What was restarted before a sibling failed is stopped again."""
    check_recorded("one_for_all_other_child_fails_restart")


def test_rest_for_one() -> None:
    """Those after it are restarted with it; those before are not touched."""
    check_recorded("rest_for_one")


def test_rest_for_one_escalation() -> None:
    """A later sibling that cannot be restarted ends the supervisor."""
    check_recorded("rest_for_one_escalation")


def test_rest_for_one_other_child_fails_restart() -> None:
    """The next attempt begins with the sibling that failed."""
    check_recorded("rest_for_one_other_child_fails_restart")


def test_tree() -> None:
    """A crash stays below until the sub-supervisor gives up; then its siblings restart too."""
    check_recorded("tree")
