"""Every case of OTP's supervisor_SUITE is a test here, or has no meaning in Python."""

import re
from collections import Counter
from pathlib import Path

from tests.conformance.scenarios import ADAPTED, ALL, said

HERE = Path(__file__).parent
CASES = (HERE / "otp" / "supervisor_SUITE.txt").read_text("utf-8").split()

NO_CODE_CHANGE = (
    "it is about a release upgrade, which changes a living supervisor's flags or specs; okibi's "
    "are frozen values, and new code is a new process"
)
NO_MEANING = {
    "significant_upgrade_never_any": NO_CODE_CHANGE,
    "significant_upgrade_any_never": NO_CODE_CHANGE,
    "significant_upgrade_never_all": NO_CODE_CHANGE,
    "significant_upgrade_all_never": NO_CODE_CHANGE,
    "significant_upgrade_any_all": NO_CODE_CHANGE,
    "significant_upgrade_all_any": NO_CODE_CHANGE,
    "significant_upgrade_child": NO_CODE_CHANGE,
    "code_change": NO_CODE_CHANGE,
    "code_change_map": NO_CODE_CHANGE,
    "code_change_simple": NO_CODE_CHANGE,
    "code_change_simple_map": NO_CODE_CHANGE,
    "get_callback_module": "the release handler asks for the callback module; there is neither",
    "format_log_1": "it is about the report format of the logger before OTP 21",
}


def defined() -> Counter[str]:
    """How often each test is defined in the files about the supervisor."""
    texts = [path.read_text("utf-8") for path in HERE.glob("test_supervisor_*.py")]
    return Counter(re.findall(r"^(?:async )?def test_(\w+)\(", "\n".join(texts), re.MULTILINE))


def test_the_suite_has_93_cases() -> None:
    assert len(CASES) == len(set(CASES)) == 93


def test_each_case_is_one_test_or_has_no_meaning() -> None:
    found = defined()

    assert [case for case in CASES if found[case] != (case not in NO_MEANING)] == []
    assert set(NO_MEANING) <= set(CASES)


def test_each_scenario_belongs_to_a_test() -> None:
    texts = "\n".join(path.read_text("utf-8") for path in HERE.glob("test_*.py"))

    assert [s.name for s in ALL.values() if f'"{s.case}"' not in texts] == []


def test_each_adaptation_changes_what_was_recorded() -> None:
    changed = {
        (scenario.case, adaptation.why)
        for scenario in ALL.values()
        for adaptation in scenario.adapted
        for line in map(said, scenario.recorded)
        if adaptation(line) != line
    }

    assert changed == {(s.case, a.why) for s in ALL.values() for a in s.adapted}
    assert {why for _, why in changed} == {adaptation.why for adaptation in ADAPTED.values()}
