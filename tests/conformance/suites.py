"""The suites of OTP and Elixir that okibi is held against, case by case.

A suite is a file in `suites/`: each of its cases, and where it is proved. Nothing says that the
test has the case's own name, in the files here that are the suite's; a path and a name, that a
test elsewhere proves it; `no meaning: ...`, why there is nothing to prove in Python.

    python -m tests.conformance.suites

prints them all as a table: P for a case that is taken as it is, A for one that is adapted, with
how, and - for one without meaning, with why.
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
        name: its file here, and what it is called at home.
        size: how many cases it has.
        files: where its tests are, as a pattern.
    """

    name: str
    size: int
    files: str

    def cases(self) -> dict[str, str]:
        """Each case, and where it is proved."""
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
    """What the test of a case is called."""
    return "test_" + re.sub(r"\W+", "_", case.lower()).strip("_")


@cache
def read_tests(path: Path) -> list[tuple[str, str]]:
    """Each test of a file, and what it says of itself."""
    return [
        (node.name, ast.get_docstring(node) or "")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_")
    ]


def find_tests(suite: Suite, case: str, answer: str) -> list[str]:
    """What each test that proves a case says of itself: of one test in all, if all is well."""
    path, _, name = answer.partition("::")
    files = [ROOT / path] if answer else sorted(HERE.glob(suite.files))
    wanted = name or expected_test_name(case)
    return [said for file in files for test, said in read_tests(file) if test == wanted]


def explain_adaptation(case: str, said: str) -> str:
    """How a case is adapted: what its scenarios, or else its test, say of it."""
    whys = dict.fromkeys(why.why for scenario in scenarios_of(case) for why in scenario.adapted)
    if not whys and "Adapted: " in said:
        return " ".join(said.partition("Adapted: ")[2].split())
    return " ".join(whys)


def list_rows(suite: Suite) -> Iterator[tuple[str, str, str]]:
    """P, A or -, the case, and what is to be said of it."""
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
        for kind, case, said in found:
            print(f"  {kind} {case}" + (f": {said}" if said else ""))


if __name__ == "__main__":
    main()
