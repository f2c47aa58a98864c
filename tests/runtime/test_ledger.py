"""What goes on past its deadline is counted while it does; what nobody serves ends the process."""

from runtime.lane import Lane
from runtime.ledger import ABANDON_LIMIT, UNSERVED_LIMIT, Ledger
from tests.runtime.sweep import Nobody


def ledger() -> tuple[Ledger, list[str]]:
    failures: list[str] = []
    return Ledger([Lane(0, b"api")], failures.append, Nobody()), failures


def test_too_much_that_does_not_end_ends_the_process() -> None:
    made, failures = ledger()

    for _ in range(ABANDON_LIMIT):
        made.abandon("a thread", lambda: True)
    assert not failures
    made.abandon("the last thread", lambda: True)

    (why,) = failures
    assert why == "the last thread is one of 9 that do not end in time"


def test_what_has_ended_by_itself_is_counted_no_more() -> None:
    made, failures = ledger()

    for _ in range(5 * ABANDON_LIMIT):
        made.abandon("a thread", lambda: False)

    assert not failures


def test_events_that_nobody_serves_end_the_process() -> None:
    made, failures = ledger()

    for _ in range(UNSERVED_LIMIT):
        assert not failures
        made.leave_unserved()

    assert len(failures) == 1
