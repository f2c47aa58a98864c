"""A fixed sample of the cuts; `python -m tests.endurance.cuts` runs all."""

import logging

import pytest
import trio

from tests.endurance.cuts import (
    ANEW,
    ENDED,
    Cut,
    Shape,
    expected,
    judge,
    measure,
    run,
    shapes,
    sweep_of,
)

# Prime, so that the sample contains every kind of cut.
EVERY = 53


def is_sampled(shape: Shape) -> bool:
    """Five shapes in which any two properties occur in each combination."""
    return sum((shape.pipelined, shape.idle, shape.fails, shape.padding > 0)) in (0, 3)


SHAPES = [
    pytest.param(shape, marks=() if is_sampled(shape) else pytest.mark.slow) for shape in shapes()
]


@pytest.fixture(autouse=True)
def _seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    # The sweep sets these; restore them afterwards.
    monkeypatch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    monkeypatch.setattr(logging.getLogger("okibi"), "propagate", False)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_outcome_of_a_cut_follows_the_rules(shape: Shape) -> None:
    counts, failures = sweep_of(shape, EVERY)

    assert not failures, "\n".join(failures[:20])
    assert counts.total() >= 15
    assert {ANEW, ENDED} <= set(counts)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_outcome_of_a_cut_between_messages_follows_the_rules(shape: Shape) -> None:
    at = measure(shape)
    out = (0, at.get, at.get + at.head, at.get + at.answer, at.out)
    back = (0, at.event, at.event + at.status, at.back)
    borders = [Cut(True, byte, blind) for byte in out for blind in (False, True)]
    borders += [Cut(False, byte) for byte in back]

    for cut in borders:
        _, wrong = judge(run(shape, cut), expected(shape, cut, at))
        assert not wrong, f"{cut}: {wrong}"
