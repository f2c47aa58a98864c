"""Made-up results of a benchmark."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from okibi.bench.machine import Machine
from okibi.bench.options import BenchOptions, parse_options
from okibi.bench.results import BenchResults, CrashTimes, RunResult
from okibi.cli import run_bench
from tests.support.sandbox import PYTHON

PEER = "awslambdaric"
MACHINE = Machine("CPython 3.13.0", "Linux 6.1 x86_64", "a processor", 2, 0.5)
SMALL = {"quick": True, "rounds": 1, "duration": 0.05}


def with_app(folder: Path, monkeypatch: pytest.MonkeyPatch, app: str) -> None:
    """Write an app.py, change into its folder, and let child processes import this okibi."""
    (folder / "app.py").write_text(app)
    monkeypatch.chdir(folder)
    for name, value in PYTHON.items():
        monkeypatch.setenv(name, value)


def bench(handler: str, event: str | None, **given: Any) -> int:
    """Run a benchmark, and return its exit code."""
    return run_bench.bench(partial(parse_options, handler, event, **given))


def refused(capfd: pytest.CaptureFixture[str], handler: str, **given: Any) -> str:
    """Run a benchmark that is refused, and return the message."""
    assert bench(handler, None, quick=True, rounds=1, **given) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def run(cycle: float, **changed: Any) -> RunResult:
    """A run of 1,000 cycles of equal duration in us."""
    made = RunResult(
        first_next_ms=100.0,
        first_answer_ms=101.0,
        served=1100,
        errors={},
        count=1000,
        seconds=cycle / 1000,
        cycles_us=[cycle] * 1000,
        answers_us=[cycle * 0.8] * 1000,
        busy_ms=[cycle / 1000] * 1000,
        cpu_us=cycle / 2,
        api_share=0.3,
        memory=20 << 20,
        peak=22 << 20,
        processes=1,
    )
    return attrs.evolve(made, **changed)


def results(
    functions: Sequence[RunResult],
    stand_ins: Sequence[RunResult],
    *,
    peer: bool = False,
    **changed: Any,
) -> BenchResults:
    """Results of okibi, and of a peer that takes twice as long in everything but crashes."""
    crash = CrashTimes(1.0, 2.0, 90.0, 400.0, restart=3.0)

    def slower(runs: Sequence[RunResult]) -> list[RunResult]:
        return [run(each.cycles_us[0] * 2, errors=each.errors) for each in runs]

    made = BenchResults(
        function_runs={"okibi": functions, **({PEER: slower(functions)} if peer else {})},
        stand_in_runs={"okibi": stand_ins, **({PEER: slower(stand_ins)} if peer else {})},
        crashes={
            "okibi": [crash],
            **({PEER: [CrashTimes(1.0, 80.0, 45.0, 580.0)]} if peer else {}),
        },
        many={},
        answer=b"{}",
    )
    return attrs.evolve(made, **changed)


def options(folder: Path, **given: Any) -> BenchOptions:
    """The options of a benchmark in a folder with an event."""
    (folder / "event.json").write_text('{"x": 1}')
    return parse_options("app.handler", str(folder / "event.json"), **{"rounds": 3, **given})
