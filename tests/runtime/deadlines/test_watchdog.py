"""The watchdog's own rules, without a process to end. `test_deadlines` has it in real ones."""

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, cast

import attrs
import pytest
import trio

from okibi.actors import KILLED, ActorExited
from okibi.runtime.deadlines import watchdog as module
from okibi.runtime.deadlines.interrupt import Alarm
from okibi.runtime.deadlines.watchdog import (
    BEHIND,
    REPORT,
    SLACK,
    TURN,
    Bell,
    SharedWatchdog,
    Watchdog,
)
from okibi.runtime.in_flight.delivery import Delivery, DeliveryState
from okibi.runtime.in_flight.ledger import Ledger
from okibi.runtime.protocol.outcome import Outcome
from okibi.runtime.system.unlisted_thread import start_unlisted_thread
from okibi.runtime.telemetry.logs import write_raw
from tests.limits import HANG
from tests.support.doubles import brought_to, delivery, ends_of_threads, ledger_of

NOWHERE = ("127.0.0.1", 1)


@attrs.define(eq=False)
class Timer:
    """The kernel's timer, without what it does."""

    ends_at: list[float] = attrs.field(factory=list[float])
    ticking: bool = False
    not_before: float = -math.inf

    def make(self, thread: int) -> None: ...

    def put_off(self, until: float) -> None:
        self.not_before = until

    def hold(self, at: float) -> None:
        if math.isfinite(at):
            self.ends_at.append(at)
            self.ticking = True

    def let_go(self) -> None:
        self.ticking = False

    @property
    def set_for(self) -> list[float]:
        """For how many seconds it was set, by a clock that stands still."""
        return [at - module.monotonic() for at in self.ends_at]  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def timer(monkeypatch: pytest.MonkeyPatch) -> Timer:
    made = Timer()
    monkeypatch.setattr(module, "Deadline", lambda: made)
    return made


@pytest.fixture
async def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both clocks stand still: what is left of a delivery's time is what the test has said."""
    at, now = time.monotonic(), trio.current_time()
    monkeypatch.setattr(module, "monotonic", lambda: at)
    monkeypatch.setattr(trio, "current_time", lambda: now)


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Where the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    yield codes
    sys.setswitchinterval(0.005)


def watching(*made: Delivery) -> Watchdog:
    """A watchdog whose thread the test plays, and these in flight, each in a lane."""
    watchdog = (Watchdog if len(made) == 1 else SharedWatchdog)(NOWHERE)
    ledger = ledger_of(len(made))
    for lane, each in zip(ledger.lanes, made, strict=True):
        lane.delivery = each
    watchdog.attach(ledger, Alarm())
    watchdog._look.set()
    return watchdog


def due_in(seconds: float) -> Delivery:
    return delivery(due=trio.current_time() + seconds)


async def test_the_kernel_s_timer_is_set_when_an_event_comes_for_an_eighth_of_its_margin(
    timer: Timer, still: None
) -> None:
    made = due_in(1.0)
    watching(made).arm(made)

    assert timer.set_for == [pytest.approx(1.0 - 0.1 / 8, abs=0.001)]


@pytest.mark.parametrize(("lanes", "behind"), [(8, BEHIND), (30, BEHIND), (64, 64 * TURN)])
async def test_the_timer_of_many_goes_off_behind_the_deadline(
    lanes: int, behind: float, timer: Timer, still: None
) -> None:
    first = due_in(1.0)
    watching(first, *[due_in(2)] * (lanes - 1)).arm(first)

    assert timer.set_for == [pytest.approx(1.0 + behind + SLACK, abs=0.001)]


async def test_the_timer_is_taken_back_before_the_last_answer_goes_out(timer: Timer) -> None:
    made = due_in(1.0)
    watchdog = watching(made)
    watchdog.arm(made)
    ledger = ledger_of()
    ledger.watch = watchdog
    ticks = list[bool]()

    class Writer:
        def process(self) -> object:
            ticks.append(timer.ticking)
            raise ActorExited("/responder", KILLED)

    ledger.lanes[0].responder = cast("Any", Writer())
    with suppress(AttributeError):
        made.settle(Outcome(b"1"))
        ledger.respond(ledger.lanes[0], at_once=True)

    assert ticks[0] is False


