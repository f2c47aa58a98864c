"""Check okibi's local server and AWS's emulator against the specification."""

from pathlib import Path

import pytest

from tests.conformance.runtime_api.cases import Case
from tests.conformance.runtime_api.differences import DIFFERENCES
from tests.conformance.runtime_api.session import emulator_session, local_session, many_refused
from tests.conformance.runtime_api.suite import ALL
from tests.support.emulator import NoEmulatorError, emulator

NUMBERS_ELSEWHERE = {14: "freezing is not a request: tests/local/sandbox/test_sandbox.py"}


@pytest.fixture(scope="session")
def executable() -> Path:
    try:
        return emulator()
    except NoEmulatorError as missing:
        pytest.skip(str(missing))


# The first case of each number and mode.
SAMPLE = {(case.number, case.mode): case for case in reversed(ALL)}.values()


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=() if case in SAMPLE else pytest.mark.slow) for case in ALL],
    ids=str,
)
def test_the_local_server_follows_the_specification(case: Case, tmp_path: Path) -> None:
    with local_session(case.mode, case.timeout, tmp_path) as session:
        case.run(session)

    assert [seen for seen in session.observations if seen.actual != seen.expected] == []
    assert session.observations


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL, ids=str)
def test_the_emulator_differs_only_where_listed(
    case: Case, executable: Path, tmp_path: Path
) -> None:
    if case.mode == "many" and (why := many_refused()):
        pytest.skip(why)
    with emulator_session(executable, case.mode, case.timeout, tmp_path) as session:
        case.run(session)

    listed = {each.label: each.emulator for each in DIFFERENCES if each.case == case.run.__name__}
    assert {
        each.label: each.actual for each in session.observations if each.actual != each.expected
    } == listed


def test_every_item_of_the_specification_has_a_case() -> None:
    assert {case.number for case in ALL} | NUMBERS_ELSEWHERE.keys() == set(range(1, 15))


def test_every_difference_has_a_case_and_a_reason() -> None:
    names = {case.run.__name__ for case in ALL}
    assert [each for each in DIFFERENCES if each.case not in names or not each.reason] == []
