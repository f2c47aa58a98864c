"""supervisor_SUITE: children whose end ends the supervisor."""

from tests.conformance.check_recorded import check_recorded


def test_a_significant_child_where_nobody_asks_for_it_is_refused() -> None:
    check_recorded("significant")


def test_nonsignificant_temporary() -> None:
    """The end of a temporary child that is not significant shuts nothing down."""
    check_recorded("nonsignificant_temporary")


def test_nonsignificant_transient() -> None:
    """Nor does that of a transient one, and its crash restarts it."""
    check_recorded("nonsignificant_transient")


def test_significant_temporary() -> None:
    """Any end of its own of a significant temporary child counts; being terminated does not."""
    check_recorded("significant_temporary")


def test_significant_transient() -> None:
    """Only a quiet end of its own of a significant transient child counts."""
    check_recorded("significant_transient")


def test_significant_bystander() -> None:
    """An end for a sibling's sake does not count."""
    check_recorded("significant_bystander")


def test_significant_escalation() -> None:
    """A significant sub-supervisor that shuts down takes its parent along."""
    check_recorded("significant_escalation")
