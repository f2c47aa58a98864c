"""supervisor_SUITE: when children restart, together with which siblings, and how often."""

from tests.conformance.check_recorded import check_recorded


def test_permanent_normal() -> None:
    """A permanent child is restarted after a normal end."""
    check_recorded("permanent_normal")


def test_transient_normal() -> None:
    """A transient child is not restarted after a normal end. Its spec remains."""
    check_recorded("transient_normal")


def test_temporary_normal() -> None:
    """A temporary child is deleted with its spec after a normal end."""
    check_recorded("temporary_normal")


def test_permanent_shutdown() -> None:
    """A permanent child is restarted after a shutdown, with and without a detail."""
    check_recorded("permanent_shutdown")


def test_transient_shutdown() -> None:
    """A transient child is not restarted after a shutdown. It can be restarted on request."""
    check_recorded("transient_shutdown")


def test_temporary_shutdown() -> None:
    """A temporary child is deleted after a shutdown. It can be started again."""
    check_recorded("temporary_shutdown")


def test_permanent_abnormal() -> None:
    """A permanent child is restarted after a crash."""
    check_recorded("permanent_abnormal")


def test_transient_abnormal() -> None:
    """A transient child is restarted after a crash."""
    check_recorded("transient_abnormal")


def test_temporary_abnormal() -> None:
    """A temporary child is deleted after a crash."""
    check_recorded("temporary_abnormal")


def test_temporary_bystander() -> None:
    """A temporary child that stops for a sibling's restart is not restarted."""
    check_recorded("temporary_bystander")


def test_multiple_restarts() -> None:
    """Restarts further apart than the period never exceed the restart intensity."""
    check_recorded("multiple_restarts")


def test_one_for_one() -> None:
    """Only the crashed child is restarted. Above the restart intensity, the supervisor ends."""
    check_recorded("one_for_one")


def test_one_for_one_escalation() -> None:
    """Failed restarts count too: the supervisor ends and stops the sibling."""
    check_recorded("one_for_one_escalation")


def test_one_for_all() -> None:
    """All children restart. They stop in reverse order."""
    check_recorded("one_for_all")


def test_one_for_all_escalation() -> None:
    """A sibling that cannot be restarted ends the supervisor."""
    check_recorded("one_for_all_escalation")


def test_one_for_all_other_child_fails_restart() -> None:
    """Children that restarted before a sibling failed stop again."""
    check_recorded("one_for_all_other_child_fails_restart")


def test_rest_for_one() -> None:
    """The children after the crashed child restart with it. Earlier children keep running."""
    check_recorded("rest_for_one")


def test_rest_for_one_escalation() -> None:
    """A later sibling that cannot be restarted ends the supervisor."""
    check_recorded("rest_for_one_escalation")


def test_rest_for_one_other_child_fails_restart() -> None:
    """The next attempt begins with the sibling that failed."""
    check_recorded("rest_for_one_other_child_fails_restart")


def test_tree() -> None:
    """A sub-supervisor handles crashes until it gives up. Then its siblings restart too."""
    check_recorded("tree")
