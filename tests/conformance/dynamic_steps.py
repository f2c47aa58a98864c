"""Perform steps on a DynamicSupervisor, for cases without a recording."""

from typing import Any

from tests.conformance.replay import replay_lines
from tests.conformance.scenarios import Scenario

StepResult = tuple[Any, str]


def perform(*steps: list[Any], **flags: Any) -> list[StepResult]:
    """Perform the steps on a new DynamicSupervisor. Return the reply and the log of each step.

    The module `scenarios` explains the steps. Children are permanent unless a step says otherwise.

    Args:
        steps: the steps after the start.
        flags: flags of the supervisor. The default intensity is Elixir's, 3.
    """
    given = {
        "flags": {"strategy": "simple_one_for_one", "intensity": 3, **flags},
        "children": ["any"],
        "steps": list(steps),
    }
    scenario = Scenario("", "", "", given, [], ())
    return [(reply, log) for _, reply, log in replay_lines(scenario)[1:]]


def child(id: str, **fields: Any) -> list[Any]:  # noqa: A002 - the field's name
    """Make the step that starts a child with this id."""
    return ["start_child", {"id": id, **fields}]
