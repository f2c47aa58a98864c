"""What a measured runtime is served, and what is known of it: on a clock of the test's own."""

import heapq
import math
from collections.abc import Callable

import attrs
import pytest

from okibi.cli.bench.feed import Feed
from okibi.local.invocation import Invocation
from okibi.local.platform import Waiter
from okibi.local.states import Refusal


@attrs.define(eq=False)
class Lane:
    """A runtime's lane: asks, answers, asks. Its clock moves when it says so."""

    feed: Feed
    event: Invocation | None = None

    def ask(self) -> None:
        self.event = None
        self.feed.platform.next(Waiter(self._take))

    def answer(self, error: str = "") -> None:
        event, platform = self.event, self.feed.platform
        assert event is not None
        if error:
            begun = platform.begin_error(event.request_id, event.invocation_id)
            assert not isinstance(begun, Refusal)
            assert platform.finish_error(begun, b"{}", error) is None
        else:
            begun = platform.begin_response(event.request_id, event.invocation_id, "")
            assert not isinstance(begun, Refusal)
            assert platform.finish_response(begun, b"1", 1, "", {}) is None

    def _take(self, event: Invocation) -> None:
        self.event = event


@attrs.define(eq=False)
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def feed_of(
    clock: Clock, slots: int | None = None, *, warm_events: int = 2, seconds: float = 10.0,
    on_warm: Callable[[], None] = lambda: None,
) -> Feed:  # fmt: skip
    return Feed(
        b"{}", 3.0, warm_events, 5.0, seconds, slots, on_warm=on_warm, clock=clock,
    )  # fmt: skip


def cycle(lane: Lane, clock: Clock, answered: float = 1.0, back: float = 0.5) -> None:
    clock.now += answered
    lane.answer()
    clock.now += back
    lane.ask()


@pytest.mark.parametrize("slots", [None, 1])
def test_the_first_question_and_the_first_answer_are_noted(clock: Clock, slots: int | None) -> None:
    feed = feed_of(clock, slots)
    lane = Lane(feed)
    assert math.isnan(feed.first_next)

    lane.ask()
    cycle(lane, clock)
    cycle(lane, clock)

    assert (feed.first_next, feed.first_answer) == (100.0, 101.0)


def test_the_warm_up_ends_after_so_many_events(clock: Clock) -> None:
    feed = feed_of(clock, warm_events=2)
    lane = Lane(feed)
    lane.ask()

    cycle(lane, clock)
    assert math.isinf(feed.began)
    cycle(lane, clock)

    assert feed.began == clock.now
    assert feed.count == 0


def test_no_lane_has_an_event_before_all_have_come_and_their_warm_up_begins_then(
    clock: Clock,
) -> None:
    feed = feed_of(clock, 3, warm_events=1000)
    lanes = [Lane(feed) for _ in range(3)]
    for lane in lanes[:2]:
        lane.ask()
    clock.now += 60.0
    assert (feed.lanes, [lane.event for lane in lanes]) == (2, [None] * 3)

    lanes[2].ask()
    assert all(lane.event is not None for lane in lanes)
    cycle(lanes[0], clock)
    assert math.isinf(feed.began)
    clock.now += 5.0
    cycle(lanes[1], clock)
    assert feed.began == clock.now


def test_what_an_event_took_is_known_once_the_runtime_is_back(clock: Clock) -> None:
    feed = feed_of(clock, warm_events=1, seconds=100.0)
    lane = Lane(feed)
    lane.ask()
    cycle(lane, clock)

    cycle(lane, clock, answered=2.0, back=1.0)
    cycle(lane, clock, answered=4.0, back=3.0)

    assert feed.answers == [2.0, 4.0]
    assert feed.busy == [3.0, 7.0]
    assert feed.cycles == [3.0, 7.0]


