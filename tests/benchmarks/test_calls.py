"""The rows of a call beside others in flight."""

from benchmarks.__main__ import groups
from benchmarks.calls import BEHIND, BESIDE, Lap, measure, rows_of


def test_a_call_beside_many_is_held_against_the_same_call_alone() -> None:
    lap = Lap({0: 10.0, 100: 10.0, 1_000: 12.0, 20_000: 15.0}, {0: 20.0, 20_000: 40.0})

    rows = {row.name: (row.median, row.bar, row.met) for row in rows_of([lap])}

    assert rows == {
        "beside 100 in flight / alone": (1.0, 1.5, True),
        "beside 1,000 in flight / alone": (1.2, 1.5, True),
        "beside 20,000 in flight / alone": (1.5, 1.5, True),
        "behind 20,000 that hold the loop / none": (2.0, 1.5, False),
    }


def test_the_usual_run_measures_100_1000_and_20000_in_flight() -> None:
    assert "calls" in groups(1, 1, full=False)
    assert (BESIDE, BEHIND) == ((100, 1_000, 20_000), 20_000)


async def test_each_lap_times_a_call_beside_each_number_and_behind_it() -> None:
    laps = await measure(2, (1, 3), 2)

    assert [(list(lap.beside), list(lap.behind)) for lap in laps] == [([0, 1, 3], [0, 2])] * 2
    assert all(time > 0 for lap in laps for time in (*lap.beside.values(), *lap.behind.values()))
