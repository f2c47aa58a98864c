"""okibi's local server against the specification, and AWS's emulator against the same."""

from pathlib import Path

import pytest

from tests.conformance.runtime_api.cases import Case
from tests.conformance.runtime_api.differences import DIFFERENCES
from tests.conformance.runtime_api.session import emulator_session, local_session, many_refused
from tests.conformance.runtime_api.suite import ALL
from tests.support.emulator import NoEmulatorError, emulator

NUMBERS_ELSEWHERE = {14: "freezing is no call: tests/local/test_sandbox.py"}


@pytest.fixture(scope="session")
def executable() -> Path:
    try:
        return emulator()
    except NoEmulatorError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_the_local_server_does_what_the_specification_says(case: Case, tmp_path: Path) -> None:
    with local_session(case.mode, case.timeout, tmp_path) as session:
        case.run(session)

    assert [seen for seen in session.observations if seen.actual != seen.expected] == []
    assert session.observations


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL, ids=str)
def test_awss_emulator_does_the_same_but_for_the_listed_differences(
    case: Case, executable: Path, tmp_path: Path
) -> None:
    if case.mode == "many" and (why := many_refused()):
        pytest.skip(why)
    with emulator_session(executable, case.mode, case.timeout, tmp_path) as session:
        case.run(session)

    listed = {it.label: it.emulator for it in DIFFERENCES if it.case == case.run.__name__}
    assert {
        each.label: each.actual for each in session.observations if each.actual != each.expected
    } == listed


def test_every_number_of_the_specifications_list_has_a_case() -> None:
    assert {case.number for case in ALL} | NUMBERS_ELSEWHERE.keys() == set(range(1, 15))


def test_every_difference_belongs_to_a_case_and_has_a_reason() -> None:
    names = {case.run.__name__ for case in ALL}
    assert [it for it in DIFFERENCES if it.case not in names or not it.reason] == []
