"""okibi reproduces OTP's recordings under every scheduling order that is tried."""

import os

import pytest
import trio

from tests.conformance.replay import replay
from tests.conformance.scenarios import ALL, Scenario

# The test of each case replays the scenario once, under a random seed.
pytestmark = pytest.mark.slow
SEEDS = 300 if os.environ.get("OKIBI_SWEEP") == "full" else 10


@pytest.mark.parametrize("scenario", ALL.values(), ids=ALL)
def test_a_recording_is_reproduced_under_every_scheduler_seed(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = trio._core._run
    monkeypatch.setattr(runner, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    for seed in range(SEEDS):
        runner._r.seed(seed)
        assert replay(scenario) == scenario.expected, f"under scheduler seed {seed}"
