"""Plays steps on a dynamic supervisor and gives what each brought: for cases without recording."""

from typing import Any

from tests.conformance.replay import replay_lines
from tests.conformance.scenarios import Scenario

StepResult = tuple[Any, str]


def perform(*steps: list[Any], **flags: Any) -> list[StepResult]:
    """A dynamic supervisor does these steps: for each the reply, and what followed from it.

    The steps are those of the scenarios (`conformance.scenarios`). A child's spec has nothing in
    common with the others' but that it is permanent.

    Args:
        steps: what is done after it has started.
        flags: its flags; Elixir's intensity is 3.
    """
    given = {
        "flags": {"strategy": "simple_one_for_one", "intensity": 3, **flags},
        "children": ["any"],
        "steps": list(steps),
    }
    scenario = Scenario("", "", "", given, [], ())
    return [(reply, log) for _, reply, log in replay_lines(scenario)[1:]]


def child(id: str, **fields: Any) -> list[Any]:  # noqa: A002 - the field's name
    """The step that starts a child of this id."""
    return ["start_child", {"id": id, **fields}]
