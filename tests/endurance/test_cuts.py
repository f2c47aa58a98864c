"""A fixed sample of the cut sweep; `python -m tests.endurance.cuts` is the whole of it."""

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

# Prime, so that the sample meets every kind of cut.
EVERY = 53


def sampled(shape: Shape) -> bool:
    """Five shapes in which each two properties come in each combination."""
    return sum((shape.pipelined, shape.idle, shape.fails, shape.padding > 0)) in (0, 3)


SHAPES = [
    pytest.param(shape, marks=() if sampled(shape) else pytest.mark.slow) for shape in shapes()
]


@pytest.fixture(autouse=True)
def _seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set by the sweep for its runs; put back afterwards.
    monkeypatch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    monkeypatch.setattr(logging.getLogger("okibi"), "propagate", False)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_wherever_the_connection_is_cut_it_ends_as_the_rules_say(shape: Shape) -> None:
    counts, failures = sweep_of(shape, EVERY)

    assert not failures, "\n".join(failures[:20])
    assert counts.total() >= 15
    assert {ANEW, ENDED} <= set(counts)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_at_the_borders_between_messages_too(shape: Shape) -> None:
    at = measure(shape)
    out = (0, at.get, at.get + at.head, at.get + at.answer, at.out)
    back = (0, at.event, at.event + at.status, at.back)
    borders = [Cut(True, byte, blind) for byte in out for blind in (False, True)]
    borders += [Cut(False, byte) for byte in back]

    for cut in borders:
        _, wrong = judge(run(shape, cut), expected(shape, cut, at))
        assert not wrong, f"{cut}: {wrong}"
