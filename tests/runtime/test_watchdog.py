"""The watchdog's own rules, without a process to end. `test_deadlines` has it in real ones."""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Iterator

import attrs
import pytest
import trio

from runtime import watchdog as watchdog_room
from runtime.alarm import Alarm
from runtime.delivery import Delivery, Outcome, State
from runtime.unlisted_thread import start_unlisted_thread
from runtime.watchdog import STARVED, Watchdog
from tests.runtime.stage import brought_to, delivery, ends_of_threads, ledger_of

NOWHERE = ("127.0.0.1", 1)


@attrs.define(eq=False)
class Timer:
    """faulthandler's timer, without what it does."""

    set: list[float] = attrs.field(factory=list[float])
    ticking: bool = False
    meanwhile: Delivery | None = None

    def later(self, seconds: float, **_: object) -> None:
        if self.meanwhile is not None:
            # The loop settles it in the very moment in which this thread sets the timer.
            assert self.meanwhile.settle(Outcome(b"1"))
        self.set.append(seconds)
        self.ticking = True

    def cancel(self) -> None:
        self.ticking = False


@pytest.fixture
def timer(monkeypatch: pytest.MonkeyPatch) -> Timer:
    made = Timer()
    monkeypatch.setattr(faulthandler, "dump_traceback_later", made.later)
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", made.cancel)
    return made


@pytest.fixture
async def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both clocks stand still: what is left of a delivery's time is what the test has said."""
    at, now = time.monotonic(), trio.current_time()
    monkeypatch.setattr(watchdog_room, "monotonic", lambda: at)
    monkeypatch.setattr(trio, "current_time", lambda: now)


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Where the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    yield codes
    sys.setswitchinterval(0.005)


def watching(made: Delivery) -> Watchdog:
    """A watchdog whose thread the test plays."""
    watchdog, ledger = Watchdog(NOWHERE), ledger_of()
    ledger.lanes[0].delivery = made
    watchdog.attach(ledger, Alarm())
    watchdog.initialised()
    return watchdog


async def test_an_unsettled_delivery_is_guarded_until_an_eighth_of_its_margin(
    timer: Timer, still: None
) -> None:
    made = delivery(due=trio.current_time() + 1.0)
    watchdog = watching(made)
    watchdog._look.set()

    watchdog._watch_delivery(made)

    assert timer.set == [pytest.approx(1.0 - 0.1 / 8, abs=0.01)]
    assert timer.ticking


async def test_beside_other_lanes_it_is_guarded_until_long_past_its_deadline(
    timer: Timer, still: None
) -> None:
    made = delivery(due=trio.current_time() + 1.0)
    watchdog, ledger = Watchdog(NOWHERE), ledger_of(2)
    ledger.lanes[0].delivery = made
    watchdog.attach(ledger, Alarm())
    watchdog.initialised()
    watchdog._look.set()

    watchdog._watch_delivery(made)

    assert timer.set == [pytest.approx(1.0 + STARVED, abs=0.01)]


async def test_settled_the_timer_is_taken_back(timer: Timer) -> None:
    made = delivery(due=trio.current_time() + 1.0)
    watchdog = watching(made)
    watchdog._look.set()
    watchdog._watch_delivery(made)

    made.settle(Outcome(b"1"))
    watchdog.settled()

    assert not timer.ticking


async def test_an_event_that_runs_long_does_not_make_it_look_more_often(
    timer: Timer, still: None
) -> None:
    watchdog = watching(delivery())
    for left in (10, 0.15):
        watchdog._look.set()
        watchdog._watch_delivery(delivery(due=trio.current_time() + left))

    assert watchdog._length == pytest.approx(10, abs=0.1)


async def test_a_timer_that_is_set_in_the_moment_of_the_answer_does_not_tick_on(
    timer: Timer,
) -> None:
    made = delivery(due=trio.current_time() + 1.0)
    watchdog = watching(made)
    watchdog._look.set()
    timer.meanwhile = made

    watchdog._watch_delivery(made)

    assert made.state is State.SETTLED
    assert not timer.ticking


def beside_another(made: Delivery, other: Delivery, length: float) -> Watchdog:
    """A watchdog that has looked at one of two deliveries in flight."""
    watchdog, ledger = Watchdog(NOWHERE), ledger_of(2)
    ledger.lanes[0].delivery, ledger.lanes[1].delivery = made, other
    watchdog.attach(ledger, Alarm())
    watchdog.initialised()
    watchdog._length = length
    watchdog._look.set()
    watchdog._watch_delivery(made)
    watchdog._look.clear()
    return watchdog


