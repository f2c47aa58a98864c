"""The load of the cost estimate, derived from measured runs."""

from pathlib import Path

import attrs
import pytest

from okibi.bench.measured_load import make_load, memory_per_event_mb
from okibi.bench.results import RunResult
from tests.bench.made_up_results import options, results, run

MB = 1 << 20
ONE = run(1e6, memory=15 * MB, peak=15 * MB)
# A process for each event: shared pages count in each peak, and once in the memory at the end.
PROCESSES = run(1e6, memory=141 * MB, peak=900 * MB, processes=65)


@pytest.mark.parametrize(
    ("alone", "many", "each"),
    [
        (ONE, {}, None),
        # The run with the most events at once counts.
        (ONE, {4: run(1e6, peak=999 * MB), 16: run(1e6, peak=(15 + 15 * 50) * MB)}, 50.0),
        (ONE, {16: run(1e6, peak=None)}, None),
        (ONE, {4: run(1e6, peak=None), 64: PROCESSES}, 2.0),
        # Each process also needs the memory that an event allocates and frees again.
        (attrs.evolve(ONE, peak=113 * MB), {64: PROCESSES}, 100.0),
        (ONE, {64: attrs.evolve(PROCESSES, memory=None)}, None),
    ],
)
def test_memory_per_event_comes_from_the_most_events_at_once(
    alone: RunResult, many: dict[int, RunResult], each: float | None
) -> None:
    made = results(
        [alone], [ONE], many={slots: {"okibi": [found]} for slots, found in many.items()}
    )

    assert memory_per_event_mb(made, "okibi") == each


def test_processor_time_is_a_median_of_the_rounds(tmp_path: Path) -> None:
    many = {
        4: {"okibi": [run(100, cpu_us=9_000)]},
        16: {"okibi": [run(100, cpu_us=each) for each in (1_000, 2_500, 9_000)]},
    }
    one = run(20_000, cpu_us=10_000)
    load = make_load(options(tmp_path), results([one], [one], many=many), "okibi")

    assert (load.cpu_ms, load.many_cpu_ms) == (10.0, 2.5)
    assert make_load(options(tmp_path), results([one], [one]), "okibi").many_cpu_ms is None
