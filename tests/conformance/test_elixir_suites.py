"""Every case of the Elixir suites is a test of okibi's, or has no meaning in Python.

The files in `elixir/` say which: nothing (the test has the case's own name, in the file here that
has the suite's), the place of a test that proves it elsewhere, or why it has no meaning.
"""

import json
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SIZES = {
    "dynamic_supervisor": 41,
    "registry_unique": 35,
    "registry_duplicate": 36,
}


def name_of(case: str) -> str:
    return "test_" + re.sub(r"\W+", "_", case.lower()).strip("_")


def defines(path: Path, name: str) -> bool:
    text = path.read_text("utf-8")
    return len(re.findall(rf"^(?:async )?def {name}\(", text, re.MULTILINE)) == 1


def is_accounted_for(suite: str, case: str, answer: str) -> bool:
    if answer.startswith("no meaning: "):
        return True
    if answer:
        path, _, name = answer.partition("::")
        return defines(ROOT / path, name)
    return defines(HERE / f"test_elixir_{suite}.py", name_of(case))


@pytest.mark.parametrize("suite", SIZES)
def test_each_case_is_a_test_or_has_no_meaning(suite: str) -> None:
    cases = json.loads((HERE / "elixir" / f"{suite}_test.json").read_text("utf-8"))

    assert len(cases) == SIZES[suite]
    assert [case for case in cases if not is_accounted_for(suite, case, cases[case])] == []