async def test_events_that_come_within_the_slack_set_the_timer_once(
    timer: Timer, still: None
) -> None:
    first, second = due_in(1.0), due_in(1.0 + SLACK)
    watchdog = watching(first, second)
    watchdog.arm(first)
    watchdog.arm(second)

    first.settle(Outcome(b"1"))
    watchdog.settled()
    assert len(timer.set_for) == 1
    assert timer.ticking
    second.settle(Outcome(b"1"))
    watchdog.settled()
    assert not timer.ticking


async def test_the_timer_moves_once_no_event_in_flight_is_due_before_it(
    timer: Timer, still: None
) -> None:
    first, second, last = due_in(1.0), due_in(1.0 + SLACK / 2), due_in(5.0)
    watchdog = watching(first, second, last)
    for each in (first, second, last):
        watchdog.arm(each)

    first.settle(Outcome(b"1"))
    watchdog.settled()
    assert len(timer.set_for) == 1
    second.settle(Outcome(b"1"))
    watchdog.settled()
    assert timer.set_for[1:] == [pytest.approx(5.0 + BEHIND + SLACK, abs=0.001)]
    assert timer.ticking


async def test_an_event_that_is_due_sooner_has_the_timer_go_off_sooner(
    timer: Timer, still: None
) -> None:
    long, short = due_in(5.0), due_in(1.0)
    watchdog = watching(long, short)
    watchdog.arm(long)
    watchdog.arm(short)

    assert timer.set_for[1:] == [pytest.approx(1.0 + BEHIND + SLACK, abs=0.001)]


async def test_no_timer_is_set_for_an_event_without_a_deadline(timer: Timer) -> None:
    made = delivery()
    watchdog = watching(made)
    watchdog.arm(made)
    made.settle(Outcome(b"1"))
    watchdog.settled()

    assert timer.set_for == []


async def test_no_timer_ticks_beside_an_event_without_a_deadline(timer: Timer) -> None:
    made, endless = due_in(10), delivery()
    watchdog = watching(made, endless)
    watchdog.arm(endless)
    watchdog.arm(made)
    made.settle(Outcome(b"1"))
    watchdog.settled()

    assert not timer.ticking


async def test_a_turn_of_the_thread_past_a_limit_puts_the_timer_of_many_events_off(
    timer: Timer, still: None
) -> None:
    watchdog = watching(due_in(0.05), due_in(10))

    for seconds in (0.05, 0.06):
        watchdog._put_off(seconds)
        assert timer.not_before == pytest.approx(seconds + BEHIND)


async def test_a_turn_of_the_thread_does_not_put_the_only_event_s_timer_off(timer: Timer) -> None:
    watchdog = watching(due_in(0.05))
    watchdog._put_off(time.monotonic())

    assert timer.not_before == -math.inf


def call_in_between(do: Callable[[], None], meanwhile: Callable[[], None], line: int) -> bool:
    """Call a function, and another one before so many lines of it and of what it calls have run.

    Returns:
        Whether the first one has so many lines.
    """
    left = line

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if event == "line" and frame.f_code.co_filename == module.__file__:
            left -= 1
            if left == 0:
                meanwhile()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        do()
    finally:
        sys.settrace(before)
    return left <= 0


@pytest.mark.parametrize("comes", [False, True])
async def test_the_timer_guards_what_is_in_flight_wherever_the_loop_cuts_the_thread_short(
    comes: bool, timer: Timer, still: None
) -> None:
    reached, line = True, 0
    while reached:
        line += 1
        late, other, new = due_in(-1), due_in(10), due_in(20)
        watchdog = watching(late, other)
        for each in (late, other):
            watchdog.arm(each)
        ledger = watchdog._ledger
        assert ledger is not None

        def go_on(
            made: tuple[Delivery, ...] = (late, other),
            new: Delivery = new,
            ledger: Ledger = ledger,
            watchdog: Watchdog = watchdog,
        ) -> None:
            for each in made:
                each.settle(Outcome(b"1"))
                watchdog.settled()
            if comes:
                ledger.lanes[0].delivery = new
                watchdog.arm(new)

        now = module.monotonic()  # type: ignore[attr-defined]
        reached = call_in_between(partial(watchdog._put_off, now), go_on, line)
        if reached:
            assert timer.ticking is comes, line
        if reached and comes:
            assert timer.set_for[-1] == pytest.approx(20 + BEHIND + SLACK, abs=0.001), line
    assert line > 1


