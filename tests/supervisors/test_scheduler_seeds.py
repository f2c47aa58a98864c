"""No test of supervisors depends on the order in which trio runs ready tasks."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_async_tests_pass_under_every_scheduler_seed() -> None:
    """A sample of 5 seeds. `make prove` runs 300."""
    ended = subprocess.run(
        [sys.executable, "-m", "tests.endurance.scheduler_seeds", "5"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert ended.returncode == 0, ended.stdout
