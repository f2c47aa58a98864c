"""What is said beside the figures: how they were taken, and what changes their meaning."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from okibi.cli.bench.notes import notes
from okibi.cli.bench.record import Results, Run
from tests.cli.bench.made import MACHINE, PEER, order, results, run

ALWAYS = 3
"""Notes of every report."""


def of_okibi(*runs: Run, **changed: Any) -> Results:
    """Results of okibi alone."""
    return results(runs, [run(90)] * len(runs), **changed)


def found(folder: Path, made: Results, cores: int = 2, **given: Any) -> list[str]:
    """The notes that not every report has."""
    return [*notes(order(folder, **given), made, attrs.evolve(MACHINE, cores=cores))[ALWAYS:]]


def test_every_report_says_how_it_was_taken(tmp_path: Path) -> None:
    rounds, busy_wait, costs = notes(order(tmp_path, rounds="1"), of_okibi(run(100)), MACHINE)

    assert rounds.startswith(
        "Each figure is the median of 1 round, of crashes 3, with the smallest"
    )
    assert "ratio" not in rounds
    assert "OKIBI_BUSY_WAIT_US (300) before it sleeps" in busy_wait
    assert "us-east-1, 2026-06, that you must check (https://aws.amazon.com/lambda/" in costs


SLOW = run(20_000, cpu_us=60_000)


@pytest.mark.parametrize(
    ("made", "given", "said"),
    [
        (of_okibi(run(100)), {}, ""),
        (of_okibi(run(100, errors={"Function.ValueError": 1})), {},
         "On okibi some answers are errors: Function.ValueError. "),
        (of_okibi(run(100), many={2: {"okibi": [run(100, errors={"Sandbox.Timedout": 1})]}}), {},
         "On okibi some answers are errors: Sandbox.Timedout. "),
        (of_okibi(run(100), run(100, first_next_ms=12_345.0)), {},
         "On okibi the start took 12.3 s to the first GET /next. Lambda stops it after 10 s"),
        (of_okibi(run(100, first_next_ms=9_999.0)), {}, ""),
        (of_okibi(run(100, peak=200 << 20)), {"memory_size": "128"},
         "On okibi 200 MB were measured, more than --memory-size 128: "),
        (of_okibi(run(100, peak=200 << 20)), {}, ""),
        (of_okibi(run(100, peak=100 << 20)), {"memory_size": "128"}, ""),
        (of_okibi(SLOW), {}, "On okibi an event computes for 3.0 times as long as it lasts, on"),
        # Five cores and more.
        (of_okibi(SLOW), {"memory_size": "10240"}, ""),
        (of_okibi(run(20_000, cpu_us=25_000)), {}, ""),
        (of_okibi(run(100, peak=None, memory=None)), {},
         "The system does not tell of all memory and processor time. "),
        (of_okibi(run(100, cpu_us=None)), {}, "The system does not tell"),
        (of_okibi(run(100)), {"cores": 1}, "There is one core: "),
        (of_okibi(run(100), many={16: {"okibi": [run(100, server_share=0.95)]}}), {},
         "With many at once the server was busy most of the time: "),
        # One event at a time: a busy server takes nothing from a runtime that waits for it.
        (of_okibi(run(9, server_share=1)), {}, ""),
        (of_okibi(*(run(200, server_waited=share) for share in (0.02, 0.45, 0.6))), {},
         "Others wanted the cores: of the time that the server needed its own it waited 45% "),
        # One round of three may be unlucky, on a quiet machine too.
        (of_okibi(*(run(200, server_waited=share) for share in (0.02, 0.03, 0.6))), {}, ""),
    ],
)  # fmt: skip
def test_a_finding_that_changes_what_a_figure_means_is_a_note(
    made: Results, given: dict[str, Any], said: str, tmp_path: Path
) -> None:
    assert [note.startswith(said) for note in found(tmp_path, made, **given)] == [True] * bool(said)


def test_a_finding_names_the_runtime_that_it_is_of(tmp_path: Path) -> None:
    both = results([run(100)], [run(90)], peer=True)
    theirs = attrs.evolve(both, functions={"okibi": [run(100)], PEER: [run(100, errors={"A": 1})]})

    assert [note.partition(":")[0] for note in found(tmp_path, theirs)] == [
        f"On {PEER} some answers are errors"
    ]
