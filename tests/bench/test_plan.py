"""The steps of a benchmark and their order."""

from pathlib import Path

from okibi.bench.plan import Purpose, Step, make_plan
from tests.bench.made_up_results import options

FUNCTION, STAND_IN = Purpose.FUNCTION, Purpose.STAND_IN


def test_runtimes_alternate_in_going_first(tmp_path: Path) -> None:
    steps = make_plan(options(tmp_path, rounds=2), "peer")

    assert [(step.runtime, step.purpose) for step in steps[:8]] == [
        ("okibi", FUNCTION),
        ("peer", FUNCTION),
        ("okibi", STAND_IN),
        ("peer", STAND_IN),
        # The other runtime goes first.
        ("peer", FUNCTION),
        ("okibi", FUNCTION),
        ("peer", STAND_IN),
        ("okibi", STAND_IN),
    ]
    assert [(step.runtime, step.purpose) for step in steps[8:]] == [
        (runtime, Purpose.CRASHES)
        for runtime in ("okibi", "peer", "peer", "okibi", "okibi", "peer")
    ]


def test_many_at_once_come_last_in_ascending_order(tmp_path: Path) -> None:
    steps = make_plan(options(tmp_path, rounds=1, concurrency="16,1,4,16"), "peer")

    assert steps[-4:] == tuple(
        Step(runtime, Purpose.MANY, slots) for slots in (4, 16) for runtime in ("okibi", "peer")
    )
    assert {step.slots for step in steps[:-4]} == {None}
