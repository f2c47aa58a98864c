"""What is measured, and in which order."""

from pathlib import Path

from okibi.cli.bench.plan import Purpose, Step, plan
from tests.cli.bench.made import order

FUNCTION, STAND_IN = Purpose.FUNCTION, Purpose.STAND_IN


def test_whoever_is_compared_takes_turns(tmp_path: Path) -> None:
    steps = plan(order(tmp_path, rounds="2"), "peer")

    assert [(step.runtime, step.purpose) for step in steps[:8]] == [
        ("okibi", FUNCTION),
        ("peer", FUNCTION),
        ("okibi", STAND_IN),
        ("peer", STAND_IN),
        # None is always the one that goes first.
        ("peer", FUNCTION),
        ("okibi", FUNCTION),
        ("peer", STAND_IN),
        ("okibi", STAND_IN),
    ]
    assert [(step.runtime, step.purpose) for step in steps[8:]] == [
        (runtime, Purpose.CRASHES)
        for runtime in ("okibi", "peer", "peer", "okibi", "okibi", "peer")
    ]


def test_many_at_once_come_last_the_fewest_first(tmp_path: Path) -> None:
    steps = plan(order(tmp_path, rounds="1", concurrency="16,1,4,16"), "peer")

    assert steps[-4:] == tuple(
        Step(runtime, Purpose.MANY, slots) for slots in (4, 16) for runtime in ("okibi", "peer")
    )
    assert {step.slots for step in steps[:-4]} == {None}
