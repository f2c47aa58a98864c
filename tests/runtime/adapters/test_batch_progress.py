"""Which record of a batch starts next: beside a model that looks at all records each time."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from okibi.runtime.adapters.batch_progress import Progress

# The chain and the stop group of a record.
Ties = tuple[object, object]

# A chain `(stop group, key)` is within one stop group.
TIES = st.one_of(
    st.just((None, None)),
    st.tuples(st.none(), st.sampled_from("xy")),
    st.sampled_from("xy").flatmap(
        lambda stop: st.sampled_from("ab").map(lambda key: ((stop, key), stop))
    ),
)


def made(ties: list[Ties]) -> Progress:
    return Progress(len(ties), [chain for chain, _ in ties], [stop for _, stop in ties])


@attrs.define(eq=False)
class Model:
    """A batch as lists of places."""

    ties: list[Ties]
    started: list[int] = attrs.Factory(list[int])
    handled: list[int] = attrs.Factory(list[int])
    failed: list[int] = attrs.Factory(list[int])

    def may_start(self, place: int) -> bool:
        chain, stop = self.ties[place]
        before = [n for n in range(place) if chain is not None and self.ties[n][0] == chain]
        stopped = stop is not None and any(self.ties[n][1] == stop for n in self.failed)
        ended = all(n in self.handled for n in before)
        return place not in self.started and ended and not stopped

    def start(self) -> int | None:
        place = next((n for n in range(len(self.ties)) if self.may_start(n)), None)
        if place is not None:
            self.started.append(place)
        return place

    def left(self) -> list[int]:
        return [n for n in range(len(self.ties)) if n not in self.handled]


# Starts, and ends: which of the running records ends, and whether it was handled.
STEPS = st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 11), st.booleans())), max_size=30)


@given(st.lists(TIES, max_size=12), STEPS)
def test_the_progress_of_a_batch_is_the_models(
    ties: list[Ties], steps: list[tuple[int, bool] | None]
) -> None:
    progress, model = made(ties), Model(ties)
    running: list[int] = []
    for step in steps:
        if step is None or not running:
            place = next(iter(progress), None)
            assert place == model.start()
            running += [] if place is None else [place]
        else:
            number, handled = step
            place = running.pop(number % len(running))
            (progress.succeed if handled else progress.fail)(place)
            (model.handled if handled else model.failed).append(place)

    assert progress.close() == model.left()
    for place in running:
        # A thread that ends after the answer.
        progress.succeed(place)
    assert next(iter(progress), None) is None
    assert progress.close() == model.left()


@pytest.mark.parametrize(
    ("ties", "ready"),
    [
        ([(None, None)] * 3, 3),
        ([("a", "a")] * 3, 1),
        ([("a", "s"), ("b", "s"), ("a", "s")], 2),
        ([(None, "s")] * 3, 3),
        ([], 0),
    ],
)
def test_as_many_records_are_ready_as_may_run_at_once(ties: list[Ties], ready: int) -> None:
    assert made(ties).ready == ready
