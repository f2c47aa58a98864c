"""Run every asynchronous test of the supervisors under many scheduler seeds, one process per core.

trio picks the order of ready tasks at random; a seed makes the choice repeatable. Each test runs
once under each seed, which is part of its name: `...[seed17]`.

    python -m tests.endurance.scheduler_seeds 300       seeds 0 to 299
    python -m tests.endurance.scheduler_seeds 1 -k stop  further options are pytest's
"""

import inspect
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import trio


class Seeded:
    """A pytest plug-in that runs each asynchronous test once per seed, and no other test."""

    def __init__(self, seeds: range) -> None:
        self.seeds = seeds

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if inspect.iscoroutinefunction(metafunc.function):
            metafunc.fixturenames.append("scheduler_seed")
            ids = [f"seed{seed}" for seed in self.seeds]
            metafunc.parametrize("scheduler_seed", self.seeds, ids=ids)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if seed_of(item) is not None]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        runner = trio._core._run
        runner._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
        runner._r.seed(seed_of(item))


def seed_of(item: pytest.Item) -> int | None:
    """Return the seed of a test, or None."""
    call = getattr(item, "callspec", None)
    return None if call is None else call.params.get("scheduler_seed")


def run(seeds: range, options: list[str]) -> int:
    """Run all tests under these seeds; return pytest's exit code."""
    given = ["-q", "-p", "no:hypothesispytest", str(Path(__file__).parent), *options]
    return int(pytest.main(given, plugins=[Seeded(seeds)]))


def main(count: int, options: list[str]) -> int:
    cores = min(os.cpu_count() or 1, count)
    edges = [count * core // cores for core in range(cores + 1)]
    parts = [
        subprocess.Popen([sys.executable, "-m", __spec__.name, f"{first}:{end}", *options])
        for first, end in pairwise(edges)
    ]
    return max(part.wait() for part in parts)


if __name__ == "__main__":
    wanted, *rest = sys.argv[1:] or ["300"]
    if ":" in wanted:
        sys.exit(run(range(*map(int, wanted.split(":"))), rest))
    sys.exit(main(int(wanted), rest))
