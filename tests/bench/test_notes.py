"""The notes of a report: method, and findings that affect the figures."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from okibi.bench.notes import make_notes
from okibi.bench.results import BenchResults, RunResult
from tests.bench.made_up_results import MACHINE, PEER, options, results, run

ALWAYS = 3
"""The number of notes that every report has."""


def of_okibi(*runs: RunResult, **changed: Any) -> BenchResults:
    """Results of okibi alone."""
    return results(runs, [run(90)] * len(runs), **changed)


def found(folder: Path, made: BenchResults, cores: int = 2, **given: Any) -> list[str]:
    """The notes besides those of every report."""
    return [
        *make_notes(options(folder, **given), made, attrs.evolve(MACHINE, cores=cores))[ALWAYS:]
    ]


def test_every_report_describes_its_method(tmp_path: Path) -> None:
    rounds, busy_wait, costs = make_notes(options(tmp_path, rounds=1), of_okibi(run(100)), MACHINE)

    assert rounds.startswith(
        "Each figure is the median of 1 round (3 for crashes), with minimum and maximum. The page"
    )
    assert "ratio" not in rounds
    assert "OKIBI_BUSY_WAIT_US (300) before sleeping" in busy_wait
    assert "us-east-1, 2026-06; check the current prices (https://aws.amazon.com/lambda/" in costs


SLOW = run(20_000, cpu_us=60_000)


@pytest.mark.parametrize(
    ("made", "given", "message"),
    [
        (of_okibi(run(100)), {}, ""),
        (of_okibi(run(100, errors={"Function.ValueError": 1})), {},
         "On okibi some answers are errors: Function.ValueError. "),
        (of_okibi(run(100), many={2: {"okibi": [run(100, errors={"Sandbox.Timedout": 1})]}}), {},
         "On okibi some answers are errors: Sandbox.Timedout. "),
        (of_okibi(run(100), run(100, first_next_ms=12_345.0)), {},
         "On okibi the start took 12.3 s to the first GET /next. Lambda stops an init after 10 s"),
        (of_okibi(run(100, first_next_ms=9_999.0)), {}, ""),
        (of_okibi(run(100, peak=200 << 20)), {"memory_size": 128},
         "On okibi the function needed 200 MB, more than --memory-size 128; "),
        (of_okibi(run(100, peak=200 << 20)), {}, ""),
        (of_okibi(run(100, peak=100 << 20)), {"memory_size": 128}, ""),
        (of_okibi(SLOW), {}, "On okibi an event computes for 3.0 times its duration, on several"),
        # Five cores and more.
        (of_okibi(SLOW), {"memory_size": 10240}, ""),
        (of_okibi(run(20_000, cpu_us=25_000)), {}, ""),
        (of_okibi(run(100, peak=None, memory=None)), {},
         "The system does not provide all memory and processor times. "),
        (of_okibi(run(100, cpu_us=None)), {}, "The system does not provide"),
        (of_okibi(run(100)), {"cores": 1}, "The machine has one core; "),
        (of_okibi(run(100), many={16: {"okibi": [run(100, api_share=0.95)]}}), {},
         "With many events at once the local Runtime API was busy most of the time; "),
        # One event at a time: a busy Runtime API takes nothing from a runtime that waits for it.
        (of_okibi(run(9, api_share=1)), {}, ""),
        (of_okibi(*(run(200, api_waited=share) for share in (0.02, 0.45, 0.6))), {},
         "Other processes used the cores: the local Runtime API waited 45% of its runnable time"),
        # One round of three may be unlucky, on a quiet machine too.
        (of_okibi(*(run(200, api_waited=share) for share in (0.02, 0.03, 0.6))), {}, ""),
    ],
)  # fmt: skip
def test_a_finding_that_affects_the_figures_is_a_note(
    made: BenchResults, given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    assert [note.startswith(message) for note in found(tmp_path, made, **given)] == [True] * bool(
        message
    )


def test_a_finding_names_its_runtime(tmp_path: Path) -> None:
    both = results([run(100)], [run(90)], peer=True)
    theirs = attrs.evolve(
        both, function_runs={"okibi": [run(100)], PEER: [run(100, errors={"A": 1})]}
    )

    assert [note.partition(":")[0] for note in found(tmp_path, theirs)] == [
        f"On {PEER} some answers are errors"
    ]
