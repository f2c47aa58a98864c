"""Compares what okibi does in a case of the suite with what OTP was recorded to do."""

from tests.conformance.replay import replay
from tests.conformance.scenarios import scenarios_of


def check_recorded(case: str) -> None:
    """All scenarios of the case, line by line."""
    scenarios = scenarios_of(case)
    assert scenarios, f"there is no scenario called {case}"
    for scenario in scenarios:
        assert replay(scenario) == scenario.expected, scenario.name
