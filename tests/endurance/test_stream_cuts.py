"""A fixed sample of the cuts of streams; `python -m tests.endurance.stream_cuts` runs all."""

import logging

import pytest
import trio

from tests.endurance.cuts import ANEW, ENDED, Shape, shapes, sweep_of
from tests.endurance.stream_cuts import StreamWorld

# Prime, so that the sample contains every kind of cut.
EVERY = 89
# The first and the last shape: each value of each field occurs in one of them.
SHAPES = [
    pytest.param(shape, marks=[] if n % 15 == 0 else [pytest.mark.slow])
    for n, shape in enumerate(shapes())
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_outcome_of_a_cut_in_a_stream_follows_the_rules(
    shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The sweep sets these; restore them afterwards.
    monkeypatch.setattr(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    monkeypatch.setattr(logging.getLogger("okibi"), "propagate", False)

    counts, failures = sweep_of(shape, EVERY, StreamWorld)

    assert not failures, "\n".join(failures[:20])
    assert counts.total() >= 10
    assert {ANEW, ENDED} <= set(counts)
