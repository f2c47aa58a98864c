"""No test of the supervisors hangs on the order in which trio runs what is ready."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_every_asynchronous_test_passes_under_any_scheduler_seed() -> None:
    """A sample; `make prove` takes 300."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.endurance.scheduler_seeds", "5"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert ended.returncode == 0, ended.stdout
