"""okibi's local server against the specification, and AWS's emulator against the same."""

from pathlib import Path

import pytest

from tests.conformance.runtime_api.cases import Case
from tests.conformance.runtime_api.differences import DIFFERENCES
from tests.conformance.runtime_api.stage import local, many_refused, official
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
    with local(case.mode, case.timeout, tmp_path) as stage:
        case.play(stage)

    assert [seen for seen in stage.seen if seen.seen != seen.expected] == []
    assert stage.seen


@pytest.mark.slow
@pytest.mark.parametrize("case", ALL, ids=str)
def test_awss_emulator_does_the_same_but_for_the_listed_differences(
    case: Case, executable: Path, tmp_path: Path
) -> None:
    if case.mode == "many" and (why := many_refused()):
        pytest.skip(why)
    with official(executable, case.mode, case.timeout, tmp_path) as stage:
        case.play(stage)

    listed = {it.label: it.emulator for it in DIFFERENCES if it.case == case.play.__name__}
    assert {seen.label: seen.seen for seen in stage.seen if seen.seen != seen.expected} == listed


def test_every_number_of_the_specifications_list_has_a_case() -> None:
    assert {case.number for case in ALL} | NUMBERS_ELSEWHERE.keys() == set(range(1, 15))


def test_every_difference_belongs_to_a_case_and_has_a_reason() -> None:
    names = {case.play.__name__ for case in ALL}
    assert [it for it in DIFFERENCES if it.case not in names or not it.reason] == []