async def test_beside_others_that_are_settled_all_the_time_it_is_set_no_more_often(
    timer: Timer,
) -> None:
    now = trio.current_time()
    made, other = delivery(due=now + 10), delivery(due=now + 10)
    watchdog = beside_another(made, other, 10)

    other.settle(Outcome(b"1"))
    watchdog.settled()
    watchdog._ledger.lanes[1].delivery = delivery(due=now + 10)  # type: ignore[union-attr]
    made.settle(Outcome(b"1"))
    watchdog.settled()

    assert timer.ticking
    assert len(timer.set) == 1
    assert not watchdog._look.is_set()


async def test_when_nothing_is_in_flight_any_more_it_is_taken_back_whosever_it_was(
    timer: Timer,
) -> None:
    now = trio.current_time()
    made, other = delivery(due=now + 10), delivery(due=now + 10)
    watchdog = beside_another(made, other, 10)

    for each in (made, other):
        assert timer.ticking
        each.settle(Outcome(b"1"))
        watchdog.settled()

    assert not timer.ticking


async def test_what_ran_long_has_the_timer_set_anew_when_it_is_settled(timer: Timer) -> None:
    now = trio.current_time()
    made, other = delivery(due=now + 1), delivery(due=now + 10)
    watchdog = beside_another(made, other, 10)

    watchdog.settled()
    assert not watchdog._look.is_set()
    made.settle(Outcome(b"1"))
    watchdog.settled()

    assert watchdog._look.is_set()


