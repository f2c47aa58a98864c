"""Mutation tests of the supervisors: insert mistakes one by one, and run the tests.

    python -m tests.mutation

The pure modules strategy.py and child_state.py are mutated. For each mutant, the fast tests run up
to the first failure. A mutant that no test kills is printed. It must stand in survivors.txt with
the reason why it changes nothing. The exit code is 1 for a survivor that is not explained, for an
explained mutant that is killed or does not exist, and for a kill rate below 90 %.

Each mutant runs in a fork of a process that has already imported everything else.
"""

import importlib.abc
import importlib.util
import os
import resource
import signal
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

# Import what the tests import, except the mutated modules, once before the forks.
import hypothesis.strategies
import pytest
import pytest_trio  # type: ignore[import-untyped]
import trio.testing

from okibi import actors

__all__ = ["actors", "hypothesis", "pytest_trio", "trio"]

from tests.mutation.mutants import mutants

ROOT = Path(__file__).parents[2]
MODULES = ("child_state", "strategy")
SURVIVORS = Path(__file__).with_name("survivors.txt")
TESTS = (
    "tests/supervisors/test_strategy.py",
    "tests/supervisors/test_child_state.py",
    "tests/supervisors/test_auto_shutdown.py",
    "tests/supervisors/test_backoff.py",
    "tests/conformance/test_supervisor_restart.py",
    "tests/conformance/test_supervisor_significant.py",
    "tests/supervisors/test_random_trees.py",
)
# Limits of a mutant: seconds of CPU, and seconds of the clock for a mutant that only waits.
CPU_LIMIT = 60
CLOCK_LIMIT = 600.0
GOAL = 0.9


class SourceReplacer(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from another source."""

    def __init__(self, module: str, source: str) -> None:
        self.module, self.source = module, source

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        where = str(ROOT / (name.replace(".", "/") + ".py"))
        if name != self.module:
            return None
        return importlib.util.spec_from_file_location(name, where, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, f"<mutant of {self.module}>", "exec"), module.__dict__)


def run_mutants(modules_and_sources: list[tuple[str, str]]) -> list[bool]:
    """Return for each mutant whether a test fails or the tests exceed a limit."""
    todo = list(enumerate(modules_and_sources))[::-1]
    running: dict[int, tuple[int, float]] = {}
    verdicts = [True] * len(todo)
    while todo or running:
        while todo and len(running) < (os.cpu_count() or 1):
            number, (module, source) = todo.pop()
            child = os.fork()
            if child == 0:
                _run_tests(SourceReplacer(f"okibi.supervisors.{module}", source))
            running[child] = number, time.monotonic() + CLOCK_LIMIT
        for child, (number, until) in list(running.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                verdicts[number] = status != 0
                del running[child]
            elif time.monotonic() > until:
                # The next `waitpid` returns the killed child.
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return verdicts


def _run_tests(module: SourceReplacer) -> None:
    code: int = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT))
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        sys.meta_path.insert(0, module)
        options = ["-q", "-x", "--assert=plain", "-o", "addopts=--import-mode=importlib"]
        code = int(pytest.main([*options, *(str(ROOT / test) for test in TESTS)]))
    finally:
        os._exit(code)


def read_explanations() -> dict[str, str]:
    """Read survivors.txt: a line with the mutant, then indented lines with the reason."""
    reasons: dict[str, str] = {}
    mutant = ""
    for line in SURVIVORS.read_text("utf-8").splitlines():
        if line.startswith(" "):
            reasons[mutant] += line.strip() + " "
        elif line and not line.startswith("#"):
            mutant = line
            reasons[mutant] = ""
    return reasons


def main() -> int:
    """Run all mutants, print the survivors, and return the exit code."""
    sources = {
        module: (ROOT / "okibi" / "supervisors" / f"{module}.py").read_text("utf-8")
        for module in MODULES
    }
    if any(run_mutants(list(sources.items()))):
        print("the tests fail without a mutant: fix them first")
        return 1
    todo = [(module, mutant) for module in MODULES for mutant in mutants(sources[module])]
    verdicts = run_mutants([(module, mutant.source) for module, mutant in todo])
    survivors = [
        f"{module}.{mutant}"
        for (module, mutant), dead in zip(todo, verdicts, strict=True)
        if not dead
    ]
    reasons = read_explanations()
    for mutant in survivors:
        print(f"SURVIVED {mutant}\n    {reasons.get(mutant) or 'UNEXPLAINED'}")
    for mutant in reasons.keys() - set(survivors):
        print(f"REMOVE from {SURVIVORS.name}, the mutant does not survive: {mutant}")
    killed = sum(verdicts)
    rate = killed / len(todo)
    print(f"{len(todo)} mutants, {killed} killed ({rate:.1%}), {len(survivors)} survived")
    return int(set(survivors) != reasons.keys() or rate < GOAL)


if __name__ == "__main__":
    sys.exit(main())
