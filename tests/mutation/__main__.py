"""What the tests of the supervisors are worth: mistakes are put in, one by one, and must be found.

    python -m tests.mutation

The modules that decide are mutated: strategy.py and child_state.py. For each mutant the fast tests
run until the first that fails. One that no test finds is printed with what was changed. It has to
stand in survivors.txt, beside mutants of the same kind, with the reason why it is none: an
unexplained survivor ends the run with 1, and so does an explained one that is found or that is
gone, and a rate under nine in ten.

Each mutant is a fork of a process that has imported everything else already.
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

# All that the tests import but what is mutated, so that a fork begins with it.
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
# Seconds of CPU, and for one that waits and uses none, of the clock.
LIMIT = 60
PATIENCE = 600.0
GOAL = 0.9


class Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module another source."""

    def __init__(self, module: str, source: str) -> None:
        self.module, self.source = module, source

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        where = str(ROOT / (name.replace(".", "/") + ".py"))
        if name != self.module:
            return None
        return importlib.util.spec_from_file_location(name, where, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, f"<mutant of {self.module}>", "exec"), module.__dict__)


def found(rooms_and_sources: list[tuple[str, str]]) -> list[bool]:
    """Of each mutant, whether a test fails or the tests do not come to an end."""
    todo = list(enumerate(rooms_and_sources))[::-1]
    running: dict[int, tuple[int, float]] = {}
    verdicts = [True] * len(todo)
    while todo or running:
        while todo and len(running) < (os.cpu_count() or 1):
            number, (module, source) = todo.pop()
            child = os.fork()
            if child == 0:
                _run_tests(Mutated(f"okibi.supervisors.{module}", source))
            running[child] = number, time.monotonic() + PATIENCE
        for child, (number, until) in list(running.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                verdicts[number] = status != 0
                del running[child]
            elif time.monotonic() > until:
                # It hangs: the next look finds it killed.
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    return verdicts


def _run_tests(module: Mutated) -> None:
    code: int = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        sys.meta_path.insert(0, module)
        options = ["-q", "-x", "--assert=plain", "-o", "addopts=--import-mode=importlib"]
        code = int(pytest.main([*options, *(str(ROOT / test) for test in TESTS)]))
    finally:
        os._exit(code)


def explained() -> dict[str, str]:
    """The reasons in survivors.txt, by mutant: a line of its own, then indented why."""
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
    sources = {
        module: (ROOT / "okibi" / "supervisors" / f"{module}.py").read_text("utf-8")
        for module in MODULES
    }
    if any(found(list(sources.items()))):
        print("the tests fail without any mutant; see to that first")
        return 1
    todo = [(module, mutant) for module in MODULES for mutant in mutants(sources[module])]
    verdicts = found([(module, mutant.source) for module, mutant in todo])
    left = [
        f"{module}.{mutant}"
        for (module, mutant), dead in zip(todo, verdicts, strict=True)
        if not dead
    ]
    reasons = explained()
    for mutant in left:
        print(f"SURVIVED {mutant}\n    {reasons.get(mutant) or 'UNEXPLAINED'}")
    for mutant in reasons.keys() - set(left):
        print(f"EXPLAINED in {SURVIVORS.name}, and it does not survive: {mutant}")
    killed = sum(verdicts)
    rate = killed / len(todo)
    print(f"{len(todo)} mutants, {killed} killed ({rate:.1%}), {len(left)} survived")
    return int(set(left) != reasons.keys() or rate < GOAL)


if __name__ == "__main__":
    sys.exit(main())
