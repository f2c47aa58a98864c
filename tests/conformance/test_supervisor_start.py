"""supervisor_SUITE: how a supervisor and its children start, and which children it lists."""

from tests.conformance.check_recorded import check_recorded


def test_sup_start_normal() -> None:
    """An empty supervisor starts and stops."""
    check_recorded("sup_start_normal")


def test_sup_start_ignore_init() -> None:
    """A supervisor that ignores its start is not an error for the starter."""
    check_recorded("sup_start_ignore_init")


def test_sup_start_ignore_child() -> None:
    """A child that ignores its start keeps its spec. No process runs."""
    check_recorded("sup_start_ignore_child")


def test_sup_start_ignore_temporary_child() -> None:
    """A temporary child that ignores the first start is deleted."""
    check_recorded("sup_start_ignore_temporary_child")


def test_sup_start_ignore_temporary_child_start_child() -> None:
    """A temporary child that ignores a requested start is deleted."""
    check_recorded("sup_start_ignore_temporary_child_start_child")


def test_sup_start_error_return() -> None:
    """A factory that makes no supervisor is an error. Nothing starts."""
    check_recorded("sup_start_error_return")


def test_sup_start_fail() -> None:
    """The starter gets the error of a supervisor whose init fails."""
    check_recorded("sup_start_fail")


def test_sup_start_child_returns_error() -> None:
    """The caller gets the error of a failed start_child. No spec remains."""
    check_recorded("sup_start_child_returns_error")


def test_sup_start_restart_child_returns_error() -> None:
    """The caller gets the error of a failed restart_child. The spec remains."""
    check_recorded("sup_start_restart_child_returns_error")


def test_sup_start_map() -> None:
    """Omitted fields have defaults. The whole spec can be read."""
    check_recorded("sup_start_map")


def test_sup_start_map_faulty_specs() -> None:
    """The error names a missing or unknown field."""
    check_recorded("sup_start_map_faulty_specs")


def test_already_started_outside_supervisor() -> None:
    """A name of an unrelated actor raises AlreadyStarted. No spec remains."""
    check_recorded("already_started_outside_supervisor")


def test_simple_global_supervisor() -> None:
    """A name resolves to the newest incarnation, whatever caused the restart."""
    check_recorded("simple_global_supervisor")


def test_order_of_children() -> None:
    """Children start in the order of the list, and stop in reverse order."""
    check_recorded("order_of_children")


def test_which_children() -> None:
    """The newest child is listed first."""
    check_recorded("which_children")


def test_faulty_application_shutdown() -> None:
    """The starter of an application gets the error of a child. Started children stop."""
    check_recorded("faulty_application_shutdown")
