"""supervisor_SUITE: how a supervisor and its children start, and who is among them."""

from tests.conformance.check_recorded import check_recorded


def test_sup_start_normal() -> None:
    """An empty supervisor starts, and ends as it is asked to."""
    check_recorded("sup_start_normal")


def test_sup_start_ignore_init() -> None:
    """A supervisor that is not needed after all is no error to whoever starts it."""
    check_recorded("sup_start_ignore_init")


def test_sup_start_ignore_child() -> None:
    """A child that ignores keeps its spec; nobody lives there."""
    check_recorded("sup_start_ignore_child")


def test_sup_start_ignore_temporary_child() -> None:
    """A temporary child that ignores is forgotten, at the first start."""
    check_recorded("sup_start_ignore_temporary_child")


def test_sup_start_ignore_temporary_child_start_child() -> None:
    """A temporary child that ignores is forgotten, started on request."""
    check_recorded("sup_start_ignore_temporary_child_start_child")


def test_sup_start_error_return() -> None:
    """What makes no supervisor does not start; there is an error and no exit."""
    check_recorded("sup_start_error_return")


def test_sup_start_fail() -> None:
    """A supervisor whose init fails does not start; its starter is told why."""
    check_recorded("sup_start_fail")


def test_sup_start_child_returns_error() -> None:
    """A start on request that fails is told to the asker; no spec is kept."""
    check_recorded("sup_start_child_returns_error")


def test_sup_start_restart_child_returns_error() -> None:
    """A restart on request that fails is told to the asker; the spec is kept."""
    check_recorded("sup_start_restart_child_returns_error")


def test_sup_start_map() -> None:
    """What a spec leaves out has its default, and the whole spec can be read."""
    check_recorded("sup_start_map")


def test_sup_start_map_faulty_specs() -> None:
    """What a spec lacks, or has too much of, is said."""
    check_recorded("sup_start_map_faulty_specs")


def test_already_started_outside_supervisor() -> None:
    """A name that a stranger bears is AlreadyStarted, and no spec is kept."""
    check_recorded("already_started_outside_supervisor")


def test_simple_global_supervisor() -> None:
    """A name is borne by whoever was started last, whoever has restarted it."""
    check_recorded("simple_global_supervisor")


def test_order_of_children() -> None:
    """Children start in the order of the list, whatever they are called, and stop in reverse."""
    check_recorded("order_of_children")


def test_which_children() -> None:
    """The newest child is listed first."""
    check_recorded("which_children")


def test_faulty_application_shutdown() -> None:
    """A child that fails is told to whoever starts the application; what was started is stopped."""
    check_recorded("faulty_application_shutdown")
