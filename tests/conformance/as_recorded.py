"""Compares what okibi does in a case of the suite with what OTP was recorded to do."""

import pytest

import supervisors
from tests.conformance.replay import replay
from tests.conformance.scenarios import Scenario, of_case


def playable(scenario: Scenario) -> bool:
    """Whether okibi has the kind of supervisor that a scenario is about."""
    return not scenario.simple or hasattr(supervisors, "DynamicSupervisor")


def as_recorded(case: str) -> None:
    """All scenarios of the case, line by line."""
    scenarios = of_case(case)
    assert scenarios, f"there is no scenario called {case}"
    if not all(playable(scenario) for scenario in scenarios):
        pytest.skip("okibi has no DynamicSupervisor yet")
    for scenario in scenarios:
        assert replay(scenario) == scenario.expected, scenario.name
