"""The rows of the two lower floors against bare trio."""

from benchmarks.actors import Lap, rows_of


def test_a_call_is_held_against_the_bare_pair_from_a_task_and_from_an_actor() -> None:
    lap = Lap(pair=5.0, channel=5.0, task=20.0, call=7.0, between=8.0, cast=6.0, hop=3.0, child=30)

    rows = {row.name: (row.median, row.bar, row.goal) for row in rows_of([lap])}

    assert rows["call / parked pair"] == (1.4, 1.7, 1.5)
    assert rows["call between actors / parked pair"] == (1.6, 1.7, 1.5)