def test_errors_are_counted_by_their_type_those_of_the_warm_up_too(clock: Clock) -> None:
    feed = feed_of(clock, warm_events=2)
    lane = Lane(feed)
    lane.ask()
    for error in ("Function.One", "", "Function.One", "Function.Two"):
        lane.answer(error)
        lane.ask()

    assert feed.errors == {"Function.One": 2, "Function.Two": 1}
    assert feed.served == 4


def test_each_of_many_lanes_gets_an_event_at_once(clock: Clock) -> None:
    feed = feed_of(clock, 3)
    lanes = [Lane(feed) for _ in range(3)]

    for lane in lanes:
        lane.ask()

    assert len({lane.event.request_id for lane in lanes if lane.event is not None}) == 3
    for lane in lanes:
        cycle(lane, clock)
    assert all(lane.event is not None for lane in lanes)
    assert not feed.errors


def test_after_the_measured_time_those_in_flight_are_waited_for_and_nothing_is_handed_out(
    clock: Clock,
) -> None:
    feed = feed_of(clock, 2, warm_events=1, seconds=3.0)
    one, other = Lane(feed), Lane(feed)
    one.ask()
    other.ask()
    cycle(one, clock)
    cycle(other, clock)
    cycle(one, clock)
    cycle(one, clock)
    clock.now += 1.0

    one.answer()
    assert (feed.count, feed.ended, feed.done) == (4, clock.now, False)
    one.ask()
    assert one.event is None
    clock.now += 60.0
    other.answer()

    assert feed.done
    # The slow one too; but it ended too late to count for what a second brings.
    assert max(feed.answers) == 64.0
    assert feed.count == 4


@pytest.mark.parametrize("slots", [None, 1])
def test_the_time_of_an_event_is_up_so_long_after_it_was_handed_out(
    clock: Clock, slots: int | None
) -> None:
    feed = feed_of(clock, slots)
    lane = Lane(feed)
    assert math.isinf(feed.due)

    lane.ask()
    cycle(lane, clock)

    assert feed.due == clock.now + 3.0


@pytest.mark.parametrize("slots", [None, 1])
def test_an_event_whose_time_is_up_is_an_error_and_took_as_long_as_that(
    clock: Clock, slots: int | None
) -> None:
    feed = feed_of(clock, slots, warm_events=1, seconds=100.0)
    lane = Lane(feed)
    lane.ask()
    cycle(lane, clock)

    clock.now = feed.due
    feed.expire()

    assert feed.errors == {"Sandbox.Timedout": 1}
    assert (feed.answers, feed.busy) == ([3.0], [3.0])
    assert (feed.served, feed.count) == (2, 1)


def test_after_a_time_out_a_new_runtime_has_the_next_event_and_the_cycle_lasts_till_then(
    clock: Clock,
) -> None:
    feed = feed_of(clock, warm_events=1, seconds=100.0)
    lane = Lane(feed)
    lane.ask()
    cycle(lane, clock)
    clock.now = feed.due
    feed.expire()

    clock.now += 0.25
    new = Lane(feed)
    new.ask()

    assert new.event is not None
    assert feed.cycles == [3.25]


@pytest.mark.parametrize("takes", [0.4, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("apart", [0.0, 0.01, 0.025])
@pytest.mark.parametrize("warm_events", [1, 16, 21])
def test_of_many_lanes_throughput_is_what_they_do(
    takes: float, apart: float, warm_events: int, clock: Clock
) -> None:
    feed = feed_of(clock, 16, warm_events=warm_events, seconds=1.0)
    lanes = [Lane(feed) for _ in range(16)]
    for lane in lanes:
        lane.ask()
    due = [(clock.now + takes + number * apart, number) for number in range(16)]

    while not feed.done:
        heapq.heapify(due)
        clock.now, number = heapq.heappop(due)
        lanes[number].answer()
        lanes[number].ask()
        due.append((clock.now + takes, number))

    assert feed.count / (feed.ended - feed.began) == pytest.approx(16 / takes)
