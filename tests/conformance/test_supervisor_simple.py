"""supervisor_SUITE: simple_one_for_one, which is okibi's DynamicSupervisor."""

from tests.conformance.check_recorded import check_recorded


def test_sup_start_ignore_temporary_child_start_child_simple() -> None:
    """A temporary child that ignores is not kept."""
    check_recorded("sup_start_ignore_temporary_child_start_child_simple")


def test_sup_start_ignore_permanent_child_start_child_simple() -> None:
    """Nor is a permanent one, and the supervisor then stops cleanly."""
    check_recorded("sup_start_ignore_permanent_child_start_child_simple")


def test_sup_start_child_returns_error_simple() -> None:
    """A start that fails is told to the asker; nothing is kept."""
    check_recorded("sup_start_child_returns_error_simple")


def test_sup_start_map_simple() -> None:
    """The spec of a child can be read by who it is; a stranger has none."""
    check_recorded("sup_start_map_simple")


def test_sup_stop_timeout_dynamic() -> None:
    """Who does not end within its time is killed; the others end as asked."""
    check_recorded("sup_stop_timeout_dynamic")


def test_sup_stop_brutal_kill_dynamic() -> None:
    """All are killed where that is the spec."""
    check_recorded("sup_stop_brutal_kill_dynamic")


def test_sup_stop_non_shutdown_exit_dynamic() -> None:
    """However the children answer a stop, the supervisor ends as asked."""
    check_recorded("sup_stop_non_shutdown_exit_dynamic")


def test_child_adm_simple() -> None:
    """A child is terminated by who it is; once gone, again and again."""
    check_recorded("child_adm_simple")


def test_simple_one_for_one() -> None:
    """Only the child that crashed is restarted; one crash too many ends the supervisor."""
    check_recorded("simple_one_for_one")


def test_simple_one_for_one_restart_ignore() -> None:
    """A child that ignores at its restart is forgotten."""
    check_recorded("simple_one_for_one_restart_ignore")


def test_simple_one_for_one_shutdown() -> None:
    """All children stop at once."""
    check_recorded("simple_one_for_one_shutdown")


def test_simple_one_for_one_extra() -> None:
    """As simple_one_for_one; nothing but the Ref is given."""
    check_recorded("simple_one_for_one_extra")


def test_simple_one_for_one_escalation() -> None:
    """Attempts that fail are counted: the supervisor ends."""
    check_recorded("simple_one_for_one_escalation")


def test_significant_simple() -> None:
    """A mode of shutting down by oneself is refused."""
    check_recorded("significant_simple")


def test_count_children() -> None:
    """Children are counted as they come and go."""
    check_recorded("count_children")


def test_count_children_supervisor() -> None:
    """So are children that are supervisors."""
    check_recorded("count_children_supervisor")


def test_count_restarting_children() -> None:
    """A child between two attempts is counted as a worker, and not as active."""
    check_recorded("count_restarting_children")


def test_hanging_restart_loop_simple() -> None:
    """Between the attempts of a restart loop each request has its answer."""
    check_recorded("hanging_restart_loop_simple")


def test_which_children_simple_one_for_one() -> None:
    """Children are listed without ids."""
    check_recorded("which_children_simple_one_for_one")
