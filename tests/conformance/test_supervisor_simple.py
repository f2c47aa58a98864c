"""supervisor_SUITE: simple_one_for_one, which is okibi's DynamicSupervisor."""

from tests.conformance.check_recorded import check_recorded


def test_sup_start_ignore_temporary_child_start_child_simple() -> None:
    """A temporary child that ignores its start is deleted."""
    check_recorded("sup_start_ignore_temporary_child_start_child_simple")


def test_sup_start_ignore_permanent_child_start_child_simple() -> None:
    """A permanent child that ignores its start is deleted. The supervisor stops cleanly."""
    check_recorded("sup_start_ignore_permanent_child_start_child_simple")


def test_sup_start_child_returns_error_simple() -> None:
    """The caller gets the error of a failed start. No spec remains."""
    check_recorded("sup_start_child_returns_error_simple")


def test_sup_start_map_simple() -> None:
    """The spec of a child is found by its Ref. The Ref of another actor is not found."""
    check_recorded("sup_start_map_simple")


def test_sup_stop_timeout_dynamic() -> None:
    """A child that exceeds its shutdown time is killed. The others end normally."""
    check_recorded("sup_stop_timeout_dynamic")


def test_sup_stop_brutal_kill_dynamic() -> None:
    """Children with brutal_kill are killed."""
    check_recorded("sup_stop_brutal_kill_dynamic")


def test_sup_stop_non_shutdown_exit_dynamic() -> None:
    """The supervisor ends with shutdown, whatever the exit reasons of its children."""
    check_recorded("sup_stop_non_shutdown_exit_dynamic")


def test_child_adm_simple() -> None:
    """A child is terminated by its Ref. Repeating the request is no error."""
    check_recorded("child_adm_simple")


def test_simple_one_for_one() -> None:
    """Only the crashed child is restarted. Above the restart intensity, the supervisor ends."""
    check_recorded("simple_one_for_one")


def test_simple_one_for_one_restart_ignore() -> None:
    """A child that ignores its restart is deleted."""
    check_recorded("simple_one_for_one_restart_ignore")


def test_simple_one_for_one_shutdown() -> None:
    """All children stop at once."""
    check_recorded("simple_one_for_one_shutdown")


def test_simple_one_for_one_extra() -> None:
    """The same as simple_one_for_one. The only result of a start is the Ref."""
    check_recorded("simple_one_for_one_extra")


def test_simple_one_for_one_escalation() -> None:
    """Failed restarts count too: the supervisor ends."""
    check_recorded("simple_one_for_one_escalation")


def test_significant_simple() -> None:
    """A DynamicSupervisor has no auto-shutdown mode."""
    check_recorded("significant_simple")


def test_count_children() -> None:
    """The count follows starts and ends."""
    check_recorded("count_children")


def test_count_children_supervisor() -> None:
    """Children that are supervisors are counted as supervisors."""
    check_recorded("count_children_supervisor")


def test_count_restarting_children() -> None:
    """A restarting child counts as a worker, but not as active."""
    check_recorded("count_restarting_children")


def test_hanging_restart_loop_simple() -> None:
    """Requests are answered between the attempts of a restart loop."""
    check_recorded("hanging_restart_loop_simple")


def test_which_children_simple_one_for_one() -> None:
    """Children are listed without ids."""
    check_recorded("which_children_simple_one_for_one")
