"""EventFeed: hand-outs, warm-up, durations and time-outs, with a virtual clock."""

import heapq
import math
from collections.abc import Callable

import attrs
import pytest

from okibi.bench.event_feed import EventFeed
from okibi.local.platform.invocation import Invocation
from okibi.local.platform.platform import PendingNext
from okibi.local.platform.states import ApiError


@attrs.define(eq=False)
class FakeLane:
    """A runtime's lane: asks for an event, answers, and asks again."""

    feed: EventFeed
    event: Invocation | None = None

    def ask(self) -> None:
        self.event = None
        self.feed.platform.next(PendingNext(self._take))

    def answer(self, error: str = "") -> None:
        event, platform = self.event, self.feed.platform
        assert event is not None
        if error:
            begun = platform.begin_error(event.request_id, event.invocation_id)
            assert not isinstance(begun, ApiError)
            assert platform.finish_error(begun, b"{}", error) is None
        else:
            begun = platform.begin_response(event.request_id, event.invocation_id, "")
            assert not isinstance(begun, ApiError)
            assert platform.finish_response(begun, b"1", 1, "", {}) is None

    def _take(self, event: Invocation) -> None:
        self.event = event


@attrs.define(eq=False)
class ManualClock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def feed_of(
    clock: ManualClock, slots: int | None = None, *, warm_events: int = 2, seconds: float = 10.0,
    on_warm: Callable[[], None] = lambda: None,
) -> EventFeed:  # fmt: skip
    return EventFeed(
        b"{}", 3.0, warm_events, 5.0, seconds, slots, on_warm=on_warm, clock=clock,
    )  # fmt: skip


def cycle(lane: FakeLane, clock: ManualClock, answered: float = 1.0, back: float = 0.5) -> None:
    clock.now += answered
    lane.answer()
    clock.now += back
    lane.ask()


@pytest.mark.parametrize("slots", [None, 1])
def test_the_times_of_the_first_request_and_answer_are_recorded(
    clock: ManualClock, slots: int | None
) -> None:
    feed = feed_of(clock, slots)
    lane = FakeLane(feed)
    assert math.isnan(feed.first_next)

    lane.ask()
    cycle(lane, clock)
    cycle(lane, clock)

    assert (feed.first_next, feed.first_answer) == (100.0, 101.0)


def test_the_warm_up_ends_after_warm_events(clock: ManualClock) -> None:
    feed = feed_of(clock, warm_events=2)
    lane = FakeLane(feed)
    lane.ask()

    cycle(lane, clock)
    assert math.isinf(feed.began)
    cycle(lane, clock)

    assert feed.began == clock.now
    assert feed.count == 0


def test_events_and_warm_up_wait_until_all_lanes_have_connected(
    clock: ManualClock,
) -> None:
    feed = feed_of(clock, 3, warm_events=1000)
    lanes = [FakeLane(feed) for _ in range(3)]
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


def test_durations_are_recorded_at_the_next_request(clock: ManualClock) -> None:
    feed = feed_of(clock, warm_events=1, seconds=100.0)
    lane = FakeLane(feed)
    lane.ask()
    cycle(lane, clock)

    cycle(lane, clock, answered=2.0, back=1.0)
    cycle(lane, clock, answered=4.0, back=3.0)

    assert feed.answers == [2.0, 4.0]
    assert feed.busy == [3.0, 7.0]
    assert feed.cycles == [3.0, 7.0]


def test_errors_are_counted_by_type_also_in_the_warm_up(clock: ManualClock) -> None:
    feed = feed_of(clock, warm_events=2)
    lane = FakeLane(feed)
    lane.ask()
    for error in ("Function.One", "", "Function.One", "Function.Two"):
        lane.answer(error)
        lane.ask()

    assert feed.errors == {"Function.One": 2, "Function.Two": 1}
    assert feed.served == 4


def test_each_of_many_lanes_gets_an_event_immediately(clock: ManualClock) -> None:
    feed = feed_of(clock, 3)
    lanes = [FakeLane(feed) for _ in range(3)]

    for lane in lanes:
        lane.ask()

    assert len({lane.event.request_id for lane in lanes if lane.event is not None}) == 3
    for lane in lanes:
        cycle(lane, clock)
    assert all(lane.event is not None for lane in lanes)
    assert not feed.errors


def test_events_in_flight_are_awaited_after_the_measured_time(
    clock: ManualClock,
) -> None:
    feed = feed_of(clock, 2, warm_events=1, seconds=3.0)
    one, other = FakeLane(feed), FakeLane(feed)
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
    # Includes the slow event, which ended too late to count for the throughput.
    assert max(feed.answers) == 64.0
    assert feed.count == 4


@pytest.mark.parametrize("slots", [None, 1])
def test_an_event_is_due_one_time_out_after_its_hand_out(
    clock: ManualClock, slots: int | None
) -> None:
    feed = feed_of(clock, slots)
    lane = FakeLane(feed)
    assert math.isinf(feed.due)

    lane.ask()
    cycle(lane, clock)

    assert feed.due == clock.now + 3.0


@pytest.mark.parametrize("slots", [None, 1])
def test_a_timed_out_event_is_an_error_of_that_duration(
    clock: ManualClock, slots: int | None
) -> None:
    feed = feed_of(clock, slots, warm_events=1, seconds=100.0)
    lane = FakeLane(feed)
    lane.ask()
    cycle(lane, clock)

    clock.now = feed.due
    feed.expire()

    assert feed.errors == {"Sandbox.Timedout": 1}
    assert (feed.answers, feed.busy) == ([3.0], [3.0])
    assert (feed.served, feed.count) == (2, 1)


def test_a_cycle_with_a_time_out_ends_at_the_new_runtimes_request(
    clock: ManualClock,
) -> None:
    feed = feed_of(clock, warm_events=1, seconds=100.0)
    lane = FakeLane(feed)
    lane.ask()
    cycle(lane, clock)
    clock.now = feed.due
    feed.expire()

    clock.now += 0.25
    new = FakeLane(feed)
    new.ask()

    assert new.event is not None
    assert feed.cycles == [3.25]


@pytest.mark.parametrize("takes", [0.4, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("apart", [0.0, 0.01, 0.025])
@pytest.mark.parametrize("warm_events", [1, 16, 21])
def test_throughput_of_many_lanes_is_exact(
    takes: float, apart: float, warm_events: int, clock: ManualClock
) -> None:
    feed = feed_of(clock, 16, warm_events=warm_events, seconds=1.0)
    lanes = [FakeLane(feed) for _ in range(16)]
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
