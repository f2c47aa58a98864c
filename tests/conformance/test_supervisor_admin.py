"""supervisor_SUITE: requests to a supervisor and their replies."""

from tests.conformance.check_recorded import check_recorded


def test_extra_return() -> None:
    """A child is started, stopped, deleted and restarted. The only result is its Ref."""
    check_recorded("extra_return")


def test_child_adm() -> None:
    """Each request has a defined reply in each state of the child."""
    check_recorded("child_adm")


def test_child_specs() -> None:
    """Each invalid field has its own error. Valid specs pass."""
    check_recorded("child_specs")


def test_child_specs_map() -> None:
    """`significant` must suit the restart type and the supervisor's mode."""
    check_recorded("child_specs_map")


def test_sup_flags() -> None:
    """Each invalid flag has its own error."""
    check_recorded("sup_flags")


def test_do_not_save_child_specs_for_temporary_children() -> None:
    """The spec of a temporary child is deleted at its end. Other specs remain."""
    check_recorded("do_not_save_child_specs_for_temporary_children")


def test_hanging_restart_loop() -> None:
    """Requests are answered between the attempts of a restart loop."""
    check_recorded("hanging_restart_loop")


def test_hanging_restart_loop_rest_for_one() -> None:
    """Requests are answered also while later children wait for the restart."""
    check_recorded("hanging_restart_loop_rest_for_one")
