"""Every case of the suites has exactly one test, or a reason why it has no meaning."""

import pytest

from tests.conformance.scenarios import ADAPTED, ALL, to_text
from tests.conformance.suites import HERE, NO_MEANING, SUITES, Suite, find_tests


@pytest.mark.parametrize("suite", SUITES, ids=[suite.name for suite in SUITES])
def test_each_case_has_one_test_or_no_meaning(suite: Suite) -> None:
    cases = suite.cases()
    test_counts = {
        case: len(find_tests(suite, case, answer))
        for case, answer in cases.items()
        if not answer.startswith(NO_MEANING)
    }

    assert len(cases) == suite.size
    assert {case: count for case, count in test_counts.items() if count != 1} == {}


def test_each_scenario_belongs_to_a_test() -> None:
    texts = "\n".join(path.read_text("utf-8") for path in HERE.glob("test_*.py"))

    assert [s.name for s in ALL.values() if f'check_recorded("{s.case}")' not in texts] == []


def test_each_adaptation_changes_what_was_recorded() -> None:
    changed = {
        (scenario.case, adaptation.why)
        for scenario in ALL.values()
        for adaptation in scenario.adapted
        for line in map(to_text, scenario.recorded)
        if adaptation(line) != line
    }

    assert changed == {(s.case, a.why) for s in ALL.values() for a in s.adapted}
    assert {why for _, why in changed} == {adaptation.why for adaptation in ADAPTED.values()}
