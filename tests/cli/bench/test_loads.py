"""What costs are reckoned from, out of what was measured."""

from pathlib import Path

import attrs
import pytest

from okibi.cli.bench.loads import event_mb, load_of
from okibi.cli.bench.record import Run
from tests.cli.bench.made import order, results, run

MB = 1 << 20
ONE = run(1e6, memory=15 * MB, peak=15 * MB)
# A process for each event: what they share is in the peak of each, and once in what is there last.
PROCESSES = run(1e6, memory=141 * MB, peak=900 * MB, processes=65)


@pytest.mark.parametrize(
    ("alone", "many", "each"),
    [
        (ONE, {}, None),
        # Of the most at once.
        (ONE, {4: run(1e6, peak=999 * MB), 16: run(1e6, peak=(15 + 15 * 50) * MB)}, 50.0),
        (ONE, {16: run(1e6, peak=None)}, None),
        (ONE, {4: run(1e6, peak=None), 64: PROCESSES}, 2.0),
        # What an event takes and gives back each process takes.
        (attrs.evolve(ONE, peak=113 * MB), {64: PROCESSES}, 100.0),
        (ONE, {64: attrs.evolve(PROCESSES, memory=None)}, None),
    ],
)
def test_an_event_in_flight_takes_what_most_at_once_took_beyond_one(
    alone: Run, many: dict[int, Run], each: float | None
) -> None:
    made = results(
        [alone], [ONE], many={slots: {"okibi": [found]} for slots, found in many.items()}
    )

    assert event_mb(made, "okibi") == each


def test_processor_time_is_the_median_and_that_of_most_at_once(tmp_path: Path) -> None:
    many = {
        4: {"okibi": [run(100, cpu_us=9_000)]},
        16: {"okibi": [run(100, cpu_us=each) for each in (1_000, 2_500, 9_000)]},
    }
    one = run(20_000, cpu_us=10_000)
    load = load_of(order(tmp_path), results([one], [one], many=many), "okibi")

    assert (load.cpu_ms, load.many_cpu_ms) == (10.0, 2.5)
    assert load_of(order(tmp_path), results([one], [one]), "okibi").many_cpu_ms is None