async def test_no_timer_ticks_beside_an_event_without_a_deadline(
    timer: Timer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = delivery(due=trio.current_time() + 10)
    watchdog = beside_another(made, delivery(), 10)
    made.settle(Outcome(b"1"))
    watchdog.settled()
    assert timer.ticking

    # As `close` does it, but for the timer.
    monkeypatch.setattr(Watchdog, "_sleep", lambda its, _: setattr(its, "_closed", True))
    watchdog._watch()

    assert not timer.ticking


async def test_what_comes_while_it_looks_has_it_look_again(
    timer: Timer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = delivery(due=trio.current_time() + 1)
    watchdog = watching(made)
    watchdog._length = 1000
    # It has just woken, as it had meant to.
    watchdog._looks_at = time.monotonic() - 1
    looks: list[Delivery | None] = []

    def look(_: Watchdog) -> Delivery | None:
        looks.append(None if len(looks) == 0 else made)
        if len(looks) == 1:
            # Not yet in its lane, when the lanes are looked at.
            watchdog.arm(made.limit)
        watchdog._closed = len(looks) == 2
        return looks[-1]

    monkeypatch.setattr(Watchdog, "_earliest", look)
    monkeypatch.setattr(Watchdog, "_watch_delivery", lambda *_: None)
    with trio.fail_after(5):
        await trio.to_thread.run_sync(watchdog._watch, abandon_on_cancel=True)

    assert looks == [None, made]


async def test_what_is_settled_before_it_looks_does_not_have_the_next_one_wake_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watchdog = watching(brought_to(State.ACKED))
    slept: list[float] = []

    def sleep(_: Watchdog, seconds: float) -> None:
        slept.append(seconds)
        watchdog._closed = True

    monkeypatch.setattr(Watchdog, "_sleep", sleep)
    watchdog._look.clear()
    watchdog.arm(trio.current_time() + 60)
    assert watchdog._look.is_set()
    watchdog._watch()

    assert slept == [pytest.approx(15, abs=0.1)]


async def test_an_event_that_comes_before_the_tree_stands_ends_the_watch_of_the_start() -> None:
    watchdog = Watchdog(NOWHERE)
    watchdog.attach(ledger_of(), Alarm())
    watchdog.arm(trio.current_time() + 60)
    with trio.fail_after(5):
        await trio.to_thread.run_sync(watchdog._watch_start, abandon_on_cancel=True)


async def test_only_what_is_due_before_its_next_look_wakes_the_thread() -> None:
    watchdog = watching(delivery())
    watchdog._look.clear()
    watchdog._looks_at = time.monotonic() + 10

    watchdog.arm(trio.current_time() + 20)
    assert not watchdog._look.is_set()
    watchdog.arm(trio.current_time() + 5)
    assert watchdog._look.is_set()


async def test_an_event_without_a_deadline_is_not_watched() -> None:
    assert watching(delivery())._earliest() is None


async def test_what_is_settled_is_not_watched() -> None:
    made = delivery(due=trio.current_time() + 1.0)
    watchdog = watching(made)
    assert watchdog._earliest() is made

    made.settle(Outcome(b"1"))

    assert watchdog._earliest() is None


async def test_when_the_loop_does_not_answer_the_delivery_is_claimed_and_the_process_ended(
    timer: Timer,
    exits: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    watchdog = watching(made := delivery(due=trio.current_time() + 0.02))
    closing = setattr, (watchdog, "_closed", True)
    (gives_up := threading.Timer(5, *closing)).start()

    def end(code: int) -> None:
        exits.append(code)
        gives_up.cancel()
        threading.Timer(0.03, *closing).start()

    monkeypatch.setattr(os, "_exit", end)
    watchdog._end_delivery(made)

    assert exits == [1]
    assert not made.claim()
    assert "the loop does not answer at the deadline" in capfd.readouterr().err


@pytest.mark.parametrize(("state", "reports"), [(State.RUNNING, 1), (State.STREAMING, 0)])
async def test_a_stream_that_has_begun_is_not_answered_with_an_error_it_is_cut(
    timer: Timer,
    exits: list[int],
    monkeypatch: pytest.MonkeyPatch,
    state: State,
    reports: int,
) -> None:
    told = list[object]()
    monkeypatch.setattr(watchdog_room, "report_invocation_error", lambda *all: told.append(all))
    made = brought_to(state)

    watching(made)._end_process(made)

    assert (len(told), exits) == (reports, [1])


@pytest.mark.parametrize(("left", "sent"), [(0.1, "send"), (0.04, "interrupt")])
async def test_an_async_handler_is_signalled_only_from_half_of_the_margin_on(
    left: float, sent: str, monkeypatch: pytest.MonkeyPatch, still: None
) -> None:
    made = delivery(due=trio.current_time() + left)
    watchdog = watching(made)
    told: list[str] = []

    def settle(how: str) -> None:
        told.append(how)
        made.settle(Outcome(b"1"))

    for how in ("send", "interrupt"):
        monkeypatch.setattr(Alarm, how, lambda _, how=how: settle(how))
    watchdog._end_delivery(made)

    assert told == [sent]


async def test_the_alarm_means_the_handler_that_runs_when_it_is_found_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = delivery(due=trio.current_time() + 0.1)
    watchdog = watching(made)
    assert watchdog._alarm is not None
    watchdog._alarm.runs = 7
    monkeypatch.setattr(Alarm, "send", lambda _: made.settle(Outcome(b"1")))

    watchdog._end_delivery(made)

    assert watchdog._alarm.meant == 7


async def test_the_dispatcher_is_asked_until_it_is_settled(exits: list[int]) -> None:
    made = delivery(due=trio.current_time() + 0.2)
    made.limit = made.due - 0.4
    watchdog = watching(made)
    asked = list[object]()

    def settle(token: object) -> None:
        asked.append(token)
        if len(asked) == 3:
            made.settle(Outcome(b"1"))

    watchdog._ask = settle  # type: ignore[method-assign]
    watchdog._end_delivery(made)

    assert (len(asked), exits) == (3, [])


async def test_when_the_loop_settles_it_in_time_nothing_ends(exits: list[int]) -> None:
    made = delivery(due=trio.current_time() + 10)
    watchdog = watching(made)
    threading.Timer(0.02, made.settle, (Outcome(b"1"),)).start()

    watchdog._end_delivery(made)

    assert exits == []


def test_a_start_past_its_limit_says_where_it_stands_and_goes_on(
    exits: list[int], capfd: pytest.CaptureFixture[str]
) -> None:
    Watchdog(NOWHERE, init_limit=0.1)._tell_start()

    assert exits == []
    said = capfd.readouterr().err
    assert "init has taken 0.1 s, of the ten that Lambda gives it: " in said
    assert f'it stands in File "{__file__}"' in said


async def test_where_no_thread_can_be_started_for_the_timer_it_goes_on_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("unable to start watchdog thread")

    monkeypatch.setattr(faulthandler, "dump_traceback_later", refuse)
    made = delivery(due=trio.current_time() + 1.0)
    watchdog = watching(made)
    watchdog._look.set()

    watchdog._watch_delivery(made)

    assert watchdog._guarded is None


def test_what_the_watchdog_s_thread_says_does_not_list_that_thread() -> None:
    listed, watchdog, said = threading.enumerate(), Watchdog(NOWHERE, 0.1), threading.Event()

    def say() -> None:
        watchdog._tell_start()
        said.set()

    start_unlisted_thread(say)

    assert said.wait(10)
    assert threading.enumerate() == listed


def test_whatever_goes_wrong_in_a_look_there_is_another(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    watchdog = Watchdog(NOWHERE)
    looks: list[None] = []

    def look(_: Watchdog) -> None:
        looks.append(None)
        if len(looks) == 3:
            watchdog._closed = True
            return
        raise MemoryError

    monkeypatch.setattr(Watchdog, "_watch", look)
    watchdog._initialised = True
    watchdog._live()

    assert len(looks) == 3
    assert capfd.readouterr().err.count("the watchdog goes on after MemoryError()") == 2


def test_closed_its_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = ends_of_threads(monkeypatch, watchdog_room)
    watchdog = Watchdog(NOWHERE)
    watchdog.start()
    (ended,) = ends

    watchdog.close()

    assert ended.wait(5)