async def test_the_thread_has_a_limit_for_the_report_of_a_process_that_it_ends(
    timer: Timer, still: None, exits: list[int]
) -> None:
    made = due_in(0.025)
    watchdog = watching(made)
    watchdog.arm(made)
    watchdog._end_process(made)

    assert timer.set_for[-1] == pytest.approx(REPORT)
    assert timer.ticking
    assert exits == [1]


async def test_an_event_that_runs_long_does_not_make_it_look_more_often(
    timer: Timer, still: None
) -> None:
    watchdog = watching(delivery())
    for left in (10, 0.15):
        watchdog._look.set()
        watchdog._watch_delivery(due_in(left))

    assert watchdog._length == pytest.approx(10, abs=0.1)


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
            watchdog.arm(made)
        watchdog._closed = len(looks) == 2
        return looks[-1]

    monkeypatch.setattr(Watchdog, "_earliest", look)
    monkeypatch.setattr(Watchdog, "_watch_delivery", lambda *_: None)
    with trio.fail_after(HANG):
        await trio.to_thread.run_sync(watchdog._watch, abandon_on_cancel=True)

    assert looks == [None, made]


async def test_what_is_settled_before_it_looks_does_not_have_the_next_one_wake_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watchdog = watching(brought_to(DeliveryState.ACKED))
    slept: list[float] = []

    def sleep(_: Watchdog, seconds: float) -> None:
        slept.append(seconds)
        watchdog._closed = True

    monkeypatch.setattr(Watchdog, "_sleep", sleep)
    watchdog._look.clear()
    watchdog.arm(due_in(60))
    assert watchdog._look.is_set()
    watchdog._watch()

    assert slept == [pytest.approx(15, abs=0.1)]


async def test_only_what_is_due_before_its_next_look_wakes_the_thread() -> None:
    watchdog = watching(delivery())
    watchdog._look.clear()
    watchdog._looks_at = time.monotonic() + 10

    watchdog.arm(due_in(20))
    assert not watchdog._look.is_set()
    watchdog.arm(due_in(5))
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


@pytest.mark.parametrize(
    ("state", "reports"), [(DeliveryState.RUNNING, 1), (DeliveryState.STREAMING, 0)]
)
async def test_a_stream_that_has_begun_is_not_answered_with_an_error_it_is_cut(
    timer: Timer,
    exits: list[int],
    monkeypatch: pytest.MonkeyPatch,
    state: DeliveryState,
    reports: int,
) -> None:
    told = list[object]()
    monkeypatch.setattr(module, "report_invocation_error", lambda *all: told.append(all))
    made = brought_to(state)

    watching(made)._end_process(made)

    assert (len(told), exits) == (reports, [1])


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


def test_what_the_watchdog_s_thread_says_does_not_list_that_thread() -> None:
    listed, said = threading.enumerate(), threading.Event()

    def say() -> None:
        write_raw("all stacks follow", "id")
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
    watchdog._live()

    assert len(looks) == 3
    assert capfd.readouterr().err.count("the watchdog goes on after MemoryError()") == 2


def test_closed_its_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = ends_of_threads(monkeypatch, module)
    watchdog = Watchdog(NOWHERE)
    watchdog.start()
    (ended,) = ends

    watchdog.close()

    assert ended.wait(HANG)


def test_a_bell_that_is_set_twice_rings_once() -> None:
    bell = Bell()
    bell.set()
    bell.set()
    assert bell.is_set()
    bell.wait(0)
    assert not bell.is_set()
    bell.set()
    bell.clear()
    assert not bell.is_set()


async def test_what_the_thread_is_to_do_instead_it_does_once_it_watches_no_more() -> None:
    watchdog, done = Watchdog(NOWHERE), threading.Event()
    watchdog.start()
    watchdog.attach(ledger_of(), Alarm())
    watchdog.turn_to(done.set)

    assert await trio.to_thread.run_sync(done.wait, 5)
