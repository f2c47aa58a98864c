"""Compare okibi with OTP in one case of a suite."""

from tests.conformance.replay import replay
from tests.conformance.scenarios import scenarios_of


def check_recorded(case: str) -> None:
    """Replay each scenario of the case and compare every line with the recording."""
    scenarios = scenarios_of(case)
    assert scenarios, f"no scenario belongs to the case {case!r}"
    for scenario in scenarios:
        assert replay(scenario) == scenario.expected, scenario.name
