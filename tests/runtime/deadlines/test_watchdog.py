"""The watchdog's rules, without a real process; `test_deadlines` has real ones."""

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
from okibi.runtime.deadlines.interrupt import DeadlineInterrupt
from okibi.runtime.deadlines.watchdog import (
    KILL_AFTER,
    REPORT_LIMIT,
    SLACK,
    TURN,
    SharedWatchdog,
    SignalSafeEvent,
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
class RecordingDeadline:
    """Records what a ProcessDeadline is told; ends nothing."""

    ends_at: list[float] = attrs.field(factory=list[float])
    ticking: bool = False
    not_before: float = -math.inf

    def create(self, thread: int) -> None: ...

    def postpone(self, until: float) -> None:
        self.not_before = until

    def set_at(self, at: float) -> None:
        if math.isfinite(at):
            self.ends_at.append(at)
            self.ticking = True

    def clear(self) -> None:
        self.ticking = False

    @property
    def set_for(self) -> list[float]:
        """The seconds from now of each time that was set; for frozen clocks."""
        return [at - module.monotonic() for at in self.ends_at]  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def timer(monkeypatch: pytest.MonkeyPatch) -> RecordingDeadline:
    made = RecordingDeadline()
    monkeypatch.setattr(module, "ProcessDeadline", lambda: made)
    return made


@pytest.fixture
async def frozen_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Freeze both clocks."""
    at, now = time.monotonic(), trio.current_time()
    monkeypatch.setattr(module, "monotonic", lambda: at)
    monkeypatch.setattr(trio, "current_time", lambda: now)


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The exit codes with which the process would have ended."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    yield codes
    sys.setswitchinterval(0.005)


def watching(*made: Delivery) -> Watchdog:
    """A watchdog without its thread, with these deliveries in flight, one a lane."""
    watchdog = (Watchdog if len(made) == 1 else SharedWatchdog)(NOWHERE)
    ledger = ledger_of(len(made))
    for lane, each in zip(ledger.lanes, made, strict=True):
        lane.delivery = each
    watchdog.attach(ledger, DeadlineInterrupt())
    watchdog._wake_up.set()
    return watchdog


def due_in(seconds: float) -> Delivery:
    return delivery(due=trio.current_time() + seconds)


async def test_an_event_sets_the_kill_an_eighth_of_the_margin_before_due(
    timer: RecordingDeadline, frozen_clocks: None
) -> None:
    made = due_in(1.0)
    watching(made).arm(made)

    assert timer.set_for == [pytest.approx(1.0 - 0.1 / 8, abs=0.001)]


@pytest.mark.parametrize(("lanes", "behind"), [(8, KILL_AFTER), (30, KILL_AFTER), (64, 64 * TURN)])
async def test_the_timer_of_many_lanes_fires_after_the_deadline(
    lanes: int, behind: float, timer: RecordingDeadline, frozen_clocks: None
) -> None:
    first = due_in(1.0)
    watching(first, *[due_in(2)] * (lanes - 1)).arm(first)

    assert timer.set_for == [pytest.approx(1.0 + behind + SLACK, abs=0.001)]


async def test_the_timer_is_cleared_before_the_last_response_is_sent(
    timer: RecordingDeadline,
) -> None:
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


async def test_events_within_the_slack_set_the_timer_once(
    timer: RecordingDeadline, frozen_clocks: None
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


async def test_the_timer_moves_if_no_event_in_flight_is_due_before_it(
    timer: RecordingDeadline, frozen_clocks: None
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
    assert timer.set_for[1:] == [pytest.approx(5.0 + KILL_AFTER + SLACK, abs=0.001)]
    assert timer.ticking


async def test_an_event_due_sooner_moves_the_timer_forward(
    timer: RecordingDeadline, frozen_clocks: None
) -> None:
    long, short = due_in(5.0), due_in(1.0)
    watchdog = watching(long, short)
    watchdog.arm(long)
    watchdog.arm(short)

    assert timer.set_for[1:] == [pytest.approx(1.0 + KILL_AFTER + SLACK, abs=0.001)]


async def test_no_timer_is_set_for_an_event_without_a_deadline(timer: RecordingDeadline) -> None:
    made = delivery()
    watchdog = watching(made)
    watchdog.arm(made)
    made.settle(Outcome(b"1"))
    watchdog.settled()

    assert timer.set_for == []


async def test_an_event_without_a_deadline_keeps_no_timer(timer: RecordingDeadline) -> None:
    made, endless = due_in(10), delivery()
    watchdog = watching(made, endless)
    watchdog.arm(endless)
    watchdog.arm(made)
    made.settle(Outcome(b"1"))
    watchdog.settled()

    assert not timer.ticking


async def test_a_running_thread_postpones_the_timer_of_many_lanes(
    timer: RecordingDeadline, frozen_clocks: None
) -> None:
    watchdog = watching(due_in(0.05), due_in(10))

    for seconds in (0.05, 0.06):
        watchdog._postpone(seconds)
        assert timer.not_before == pytest.approx(seconds + KILL_AFTER)


async def test_a_running_thread_does_not_postpone_a_single_lane_s_timer(
    timer: RecordingDeadline,
) -> None:
    watchdog = watching(due_in(0.05))
    watchdog._postpone(time.monotonic())

    assert timer.not_before == -math.inf


def call_in_between(do: Callable[[], None], meanwhile: Callable[[], None], line: int) -> bool:
    """Call `do`, and `meanwhile` before its n-th line, lines of called functions included.

    Returns:
        Whether `do` ran that many lines.
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
async def test_the_timer_survives_any_interleaving_of_loop_and_thread(
    comes: bool, timer: RecordingDeadline, frozen_clocks: None
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
        reached = call_in_between(partial(watchdog._postpone, now), go_on, line)
        if reached:
            assert timer.ticking is comes, line
        if reached and comes:
            assert timer.set_for[-1] == pytest.approx(20 + KILL_AFTER + SLACK, abs=0.001), line
    assert line > 1


async def test_the_report_of_an_ending_process_has_a_time_limit(
    timer: RecordingDeadline, frozen_clocks: None, exits: list[int]
) -> None:
    made = due_in(0.025)
    watchdog = watching(made)
    watchdog.arm(made)
    watchdog._end_process(made)

    assert timer.set_for[-1] == pytest.approx(REPORT_LIMIT)
    assert timer.ticking
    assert exits == [1]


async def test_a_long_running_event_does_not_shorten_the_interval(
    timer: RecordingDeadline, frozen_clocks: None
) -> None:
    watchdog = watching(delivery())
    for left in (10, 0.15):
        watchdog._wake_up.set()
        watchdog._watch_delivery(due_in(left))

    assert watchdog._time_out == pytest.approx(10, abs=0.1)


async def test_an_event_that_arrives_during_a_look_causes_another_look(
    timer: RecordingDeadline, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = delivery(due=trio.current_time() + 1)
    watchdog = watching(made)
    watchdog._time_out = 1000
    # The thread has just woken on schedule.
    watchdog._next_look = time.monotonic() - 1
    looks: list[Delivery | None] = []

    def look(_: Watchdog) -> Delivery | None:
        looks.append(None if len(looks) == 0 else made)
        if len(looks) == 1:
            # The delivery is in its lane only after the lanes were read.
            watchdog.arm(made)
        watchdog._closed = len(looks) == 2
        return looks[-1]

    monkeypatch.setattr(Watchdog, "_earliest", look)
    monkeypatch.setattr(Watchdog, "_watch_delivery", lambda *_: None)
    with trio.fail_after(HANG):
        await trio.to_thread.run_sync(watchdog._watch, abandon_on_cancel=True)

    assert looks == [None, made]


async def test_an_event_settled_before_the_look_still_sets_the_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watchdog = watching(brought_to(DeliveryState.ACKED))
    slept: list[float] = []

    def sleep(_: Watchdog, seconds: float) -> None:
        slept.append(seconds)
        watchdog._closed = True

    monkeypatch.setattr(Watchdog, "_sleep", sleep)
    watchdog._wake_up.clear()
    watchdog.arm(due_in(60))
    assert watchdog._wake_up.is_set()
    watchdog._watch()

    assert slept == [pytest.approx(15, abs=0.1)]


async def test_only_an_event_due_before_the_next_look_wakes_the_thread() -> None:
    watchdog = watching(delivery())
    watchdog._wake_up.clear()
    watchdog._next_look = time.monotonic() + 10

    watchdog.arm(due_in(20))
    assert not watchdog._wake_up.is_set()
    watchdog.arm(due_in(5))
    assert watchdog._wake_up.is_set()


async def test_an_event_without_a_deadline_is_not_watched() -> None:
    assert watching(delivery())._earliest() is None


async def test_a_settled_event_is_not_watched() -> None:
    made = delivery(due=trio.current_time() + 1.0)
    watchdog = watching(made)
    assert watchdog._earliest() is made

    made.settle(Outcome(b"1"))

    assert watchdog._earliest() is None


async def test_a_loop_that_does_not_answer_ends_the_process(
    timer: RecordingDeadline,
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
async def test_a_streaming_response_gets_no_error_response(
    timer: RecordingDeadline,
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


async def test_the_interrupt_targets_the_handler_that_was_found_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = delivery(due=trio.current_time() + 0.1)
    watchdog = watching(made)
    assert watchdog._interrupt is not None
    watchdog._interrupt.run_count = 7
    monkeypatch.setattr(DeadlineInterrupt, "send_signal", lambda _: made.settle(Outcome(b"1")))

    watchdog._end_delivery(made)

    assert watchdog._interrupt.target_run == 7


async def test_the_dispatcher_is_asked_until_the_delivery_is_settled(exits: list[int]) -> None:
    made = delivery(due=trio.current_time() + 0.2)
    made.limit = made.due - 0.4
    watchdog = watching(made)
    asked = list[object]()

    def settle(token: object) -> None:
        asked.append(token)
        if len(asked) == 3:
            made.settle(Outcome(b"1"))

    watchdog._ask_dispatcher = settle  # type: ignore[method-assign]
    watchdog._end_delivery(made)

    assert (len(asked), exits) == (3, [])


async def test_a_delivery_settled_in_time_ends_nothing(exits: list[int]) -> None:
    made = delivery(due=trio.current_time() + 10)
    watchdog = watching(made)
    threading.Timer(0.02, made.settle, (Outcome(b"1"),)).start()

    watchdog._end_delivery(made)

    assert exits == []


def test_a_raw_log_entry_does_not_list_its_thread() -> None:
    listed, said = threading.enumerate(), threading.Event()

    def say() -> None:
        write_raw("all stacks follow", "id")
        said.set()

    start_unlisted_thread(say)

    assert said.wait(10)
    assert threading.enumerate() == listed


def test_an_error_in_a_look_does_not_end_the_watch(
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
    watchdog._watch_until_closed()

    assert len(looks) == 3
    assert capfd.readouterr().err.count("the watchdog continues after MemoryError()") == 2


def test_close_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = ends_of_threads(monkeypatch, module)
    watchdog = Watchdog(NOWHERE)
    watchdog.start()
    (ended,) = ends

    watchdog.close()

    assert ended.wait(HANG)


def test_an_event_set_twice_wakes_once() -> None:
    bell = SignalSafeEvent()
    bell.set()
    bell.set()
    assert bell.is_set()
    bell.wait(0)
    assert not bell.is_set()
    bell.set()
    bell.clear()
    assert not bell.is_set()


async def test_run_instead_runs_after_the_watch() -> None:
    watchdog, done = Watchdog(NOWHERE), threading.Event()
    watchdog.start()
    watchdog.attach(ledger_of(), DeadlineInterrupt())
    watchdog.run_instead(done.set)

    assert await trio.to_thread.run_sync(done.wait, 5)
