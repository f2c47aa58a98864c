"""The test suites of OTP and Elixir, case by case, and the test that covers each case.

A file in `suites/` maps each case of a suite to its test. An empty value: the test has the name of
the case, in the files here that belong to the suite. A path and a name: a test elsewhere covers the
case. `no meaning: ...`: the reason why the case cannot be tested in Python.

    python -m tests.conformance.suites

prints a table: P for a case that is passed unchanged, A for an adapted case with the reason, and -
for a case without meaning with the reason.
"""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import attrs

from tests.conformance.scenarios import scenarios_of

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NO_MEANING = "no meaning: "


@attrs.frozen
class Suite:
    """One suite.

    Attributes:
        name: name of the suite in OTP or Elixir, and of its file here.
        size: number of cases.
        files: glob pattern of its test files.
    """

    name: str
    size: int
    files: str

    def cases(self) -> dict[str, str]:
        """Read the test of each case."""
        path = HERE / "suites" / f"{self.name}.json"
        found: dict[str, str] = json.loads(path.read_text("utf-8"))
        return found


SUITES = (
    Suite("supervisor_SUITE", 93, "test_supervisor_*.py"),
    Suite("dynamic_supervisor_test", 41, "test_elixir_dynamic_supervisor.py"),
    Suite("partition_supervisor_test", 22, "test_elixir_partition_supervisor.py"),
    Suite("task_supervisor_test", 44, "test_elixir_task_supervisor.py"),
    Suite("registry_unique_test", 35, "test_elixir_registry_unique.py"),
    Suite("registry_duplicate_test", 36, "test_elixir_registry_duplicate.py"),
)


def expected_test_name(case: str) -> str:
    """Return the name that the test of a case has."""
    return "test_" + re.sub(r"\W+", "_", case.lower()).strip("_")


@cache
def read_tests(path: Path) -> list[tuple[str, str]]:
    """Read the names and docstrings of the tests of a file."""
    return [
        (node.name, ast.get_docstring(node) or "")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_")
    ]


def find_tests(suite: Suite, case: str, answer: str) -> list[str]:
    """Return the docstrings of the tests of a case. There should be exactly one test."""
    path, _, name = answer.partition("::")
    files = [ROOT / path] if answer else sorted(HERE.glob(suite.files))
    wanted = name or expected_test_name(case)
    return [doc for file in files for test, doc in read_tests(file) if test == wanted]


def explain_adaptation(case: str, docstring: str) -> str:
    """Return how a case is adapted, from its scenarios or else from its test's docstring."""
    whys = dict.fromkeys(why.why for scenario in scenarios_of(case) for why in scenario.adapted)
    if not whys and "Adapted: " in docstring:
        return " ".join(docstring.partition("Adapted: ")[2].split())
    return " ".join(whys)


def list_rows(suite: Suite) -> Iterator[tuple[str, str, str]]:
    """Yield P, A or -, the case, and its explanation."""
    for case, answer in suite.cases().items():
        if answer.startswith(NO_MEANING):
            yield "-", case, answer.removeprefix(NO_MEANING)
            continue
        how = explain_adaptation(case, "".join(find_tests(suite, case, answer)))
        yield "A" if how else "P", case, how or answer


def main() -> None:
    """Print the table."""
    for suite in SUITES:
        found = list(list_rows(suite))
        kinds = [kind for kind, _, _ in found]
        count = ", ".join(f"{kinds.count(kind)} {kind}" for kind in "PA-")
        print(f"{suite.name}: {len(found)} cases, {count}")
        for kind, case, text in found:
            print(f"  {kind} {case}" + (f": {text}" if text else ""))


if __name__ == "__main__":
    main()
