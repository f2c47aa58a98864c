"""What OTP was recorded to do does not hang on okibi's scheduler."""

import os

import pytest
import trio

from tests.conformance.replay import replay
from tests.conformance.scenarios import ALL, Scenario

# Once, under whatever seed, each is played by the test of its case.
pytestmark = pytest.mark.slow
SEEDS = 300 if os.environ.get("OKIBI_SWEEP") == "full" else 10


@pytest.mark.parametrize("scenario", ALL.values(), ids=ALL)
def test_the_sequence_does_not_hang_on_the_scheduler(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = trio._core._run
    monkeypatch.setattr(runner, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    for seed in range(SEEDS):
        runner._r.seed(seed)
        assert replay(scenario) == scenario.expected, f"under scheduler seed {seed}"
