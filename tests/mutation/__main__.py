"""Mutation tests: insert mistakes into okibi one by one, and run the tests.

    python -m tests.mutation [MODULE] [--seed 1]

`targets.py` names the modules and their tests. For each mutant, the tests of its module run up to
the first failure, then the wider tests. A mutant that no test kills is printed. It must stand in
survivors.txt with the reason why it changes nothing. The exit code is 1 for a survivor that is not
explained, for an explained mutant that is killed or does not exist, and for a kill rate below 90 %.

Each mutant runs in a fork of a process that has already imported everything else.
"""

import argparse
import importlib.abc
import importlib.util
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

# Import what the tests import, except the mutated modules, once before the forks.
import attrs
import hypothesis.strategies
import pytest
import pytest_trio  # type: ignore[import-untyped]
import trio.testing

from okibi import actors
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.targets import TARGETS, Target, is_sampled

__all__ = ["actors", "hypothesis", "pytest_trio", "trio"]

ROOT = Path(__file__).parents[2]
SURVIVORS = Path(__file__).with_name("survivors.txt")
# Seconds of processor time of a mutant, and seconds without any in which it only waits.
CPU_LIMIT = 90
WAIT_LIMIT = 30.0
GOAL = 0.9
SURVIVED, KILLED_BY_WIDER = 0, 99
"""Exit codes of a mutant's process. Any other one means: killed by the tests of its module."""


class SourceReplacer(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from another source."""

    def __init__(self, module: str, source: str) -> None:
        self.module, self.source = module, source

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self.module:
            return None
        return importlib.util.spec_from_file_location(name, find_file(name), loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, f"<mutant of {self.module}>", "exec"), module.__dict__)


@attrs.define
class Running:
    """The process of a mutant: when it last used the processor, and how long in all."""

    number: int
    cpu: float = 0.0
    since: float = attrs.field(factory=time.monotonic)

    def hangs(self, pid: int) -> bool:
        """Whether the process has only waited for WAIT_LIMIT. A busy machine does not matter."""
        # The id of another process's clock: clock_getcpuclockid(3).
        now, cpu = time.monotonic(), time.clock_gettime((~pid << 3) | 2)
        if cpu > self.cpu:
            self.cpu, self.since = cpu, now
        return now - self.since > WAIT_LIMIT


def run_mutants(target: Target, modules_and_sources: Sequence[tuple[str, str]]) -> list[int]:
    """Return the exit code of each mutant's tests. A mutant that exceeds a limit is killed."""
    todo = list(enumerate(modules_and_sources))[::-1]
    running: dict[int, Running] = {}
    codes = [1] * len(todo)
    while todo or running:
        while todo and len(running) < (os.cpu_count() or 1):
            number, (module, source) = todo.pop()
            child = os.fork()
            if child == 0:
                _run_tests(SourceReplacer(module, source), target)
            running[child] = Running(number)
        for child, mutant in list(running.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                codes[mutant.number] = os.waitstatus_to_exitcode(status)
                del running[child]
            elif mutant.hangs(child):
                # The next `waitpid` returns the killed child.
                os.kill(child, signal.SIGKILL)
        time.sleep(0.05)
    return codes


def _run_tests(module: SourceReplacer, target: Target) -> None:
    code: int = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT))
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 1)
        os.dup2(devnull, 2)
        sys.meta_path.insert(0, module)
        code = _pytest(target.tests)
        if code == 0 and target.wider and _pytest(target.wider):
            code = KILLED_BY_WIDER
    finally:
        os._exit(code)


def _pytest(tests: Sequence[str]) -> int:
    options = ["-q", "-x", "--assert=plain", "-o", "addopts=--import-mode=importlib"]
    options += ["-m", "not slow", "--hypothesis-profile=quick"]
    return int(pytest.main([*options, *(str(ROOT / test) for test in tests)]))


def find_file(module: str) -> Path:
    """Return the file of a module of okibi."""
    return ROOT / (module.replace(".", "/") + ".py")


def choose_mutants(target: Target, seed: int) -> list[tuple[str, Mutant]]:
    """Return the mutants that the seed chooses, each with its module."""
    return [
        (module, mutant)
        for module in target.modules
        for mutant in mutants(find_file(module).read_text("utf-8"))
        if f"{mutant.where}.".startswith(f"{target.only}." if target.only else "")
        and is_sampled(mutant, target.share, seed)
    ]


def name_of(module: str, mutant: Mutant) -> str:
    """Return the name of a mutant in survivors.txt."""
    return f"{module.rpartition('.')[2]}.{mutant}"


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


def run_target(name: str, seed: int) -> bool:
    """Run the mutants of a target, print the survivors, and return whether each is explained."""
    target = TARGETS[name]
    whole = [(module, find_file(module).read_text("utf-8")) for module in target.modules]
    if any(run_mutants(target, whole)):
        print(f"{name}: the tests fail without a mutant: fix them first")
        return False
    todo = choose_mutants(target, seed)
    codes = run_mutants(target, [(module, mutant.source) for module, mutant in todo])
    tried = {name_of(*each): code for each, code in zip(todo, codes, strict=True)}
    survivors = [mutant for mutant, code in tried.items() if code == SURVIVED]
    reasons = read_explanations()
    for mutant in survivors:
        print(f"SURVIVED {mutant}\n    {reasons.get(mutant) or 'UNEXPLAINED'}")
    killed = [mutant for mutant in tried if mutant in reasons and mutant not in survivors]
    for mutant in killed:
        print(f"REMOVE from {SURVIVORS.name}, the mutant does not survive: {mutant}")
    rate = 1 - len(survivors) / len(tried)
    print(
        f"{name}: {len(tried)} mutants, {len(tried) - len(survivors)} killed ({rate:.1%}),"
        f" {codes.count(KILLED_BY_WIDER)} of them by the wider tests; {len(survivors)} survived",
        flush=True,
    )
    return set(survivors) <= reasons.keys() and not killed and rate >= GOAL


def main() -> int:
    """Run all targets or one, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument("module", nargs="?", choices=TARGETS)
    parser.add_argument("--seed", type=int, default=1, help="chooses some mutants of a module")
    options = parser.parse_args()
    names = [options.module] if options.module else TARGETS
    explained = [run_target(name, options.seed) for name in names]
    return int(not all(explained))


if __name__ == "__main__":
    sys.exit(main())
