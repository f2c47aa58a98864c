"""supervisor_SUITE: what one can ask a supervisor, and what it answers."""

from tests.conformance.as_recorded import as_recorded


def test_extra_return() -> None:
    """A child is started, stopped, deleted and restarted; nothing but its Ref is given."""
    as_recorded("extra_return")


def test_child_adm() -> None:
    """Each request has its answer in each state of the child."""
    as_recorded("child_adm")


def test_child_specs() -> None:
    """Each wrong field has an error of its own, and every right spec passes."""
    as_recorded("child_specs")


def test_child_specs_map() -> None:
    """Significance goes with the restart type and the supervisor's mode, or is refused."""
    as_recorded("child_specs_map")


def test_sup_flags() -> None:
    """Each wrong flag has an error of its own."""
    as_recorded("sup_flags")


def test_do_not_save_child_specs_for_temporary_children() -> None:
    """A temporary child that has ended can be started anew; others are there still."""
    as_recorded("do_not_save_child_specs_for_temporary_children")


def test_hanging_restart_loop() -> None:
    """Between the attempts of a restart loop each request has its answer."""
    as_recorded("hanging_restart_loop")


def test_hanging_restart_loop_rest_for_one() -> None:
    """So it is when the children after it wait for it."""
    as_recorded("hanging_restart_loop_rest_for_one")
