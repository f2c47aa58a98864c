"""supervisor_SUITE: significant children, whose end shuts the supervisor down."""

from tests.conformance.check_recorded import check_recorded


def test_a_significant_child_without_auto_shutdown_is_refused() -> None:
    check_recorded("significant")


def test_nonsignificant_temporary() -> None:
    """The end of a non-significant temporary child does not shut the supervisor down."""
    check_recorded("nonsignificant_temporary")


def test_nonsignificant_transient() -> None:
    """The end of a non-significant transient child does not either. A crash restarts it."""
    check_recorded("nonsignificant_transient")


def test_significant_temporary() -> None:
    """Any end of a significant temporary child counts, except terminate_child."""
    check_recorded("significant_temporary")


def test_significant_transient() -> None:
    """Only a normal end or a shutdown of a significant transient child counts."""
    check_recorded("significant_transient")


def test_significant_bystander() -> None:
    """The stop of a significant child for a sibling's restart does not count."""
    check_recorded("significant_bystander")


def test_significant_escalation() -> None:
    """A significant sub-supervisor that shuts down also shuts its parent down."""
    check_recorded("significant_escalation")
