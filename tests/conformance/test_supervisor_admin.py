"""supervisor_SUITE: what one can ask a supervisor, and what it answers."""

from tests.conformance.check_recorded import check_recorded


def test_extra_return() -> None:
    """A child is started, stopped, deleted and restarted; nothing but its Ref is given."""
    check_recorded("extra_return")


def test_child_adm() -> None:
    """Each request has its answer in each state of the child."""
    check_recorded("child_adm")


def test_child_specs() -> None:
    """Each wrong field has an error of its own, and every right spec passes."""
    check_recorded("child_specs")


def test_child_specs_map() -> None:
    """Significance goes with the restart type and the supervisor's mode, or is refused."""
    check_recorded("child_specs_map")


def test_sup_flags() -> None:
    """Each wrong flag has an error of its own."""
    check_recorded("sup_flags")


def test_do_not_save_child_specs_for_temporary_children() -> None:
    """A temporary child that has ended can be started anew; others are there still."""
    check_recorded("do_not_save_child_specs_for_temporary_children")


def test_hanging_restart_loop() -> None:
    """Between the attempts of a restart loop each request has its answer."""
    check_recorded("hanging_restart_loop")


def test_hanging_restart_loop_rest_for_one() -> None:
    """So it is when the children after it wait for it."""
    check_recorded("hanging_restart_loop_rest_for_one")
